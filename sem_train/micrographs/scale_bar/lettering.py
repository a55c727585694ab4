"""The label of a scale bar: pieces of ink that stand in a line, and the length that they are most like."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from sem_train.micrographs.scale_bar.templates import SHAPE_WEIGHTS, normal_picture, shape_of, templates
from sem_train.micrographs.scale_bar.words import splits, words

LEAST_PX, MOST_PX = 6, 90  # height of a digit
LINE = 0.22  # of a digit's height: by which the feet of letters in one line differ at most
SPACE = 1.3  # of a digit's height: gap in one label at most
TIGHT = 0.45  # gap between two digits at most: in a wider one a point may have been lost
COUNT = (2, 8)  # pieces of ink in a label


@dataclass(frozen=True)
class Glyph:
    """One piece of ink."""

    left: int
    right: int
    top: int
    bottom: int
    ink: np.ndarray  # (h, w) 0 to 1

    @property
    def height(self) -> int:
        return self.bottom - self.top


@dataclass(frozen=True)
class Reading:
    """What a line of ink is most like."""

    word: str
    length_um: float
    score: float  # 1 is the very same picture
    margin: float  # by which the best reading of another length is worse, summed over the pieces
    box: tuple[int, int, int, int]  # left, right, top, bottom

    same_ink: bool = True  # as the bar that it was found beside


def read_labels(ink: np.ndarray) -> list[Reading]:
    """All lines of a picture of ink (H, W) 0 to 1 that read like the label of a scale bar, the likeliest first."""
    readings = [reading for line in _lines(_glyphs(ink)) if (reading := _read(line)) is not None]
    return sorted(readings, key=lambda reading: -reading.score)


def _glyphs(ink: np.ndarray) -> list[Glyph]:
    labels, count = ndimage.label(ink > 0.5, structure=np.ones((3, 3)))
    if count > 3000:
        return []
    found = []
    for i, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        if height <= MOST_PX and width <= 3 * MOST_PX:
            own = np.where((labels[rows, columns] == i) | (ink[rows, columns] <= 0.5), ink[rows, columns], 0)
            found.append(Glyph(columns.start, columns.stop, rows.start, rows.stop, own))
    return found


def _lines(glyphs: list[Glyph]) -> list[list[Glyph]]:
    """Pieces of about one height whose feet stand on one line, with no wide gap, and the points between them."""
    lines = []
    tall = [glyph for glyph in glyphs if glyph.height >= LEAST_PX]
    used: set[int] = set()
    for first in sorted(tall, key=lambda glyph: glyph.left):
        if id(first) in used:
            continue
        high = first.height
        near = [g for g in glyphs if _stands_beside(g, first)]
        line = [first]
        for glyph in sorted(near, key=lambda glyph: glyph.left):
            if (
                glyph is not first
                and -0.3 * high <= glyph.left - line[-1].right <= SPACE * high
                and glyph.left > first.left
            ):
                line.append(glyph)
        used.update(id(glyph) for glyph in line)
        while line and line[-1].height < 0.35 * high:  # a dot behind the unit
            line.pop()
        if COUNT[0] <= len(line):
            lines.append(line)
    return lines


def _stands_beside(glyph: Glyph, first: Glyph) -> bool:
    """Whether this may be a letter of the label that `first`, a digit, begins."""
    high = first.height
    on_line = abs(glyph.bottom - first.bottom) <= max(2, LINE * high)
    descends = 0 < glyph.bottom - first.bottom <= 0.45 * high and glyph.top > first.top  # µ
    dot = glyph.height <= 0.35 * high and glyph.height >= 0.06 * high and on_line
    letter = 0.5 * high <= glyph.height <= 1.35 * high and (on_line or descends)
    return dot or letter


def _read(line: list[Glyph]) -> Reading | None:
    """The label that a line begins with; what follows it, such as the next field of a databar, is left out."""
    best: Reading | None = None
    for count in range(COUNT[0], min(COUNT[1], len(line)) + 1):
        reading = _read_all(line[:count])
        if reading is not None and (best is None or reading.score > best.score):
            best = reading
    return best


def _read_all(line: list[Glyph]) -> Reading | None:
    tall = line[0].height
    foot = line[0].bottom
    pictures, shapes = templates()
    seen = np.array([normal_picture(glyph.ink) for glyph in line])
    shape = np.array([shape_of(g.top - foot, g.bottom - foot, g.right - g.left, tall) for g in line], dtype=np.float32)
    alike = np.einsum("fpd,gd->fgp", pictures, seen)
    unlike = np.abs(shapes[:, None] - shape[None, :, None]) @ SHAPE_WEIGHTS
    scores = alike - unlike  # (faces, glyphs, pieces)
    by_length: dict[float, tuple[float, str]] = {}
    for word, length_um in words().items():
        for split in splits(word, len(line)):
            score = float(scores[:, np.arange(len(line)), split].mean(axis=1).max())
            if score > by_length.get(length_um, (-9.0, ""))[0]:
                by_length[length_um] = (score, word)
    if not by_length:
        return None
    (length_um, (score, word)), *others = sorted(by_length.items(), key=lambda item: -item[1][0])
    # two readings often differ in one piece only, so the sum over pieces tells more than the mean
    margin = len(line) * (score - (others[0][1][0] if others else -1.0))
    if _may_lack_a_point(line, word, tall):
        margin = 0.0
    box = (line[0].left, line[-1].right, min(g.top for g in line), max(g.bottom for g in line))
    return Reading(word, length_um, score, margin, box)


def _may_lack_a_point(line: list[Glyph], word: str, tall: int) -> bool:
    """Whether two digits stand so far apart that a point between them may have been too small to see."""
    digits = len(word) - 2
    if "." in word or digits < 2 or len(line) < digits:
        return False
    return any(line[i + 1].left - line[i].right > TIGHT * tall for i in range(digits - 1))
