"""A scale bar with its label, and the scale that follows once a person has confirmed it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sem_train.micrographs.scale import LEAST_UM, MOST_UM, NO_SCALE_NOTE, Scale
from sem_train.micrographs.scale_bar.bars import INK, Bar, Box, find_bars
from sem_train.micrographs.scale_bar.lettering import Reading, read_labels

MOST_BARS = 12  # that are looked at in one picture
# score and margin of a label that counts as read: one that is less alike has to be farther from all others
SURE = ((0.65, 0.4), (0.75, 0.18), (0.85, 0.06))
LEAST_SCORE = 0.45  # of one that is worth a guess
REACH = (0.16, 0.12)  # of the picture's width and height: how far from a bar its label may be
FAR = 1.6  # of a letter's height: from the bar to its label at most
RIVAL = 0.06  # a reading that says something else comes near if its score is not lower by more
SAME_SIZE = 0.02  # two readings whose pixels differ by less say the same
BOX_SHARE = 0.12  # of what is around a bar: what a box drawn for the label takes at least
LEAST_CONTRAST = 0.15  # of full scale, between label and ground
PICTURE_PX = 4096  # edge of the part of a picture that is searched: a larger one has its bar in the databar


@dataclass(frozen=True)
class ScaleBar:
    """A scale bar as it was read from a picture."""

    length_px: float
    label: str  # best reading of its text, e.g. "10 µm"
    length_um: float
    sure: bool  # whether no other reading of the text comes near
    box: tuple[int, int, int, int]  # of the bar: left, right, top, bottom

    @property
    def pixel_size_um(self) -> float:
        """The edge of a pixel that follows."""
        return self.length_um / self.length_px


def read_scale_bar(image: np.ndarray, databar: slice | None = None) -> ScaleBar | None:
    """The scale bar of a picture (H, W), in its databar or else burnt in; None where none is found."""
    if databar is not None:
        found = _best(image[databar], databar.start)
        if found is not None and found.sure:
            return found
    rest = image if databar is None else image[: databar.start] if databar.start else image[databar.stop :]
    top = 0 if databar is None or databar.start else databar.stop
    burnt_in = _best(rest[-PICTURE_PX:, :], top + max(0, len(rest) - PICTURE_PX))
    candidates = [bar for bar in (found if databar is not None else None, burnt_in) if bar is not None]
    return max(candidates, key=lambda bar: bar.sure, default=None)


def scale_by_bar(bar: ScaleBar | None, accepted: bool, remark: str = "") -> Scale:
    """The scale that a bar gives if it was read surely and is `accepted`; else none, and what was read as the note."""
    because = f"; {remark}" if remark else ""
    if bar is None:
        return Scale(None, "none", f"{NO_SCALE_NOTE}{because}")
    size, length = f"{bar.pixel_size_um:.4g} µm a pixel", f"{bar.length_px:.0f} px"
    if not bar.sure or not LEAST_UM <= bar.pixel_size_um <= MOST_UM:
        note = (
            f"{NO_SCALE_NOTE}; a bar of {length} was seen, but its label could not be read surely "
            f"(perhaps {bar.label!r}, {size}): look, and give --pixel-size-um{because}"
        )
        return Scale(None, "none", note)
    read = f"a scale bar of {length} is labelled {bar.label!r}, {size}"
    if not accepted:
        return Scale(None, "none", f"{NO_SCALE_NOTE}; {read}: look, and confirm with --accept-scale-bar{because}")
    return Scale(bar.pixel_size_um, "scale_bar", f"{read}, as accepted{because}")


def _best(image: np.ndarray, top: int) -> ScaleBar | None:
    """The best read bar of a picture whose first row is row `top` of the file."""
    if image.size == 0:
        return None
    levels = image.astype(np.float32) / np.iinfo(image.dtype).max
    read = _own_bars([(reading, bar) for bar in find_bars(levels)[:MOST_BARS] for reading in _labels(levels, bar)])
    if not read:
        return None
    reading, bar = max(read, key=lambda pair: pair[0].score)
    if reading.score < LEAST_SCORE:
        return None
    size = reading.length_um / bar.length_px
    others = [other.length_um / rival.length_px for other, rival in read if other.score > reading.score - RIVAL]
    rivals = [other for other in others if abs(other / size - 1) > SAME_SIZE]
    sure = not rivals and any(reading.score >= score and reading.margin >= margin for score, margin in SURE)
    box = (bar.left, bar.right, bar.top + top, bar.bottom + top)
    label = f"{reading.word[:-2]} {reading.word[-2:]}"
    return ScaleBar(bar.length_px, label, reading.length_um, sure, box)


def _labels(levels: np.ndarray, bar: Bar) -> Iterator[Reading]:
    """Readings of what stands beside a bar, in ink of its colour and in the opposite one."""
    height, width = levels.shape
    across, down = int(REACH[0] * width) + bar.height, max(40, int(REACH[1] * height)) + bar.height
    rows = slice(max(0, bar.top - down), min(height, bar.bottom + down))
    columns = slice(max(0, bar.left - across), min(width, bar.right + across))
    part = levels[rows, columns]
    at = (bar.left - columns.start, bar.right - columns.start, bar.top - rows.start, bar.bottom - rows.start)
    for bright in (bar.bright, not bar.bright):
        extreme = float(part.max() if bright else part.min())
        for ground in _grounds(part, bright):
            if abs(extreme - ground) < LEAST_CONTRAST:
                continue
            # steeper than it is, so that the specimen around the letters counts for less
            ink = ((part - ground) / (extreme - ground) * 2 - 0.5).clip(0, 1)
            for left, right in _pieces(bar):
                drawn = slice(max(0, left - columns.start - 1), right - columns.start + 1)
                ink[max(0, at[2] - 1) : at[3] + 1, drawn] = 0
            for reading in read_labels(ink):
                box = _moved(reading.box, rows, columns)
                if _beside(reading.box, at, bar.gap is not None) and not _goes_on(bar, box, levels):
                    yield replace(reading, same_ink=bright == bar.bright, box=box)


def _pieces(bar: Bar) -> list[tuple[int, int]]:
    """The columns that a bar takes, as (left, right)."""
    return [(bar.left, bar.right)] if bar.gap is None else [(bar.left, bar.gap[0]), (bar.gap[1], bar.right)]


def _grounds(part: np.ndarray, bright: bool) -> list[float]:
    """Levels on which lettering may stand: the commonest, that of the grains most like ink, and that of a box."""
    common, nearest = float(np.median(part)), float(np.percentile(part, 85 if bright else 15))
    box = float(part.min() if bright else part.max())
    boxed = (np.abs(part - box) < 0.1).mean() > BOX_SHARE and abs(box - common) > 0.1
    return [common, *([nearest] if abs(nearest - common) > 0.1 else []), *([box] if boxed else [])]


def _moved(box: Box, rows: slice, columns: slice) -> Box:
    return box[0] + columns.start, box[1] + columns.start, box[2] + rows.start, box[3] + rows.start


def _goes_on(bar: Bar, label: Box, levels: np.ndarray) -> bool:
    """Whether a line goes on behind the label beside it, so that it is but one piece of the bar."""
    if bar.gap is not None or label[2] >= bar.bottom or label[3] <= bar.top:
        return False
    own = levels[bar.top : bar.bottom, bar.left : bar.right].mean(axis=1)
    row = bar.top + int(own.argmax() if bar.bright else own.argmin())
    length = bar.right - bar.left
    start, stop = (label[1], label[1] + 2 * length) if label[0] >= bar.left else (label[0] - 2 * length, label[0])
    behind = levels[max(0, row - 1) : row + 2, max(0, start) : max(0, stop)]
    ink = (np.abs(behind - levels[row, bar.left : bar.right].mean()) < INK).any(axis=0)
    ends = np.flatnonzero(np.diff(np.concatenate([[0], ink.astype(np.int8), [0]])))
    return bool((ends[1::2] - ends[::2] > 0.4 * length).any())


def _own_bars(read: list[tuple[Reading, Bar]]) -> list[tuple[Reading, Bar]]:
    """Of the bars beside one label only those of its ink, where there are any: the others are edges of its box."""

    def same_place(one: Box, other: Box) -> bool:
        return min(one[1], other[1]) > max(one[0], other[0]) and min(one[3], other[3]) > max(one[2], other[2])

    return [
        (reading, bar) for reading, bar in read
        if reading.same_ink or not any(other.same_ink and same_place(other.box, reading.box)
                                       and other.score > reading.score - RIVAL for other, _ in read)
    ]  # fmt: skip


def _beside(label: Box, bar: Box, broken: bool) -> bool:
    """Whether a label stands above, below or next to a bar, or in its gap; boxes as left, right, top, bottom."""
    tall = label[3] - label[2]
    shared = min(label[1], bar[1]) - max(label[0], bar[0])
    if broken:
        return shared >= label[1] - label[0] and label[2] < bar[3] and bar[2] < label[3]
    away = max(label[2] - bar[3], bar[2] - label[3])  # rows between them
    if away >= -0.2 * tall:
        return away <= FAR * tall and shared >= 0.5 * min(label[1] - label[0], bar[1] - bar[0])
    return -FAR * tall <= shared <= 0
