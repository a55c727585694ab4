"""What is written for Fiji: lines and outlines of one label map, each saying what it is and of which map."""

import hashlib
from pathlib import Path

import numpy as np
from roifile import ImagejRoi

from sem_train.colours import colour_of
from sem_train.fiji.lines import LINES as USUAL_LINES
from sem_train.fiji.lines import MeasuringLine, lay_lines
from sem_train.fiji.names import line_name, outline_name
from sem_train.fiji.polygons import outlines
from sem_train.fiji.rois import area_roi, line_roi, write_zip
from sem_train.measure.section import Section

# ImageJ keeps these properties when a selection is moved, renamed, copied or saved again
IMAGE = "semforge_image"  # `identity` of the label map
LINES = "semforge_lines"  # lines a layer that were asked for
CLASS = "semforge_class"  # class id
NUMBER = "semforge_number"  # of the line in its layer, or of the outline


def identity(labels: np.ndarray) -> str:
    """What tells one label map (H, W) from another, whatever file it is in."""
    ids = np.ascontiguousarray(labels, dtype=np.uint8)
    return "labels-" + hashlib.sha256(repr(ids.shape).encode() + ids.tobytes()).hexdigest()[:16]


def write_rois(
    path: Path, labels: np.ndarray, section: Section, number: int = USUAL_LINES
) -> dict[str, tuple[MeasuringLine, ...]]:
    """Write a ZIP for Fiji's ROI Manager: `number` lines across each layer, and its outlines.

    `labels` (H, W) is the label map as given, `section` what `prepare` made of it. Gives back the lines, by layer.
    Where the map shows no layer nothing is written.
    """
    lines = lay_lines(section, number)
    rois = selections(section, lines, number, identity(labels))
    if rois:
        write_zip(path, rois)
    return lines


def selections(
    section: Section, lines: dict[str, tuple[MeasuringLine, ...]], number: int, image: str
) -> list[ImagejRoi]:
    """The lines of each layer and then the outlines of the envelopes, coloured by class.

    `number` is how many lines were asked for, `image` the `identity` of the label map.
    """
    classes = section.classes
    rois = []
    for layer, of_layer in lines.items():
        about: dict[str, str | int] = {IMAGE: image, LINES: number, CLASS: classes.id_of(layer)}
        for line in of_layer:
            name = line_name(layer, line.number, len(of_layer), line.missing)
            rois.append(line_roi(name, line.ends, colour_of(layer, classes), about | {NUMBER: line.number}))
    for layer, mask in image_envelopes(section).items():
        about = {IMAGE: image, LINES: number, CLASS: classes.id_of(layer)}
        for k, polygon in enumerate(outlines(mask), start=1):
            roi = area_roi(outline_name(layer, k), polygon, colour_of(layer, classes), about | {NUMBER: k})
            rois.append(roi)
    return rois


def image_envelopes(section: Section) -> dict[str, np.ndarray]:
    """The envelopes (H, W) bool of the layers in the image as it was given."""
    return {layer: np.rot90(mask, -section.turns) for layer, mask in section.envelopes.items()}
