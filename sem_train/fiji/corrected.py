"""What a person made of the lines and outlines in Fiji, beside what was written for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from roifile import ImagejRoi

from sem_train.classes import ClassMap
from sem_train.fiji.lines import LINES as USUAL_LINES
from sem_train.fiji.lines import LineStatistics, MeasuringLine, lay_lines, line_statistics
from sem_train.fiji.names import class_in, line_name, number_in, says_missing
from sem_train.fiji.rois import ends_of, is_area, is_line, kind_of, polygons_of, read_zip
from sem_train.fiji.selections import CLASS, IMAGE, LINES, NUMBER, identity
from sem_train.measure.section import Section
from semforge.errors import InputError

MOVED_PX = 0.5  # an end of a line that is no farther from where it was laid has not been moved


@dataclass(frozen=True)
class Outline:
    """One outlined area of a class."""

    name: str
    class_name: str
    polygons: list[np.ndarray]  # (N, 2) (x, y) each; pixels in an odd number of them are inside


@dataclass(frozen=True)
class LineCorrection:
    """The lines of one layer as they were laid and as they came back."""

    layer: str
    automatic: LineStatistics
    corrected: LineStatistics
    unchanged: int
    moved: int  # an end by more than MOVED_PX, or newly said to be missing
    added: int
    deleted: int


@dataclass(frozen=True)
class Corrected:
    """A file of selections that came back from Fiji."""

    lines: dict[str, LineCorrection]  # by layer
    outlines: tuple[Outline, ...]
    identified: bool  # whether the selections say of which label map they are


@dataclass(frozen=True)
class _Line:
    """A straight line that came back."""

    name: str
    layer: str
    length_px: float
    ends: np.ndarray
    laid: MeasuringLine | None  # None if a person added it

    @property
    def moved(self) -> bool:
        """Whether it is not as it was laid."""
        if self.laid is None:
            return False
        if self.laid.missing or self.length_px == 0:
            return (self.length_px > MOVED_PX) == self.laid.missing
        apart = [np.hypot(*(self.ends[::way] - self.laid.ends).T).max() for way in (1, -1)]
        return bool(min(apart) > MOVED_PX)


def read_corrected(
    path: Path, labels: np.ndarray, section: Section, pixel: float = 1.0, lines: int | None = None
) -> Corrected:
    """Read selections that were edited in Fiji, for the label map (H, W) that they were laid on.

    `section` is the label map prepared, `pixel` the edge of a pixel in the unit of the statistics, `lines` the number
    that was laid a layer, where the file does not say. A line belongs to the layer that its name begins with, or that
    it was laid on, or, if it is new and has no such name, in whose envelope its middle lies. A name with the word
    "missing" makes its length zero. Raises InputError that names the selection that is of the wrong type, of no layer,
    outside the image or of another one.
    """
    rois = read_zip(path)
    try:
        identified = _refuse_other_image(rois, identity(labels))
        _refuse_wrong_kinds(rois, labels.shape, section.classes)
        number = _number_laid(rois, lines)
        laid = lay_lines(section, number)
        returned = _returned([r for r in rois if is_line(r)], laid, section)
        corrections = {layer: _correction(layer, of_layer, returned, pixel) for layer, of_layer in laid.items()}
        found = tuple(_outline(r, section.classes) for r in rois if not is_line(r))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return Corrected(corrections, found, identified)


def _refuse_other_image(rois: Sequence[ImagejRoi], expected: str) -> bool:
    known = [roi for roi in rois if IMAGE in roi.properties]
    other = next((roi.name for roi in known if roi.properties[IMAGE] != expected), None)
    if other is not None:
        raise InputError(f"{other!r} was laid on another label map; give the one that its ZIP was written for")
    return bool(known)


def _refuse_wrong_kinds(rois: Sequence[ImagejRoi], shape: tuple[int, ...], classes: ClassMap) -> None:
    height, width = shape
    for roi in rois:
        if not is_line(roi) and not is_area(roi):
            raise InputError(f"{roi.name!r} is {kind_of(roi)}, expected straight lines and outlined areas; draw it "
                             "again as one of these, or delete it")  # fmt: skip
        layer = class_in(roi.name, classes)
        if not is_line(roi) and layer is not None and number_in(roi.name, layer) is not None:
            raise InputError(f"{roi.name!r} is {kind_of(roi)}, expected a straight line; an area is called "
                             f"'{layer} outline {number_in(roi.name, layer)}'")  # fmt: skip
        points = ends_of(roi) if is_line(roi) else np.concatenate(polygons_of(roi))
        x, y = (points.min(axis=0) + points.max(axis=0)) / 2
        if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
            raise InputError(f"{roi.name!r} lies outside the image of {width} × {height} pixels; is it of another one?")


def _number_laid(rois: Sequence[ImagejRoi], given: int | None) -> int:
    said = {int(n) for n in (roi.properties.get(LINES, 0) for roi in rois) if isinstance(n, int) and n > 0}
    if len(said) > 1:
        raise InputError(
            f"its selections are of {' and '.join(map(str, sorted(said)))} lines a layer, expected one file"
        )
    if said and given is not None and said != {given}:
        raise InputError(f"was written with --lines {said.pop()}, found --lines {given}; leave it out")
    return said.pop() if said else given or USUAL_LINES


def _returned(
    rois: Sequence[ImagejRoi], laid: dict[str, tuple[MeasuringLine, ...]], section: Section
) -> list[_Line]:  # fmt: skip
    """The lines that came back, each with the one it was, by name or else by what the line says of itself."""
    by_key = {(line.layer, line.number): line for of_layer in laid.values() for line in of_layer}
    names = {line_name(line.layer, line.number, len(laid[line.layer])): key for key, line in by_key.items()}
    claims: dict[int, tuple[str, int]] = {}

    def claim(position: int, key: tuple[str, int] | None) -> None:
        if key in by_key and position not in claims and key not in claims.values():
            claims[position] = key

    noted = [_noted(roi, section.classes) for roi in rois]
    called = [_called(roi.name, section.classes, names) for roi in rois]
    for i, key in enumerate(called):
        if noted[i] in (None, key):
            claim(i, key)
    for i, key in enumerate(noted):
        claim(i, key)
    was = [by_key[claims[i]] if i in claims else None for i in range(len(rois))]
    return [_line(roi, *about, section) for roi, *about in zip(rois, was, noted, strict=True)]


def _noted(roi: ImagejRoi, classes: ClassMap) -> tuple[str, int] | None:
    """Layer and number that the selection was laid with."""
    class_id, number = roi.properties.get(CLASS), roi.properties.get(NUMBER)
    if not isinstance(class_id, int) or not isinstance(number, int) or not 0 <= class_id < len(classes):
        return None
    return classes.names[class_id], number


def _called(name: str, classes: ClassMap, names: dict[str, tuple[str, int]]) -> tuple[str, int] | None:
    """Layer and number that a name says."""
    if name in names:
        return names[name]
    layer = class_in(name, classes)
    number = None if layer is None else number_in(name, layer)
    return None if layer is None or number is None else (layer, number)


def _line(roi: ImagejRoi, laid: MeasuringLine | None, noted: tuple[str, int] | None, section: Section) -> _Line:
    ends = ends_of(roi)
    layer = _layer_of(roi, ends, noted, section)
    length = float(np.hypot(*(ends[1] - ends[0])))
    was_missing = laid is not None and laid.missing
    if says_missing(roi.name) and not (was_missing and length > MOVED_PX):
        length = 0.0
    return _Line(roi.name, layer, length, ends, laid if laid is not None and laid.layer == layer else None)


def _layer_of(roi: ImagejRoi, ends: np.ndarray, noted: tuple[str, int] | None, section: Section) -> str:
    layers = tuple(section.envelopes)
    said = class_in(roi.name, section.classes) or (noted[0] if noted else None)
    if said is not None:
        if said not in layers:
            raise InputError(f"line {roi.name!r}: {said} is no layer, expected one of {', '.join(layers)}")
        return said
    middle = ends.mean(axis=0)
    around = [layer for layer in layers if _holds(section, layer, middle)]
    if len(around) != 1:
        raise InputError(f"line {roi.name!r} says no layer and does not lie across one; "
                         f"rename it, e.g. '{layers[0]} {USUAL_LINES + 1}'")  # fmt: skip
    return around[0]


def _holds(section: Section, layer: str, point: np.ndarray) -> bool:
    mask = np.rot90(section.envelopes[layer], -section.turns)
    column, row = np.clip(np.rint(point).astype(int), 0, np.array(mask.shape)[::-1] - 1)
    return bool(mask[row, column])


def _correction(
    layer: str, laid: tuple[MeasuringLine, ...], returned: Sequence[_Line], pixel: float
) -> LineCorrection:  # fmt: skip
    own = [line for line in returned if line.layer == layer]
    kept = [line for line in own if line.laid is not None]
    moved = sum(line.moved for line in kept)
    return LineCorrection(
        layer=layer,
        automatic=line_statistics((line.length_px for line in laid), pixel),
        corrected=line_statistics((line.length_px for line in own), pixel),
        unchanged=len(kept) - moved,
        moved=moved,
        added=len(own) - len(kept),
        deleted=len(laid) - len(kept),
    )


def _outline(roi: ImagejRoi, classes: ClassMap) -> Outline:
    said, noted = class_in(roi.name, classes), _noted(roi, classes)
    name = said or (noted[0] if noted else None)
    if name is None:
        raise InputError(f"area {roi.name!r} says no class; rename it, e.g. '{classes.names[-1]} outline 1' "
                         f"(classes are {', '.join(classes.names)})")  # fmt: skip
    return Outline(roi.name, name, polygons_of(roi))
