"""One field of view, from class ids to numbers."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sem_train.classes import ClassMap
from sem_train.measure.inclusions import CrackMeasurement, InclusionMeasurement, measure_cracks, measure_inclusions
from sem_train.measure.layers import LayerMeasurement, measure_layer
from sem_train.measure.line import InclusionLine, find_line
from sem_train.measure.section import Section, prepare
from semforge.errors import InputError


@dataclass(frozen=True)
class FieldMeasurement:
    """What one label map shows. Lengths are in `unit`, areas in its square; keys are class names."""

    unit: Literal["um", "px"]
    pixel_size_um: float | None
    layers: dict[str, LayerMeasurement]
    inclusions: dict[str, InclusionMeasurement]
    lines: dict[str, InclusionLine]  # of each inclusion class, e.g. the pore line
    cracks: dict[str, CrackMeasurement]


def measure_label_map(labels: np.ndarray, classes: ClassMap, pixel_size_um: float | None) -> FieldMeasurement:
    """Measure layers, inclusions, their lines and cracks in class ids (H, W).

    `pixel_size_um` is the edge of a square pixel; without it, lengths are in pixels.
    Raises InputError if an id has no class, or the pixel size is not positive.
    """
    return measure_section(prepare(labels, classes), pixel_size_um)


def measure_section(section: Section, pixel_size_um: float | None) -> FieldMeasurement:
    """Measure what `prepare` made ready, as `measure_label_map` does."""
    if pixel_size_um is not None and not (np.isfinite(pixel_size_um) and pixel_size_um > 0):
        raise InputError(f"pixel size is {pixel_size_um:g} µm, expected more than zero")
    pixel = 1.0 if pixel_size_um is None else float(pixel_size_um)
    classes = section.classes
    layers = {name: measure_layer(section, name, pixel) for name in section.envelopes}
    inclusions: dict[str, InclusionMeasurement] = {}
    lines: dict[str, InclusionLine] = {}
    for inclusion in classes.with_role("inclusion"):
        name, host = inclusion.name, str(inclusion.host)
        mask = section.mask(name) & section.envelopes[host]
        inclusions[name] = measure_inclusions(mask, host, section.envelopes[host], pixel)
        lines[name] = find_line(mask, host, section.normals[host], pixel)
    cracks = {
        crack.name: measure_cracks(section.mask(crack.name), str(crack.host), pixel)
        for crack in classes.with_role("crack")
    }
    return FieldMeasurement("px" if pixel_size_um is None else "um", pixel_size_um, layers, inclusions, lines, cracks)
