"""Bars in a picture: long thin boxes of one level, lines with ticks at their ends, rows of ticks."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

LEAST_PX, LEAST_SHARE, MOST_SHARE = 16, 0.03, 0.75  # length of a bar; of the picture's width
THICK, TICKED = 0.3, 0.6  # of its length at most: its thickness, and its height with ticks at the ends
ALIKE = 0.93  # share of a line that is as thick as its middle
INK = 0.12  # of full scale: distance from the whitest or blackest level that still is ink
OUTSIDE = 0.35  # share of the rows beside a bar that is ink at most
TICKS = (9, 14)  # number of ticks of a bar that is a row of them
EVEN = 0.12  # of their distance: by which ticks are off at most


Box = tuple[int, int, int, int]  # left, right, top, bottom


@dataclass(frozen=True)
class Bar:
    """A bar in a picture; pixels, the ends as in a slice."""

    left: int
    right: int
    top: int
    bottom: int
    length_px: float
    bright: bool  # ink brighter than what is around it
    gap: tuple[int, int] | None = None  # columns between the two pieces of a line that has its label there

    @property
    def height(self) -> int:
        return self.bottom - self.top


def find_bars(levels: np.ndarray) -> list[Bar]:
    """All that may be a scale bar in a picture (H, W) of levels 0 to 1, the longest first."""
    found: list[Bar] = []
    low, high = float(levels.min()), float(levels.max())
    for bright in (True, False):
        ink = levels > high - INK * (high - low) if bright else levels < low + INK * (high - low)
        boxes = _lines(ink)
        whole, halves = _broken_lines(boxes, bright)
        found += whole
        found += [Bar(*box, length_px=float(box[1] - box[0]), bright=bright) for box in boxes if box not in halves]
        found += list(_tick_rows(ink, bright))
    return sorted(found, key=lambda bar: -bar.length_px)


def _lines(ink: np.ndarray) -> list[Box]:
    """Pieces of ink that are one line: wider than high and as thick everywhere, but for ticks at the ends."""
    width = ink.shape[1]
    least, most = max(LEAST_PX, int(LEAST_SHARE * width)), int(MOST_SHARE * width)
    labels, _ = ndimage.label(ink)
    found = []
    for i, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
        length, height = columns.stop - columns.start, rows.stop - rows.start
        if not least <= length <= most or height > TICKED * length:
            continue
        thickness = (labels[rows, columns] == i).sum(axis=0)
        usual = float(np.median(thickness))
        alike = np.abs(thickness - usual) <= max(1.0, 0.3 * usual)
        inner = alike[length // 20 : length - length // 20]
        if (
            usual <= THICK * length
            and alike.mean() >= ALIKE
            and inner.mean() >= ALIKE
            and _stands_free(rows, columns, usual, ink)
        ):
            found.append((columns.start, columns.stop, rows.start, rows.stop))
    return found


def _stands_free(rows: slice, columns: slice, thickness: float, ink: np.ndarray) -> bool:
    """Whether there is little ink above and below, as there is beside the edge of a bright area."""
    beside = [ink[row, columns] for row in (rows.start - 2, rows.stop + 1) if 0 <= row < len(ink)]
    return thickness >= 1 and all(row.mean() <= OUTSIDE for row in beside)


def _broken_lines(boxes: list[Box], bright: bool) -> tuple[list[Bar], set[Box]]:
    """Pairs of pieces of one line with the label between them, as bars, and all the pieces."""
    found: list[Bar] = []
    halves: set[Box] = set()
    for i, one in enumerate(boxes):
        for other in boxes[i + 1 :]:
            first, second = sorted((one, other))
            gap, length = second[0] - first[1], second[1] - first[0]
            pieces = first[1] - first[0], second[1] - second[0]
            level = abs(first[2] - second[2]) <= 1 and abs(first[3] - second[3]) <= 1
            alike = min(pieces) > 0.7 * max(pieces)
            if level and alike and 8 < gap < 0.7 * length and first[3] - first[2] <= max(16, 0.1 * length):
                found.append(Bar(first[0], second[1], first[2], first[3], float(length), bright, (first[1], second[0])))
                halves |= {first, second}
    return found, halves


def _tick_rows(ink: np.ndarray, bright: bool) -> Iterator[Bar]:
    """Rows of evenly spaced short ticks, as Hitachi draws them; the length is that from the first tick to the last."""
    padded = np.zeros((ink.shape[0], ink.shape[1] + 2), dtype=np.int8)
    padded[:, 1:-1] = ink
    steps = np.diff(padded, axis=1)
    last = -9
    for row in range(ink.shape[0]):
        if row < last + 12:
            continue
        lefts, rights = np.nonzero(steps[row] == 1)[0], np.nonzero(steps[row] == -1)[0]
        narrow = rights - lefts <= max(4, 0.008 * ink.shape[1])
        if narrow.sum() < TICKS[0]:
            continue
        centres = (lefts[narrow] + rights[narrow]) / 2
        ticks = _even(centres, ink.shape[1])
        if ticks is not None:
            last = row
            yield Bar(int(ticks[0]), int(ticks[-1]) + 1, row, row + 1, float(ticks[-1] - ticks[0]), bright)


def _even(centres: np.ndarray, width: int) -> np.ndarray | None:
    """The longest evenly spaced part of ascending positions, if it has as many as a bar of ticks."""
    best: np.ndarray | None = None
    gaps = np.diff(centres)
    start = 0
    for i in range(1, len(gaps) + 1):
        if i == len(gaps) or abs(gaps[i] - gaps[start:i].mean()) > EVEN * gaps[start:i].mean() + 0.6:
            part = centres[start : i + 1]
            if TICKS[0] <= len(part) <= TICKS[1] and part[-1] - part[0] > LEAST_SHARE * width and gaps[start] > 5:
                best = part if best is None or len(part) > len(best) else best
            start = i
    return best
