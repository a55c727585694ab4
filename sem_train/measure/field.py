"""One field of view, from class ids to numbers."""

import math
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Literal

import numpy as np

from sem_train.classes import ClassMap
from sem_train.measure.bodies.cracks import CrackMeasurement, measure_cracks
from sem_train.measure.bodies.inclusions import InclusionMeasurement, measure_inclusions
from sem_train.measure.bodies.line import InclusionLine, find_line
from sem_train.measure.bodies.neighbours import Region
from sem_train.measure.bodies.particles import ParticleMeasurement, measure_particles
from sem_train.measure.layers.thickness import LayerMeasurement, measure_layer
from sem_train.measure.section import Section, prepare
from semforge.errors import InputError

STEEPEST_SECTION_DEG = 60.0  # a more oblique section stretches layers to more than twice their thickness


@dataclass(frozen=True)
class FieldMeasurement:
    """What one label map shows. Lengths are in `unit`, areas in its square; keys are class names."""

    unit: Literal["um", "px"]
    pixel_size_um: float | None
    layers: dict[str, LayerMeasurement]
    inclusions: dict[str, InclusionMeasurement]
    lines: dict[str, InclusionLine]  # of each inclusion class, e.g. the pore line
    cracks: dict[str, CrackMeasurement]
    particles: dict[str, ParticleMeasurement] = field(default_factory=dict)


def measure_label_map(
    labels: np.ndarray,
    classes: ClassMap,
    pixel_size_um: float | None,
    section_tilt_deg: float = 0.0,
    roughness_cutoff: float | None = None,
) -> FieldMeasurement:
    """Measure layers, inclusions, their lines, cracks and particles in class ids (H, W).

    `pixel_size_um` is the edge of a square pixel; without it, lengths are in pixels. `section_tilt_deg` is the angle
    between the section and the plane normal to the layers, which the image does not show: lengths across the layers
    are multiplied by its cosine. `roughness_cutoff` (µm, or pixels without a pixel size) parts roughness from
    waviness; left out, it is each layer's mean thickness.
    Raises InputError if an id has no class, or the pixel size, the tilt or the cutoff is impossible.
    """
    return measure_section(prepare(labels, classes), pixel_size_um, section_tilt_deg, roughness_cutoff)


def measure_section(
    section: Section,
    pixel_size_um: float | None,
    section_tilt_deg: float = 0.0,
    roughness_cutoff: float | None = None,
) -> FieldMeasurement:
    """Measure what `prepare` made ready, as `measure_label_map` does."""
    unit, pixel = _scale(pixel_size_um)
    if not abs(section_tilt_deg) <= STEEPEST_SECTION_DEG:
        raise InputError(
            f"section tilt is {section_tilt_deg:g}°, expected {-STEEPEST_SECTION_DEG:g}° to {STEEPEST_SECTION_DEG:g}°"
        )
    if roughness_cutoff is not None and not 0 < roughness_cutoff < float("inf"):
        raise InputError(f"roughness cutoff is {roughness_cutoff:g}, expected more than zero")
    classes = section.classes
    rooms = {name: cache(partial(Region, envelope)) for name, envelope in section.envelopes.items()}
    inclusions: dict[str, InclusionMeasurement] = {}
    lines: dict[str, InclusionLine] = {}
    for inclusion in classes.with_role("inclusion"):
        name, host = inclusion.name, str(inclusion.host)
        mask = section.mask(name) & section.envelopes[host]
        inclusions[name] = measure_inclusions(section, name, pixel, rooms[host])
        lines[name] = _upright(find_line(mask, host, section.normals[host], pixel), section_tilt_deg)
    layers = {
        name: measure_layer(section, name, pixel, lines, section_tilt_deg, roughness_cutoff)
        for name in section.envelopes
    }
    cracks = {c.name: measure_cracks(section, c.name, pixel) for c in classes.with_role("crack")}
    particles = {
        c.name: measure_particles(section.mask(c.name), pixel, section.in_image) for c in classes.with_role("particle")
    }
    return FieldMeasurement(unit, pixel_size_um, layers, inclusions, lines, cracks, particles)


def measure_instance_map(
    instances: np.ndarray, pixel_size_um: float | None, name: str = "particle"
) -> FieldMeasurement:
    """Measure particles that an instance map (H, W) int already tells apart: 0 is none, each other number is one.

    Raises InputError if the array is no such map, or the pixel size is not positive.
    """
    if instances.ndim != 2 or instances.size == 0 or instances.dtype.kind not in "iu" or instances.min() < 0:
        raise InputError(
            f"instance map is {instances.dtype} of shape {instances.shape}, expected numbers (height, width), 0 or more"
        )
    unit, pixel = _scale(pixel_size_um)
    return FieldMeasurement(unit, pixel_size_um, {}, {}, {}, {}, {name: measure_particles(instances, pixel)})


def _upright(line: InclusionLine, section_tilt_deg: float) -> InclusionLine:
    """A line with its depth as in a section normal to the layer."""
    return line if line.depth is None else replace(line, depth=line.depth * math.cos(math.radians(section_tilt_deg)))


def _scale(pixel_size_um: float | None) -> tuple[Literal["um", "px"], float]:
    """The unit, and the edge of a pixel in it."""
    if pixel_size_um is None:
        return "px", 1.0
    if not (np.isfinite(pixel_size_um) and pixel_size_um > 0):
        raise InputError(f"pixel size is {pixel_size_um:g} µm, expected more than zero")
    return "um", float(pixel_size_um)
