"""One field of view, from class ids to numbers."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sem_train.classes import ClassMap
from sem_train.measure.envelope import bridge_cracks, envelope, upright
from sem_train.measure.inclusions import CrackMeasurement, InclusionMeasurement, measure_cracks, measure_inclusions
from sem_train.measure.layers import LayerMeasurement, Normals, measure_layer
from sem_train.measure.line import InclusionLine, find_line
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
    labels = checked(labels, classes)
    if pixel_size_um is not None and not (np.isfinite(pixel_size_um) and pixel_size_um > 0):
        raise InputError(f"pixel size is {pixel_size_um:g} µm, expected more than zero")
    pixel = 1.0 if pixel_size_um is None else float(pixel_size_um)
    labels = upright(labels, classes)
    bridged = bridge_cracks(labels, classes)

    envelopes: dict[str, np.ndarray] = {}
    layers: dict[str, LayerMeasurement] = {}
    normals: dict[str, Normals | None] = {}
    for layer in classes.with_role("layer"):
        envelopes[layer.name] = envelope(bridged, classes, layer.name)
        layers[layer.name], normals[layer.name] = measure_layer(envelopes[layer.name], pixel)

    inclusions: dict[str, InclusionMeasurement] = {}
    lines: dict[str, InclusionLine] = {}
    for inclusion in classes.with_role("inclusion"):
        name, host = inclusion.name, str(inclusion.host)
        mask = (labels == classes.id_of(name)) & envelopes[host]
        inclusions[name] = measure_inclusions(mask, host, envelopes[host], pixel)
        lines[name] = find_line(mask, host, normals[host], pixel)
    cracks = {
        crack.name: measure_cracks(labels == classes.id_of(crack.name), str(crack.host), pixel)
        for crack in classes.with_role("crack")
    }
    return FieldMeasurement("px" if pixel_size_um is None else "um", pixel_size_um, layers, inclusions, lines, cracks)


def checked(labels: np.ndarray, classes: ClassMap) -> np.ndarray:
    """Class ids (H, W) as uint8. Raises InputError if the array is no such map."""
    if labels.ndim != 2 or labels.size == 0 or labels.dtype.kind not in "iu":
        raise InputError(f"label map is {labels.dtype} of shape {labels.shape}, expected class ids (height, width)")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(classes):
        strange = high if high >= len(classes) else low
        raise InputError(f"label map has class id {strange}, the class map has ids 0 to {len(classes) - 1}")
    return labels.astype(np.uint8, copy=False)
