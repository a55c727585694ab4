"""Pores and precipitates: how much of the layer they take, how many, how large, and how they lie.

Porosity follows ASTM E2109: 100·A_pore/A_layer, the layer's area including its pores.
Objects that the frame cuts count for area and by half for number (ASTM E112, planimetric
procedure), never for size. What touches, corners included, is one object: a section through one
body says nothing of where two begin.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from sem_train.measure.bodies.distributions import SizeDistribution, distribution
from sem_train.measure.bodies.interfaces import Histogram, distance_px, histogram
from sem_train.measure.bodies.neighbours import Neighbours, Region, Room, measure_neighbours, nearest_px
from sem_train.measure.bodies.shapes import measure_shapes
from sem_train.measure.bodies.single import Objects, reported, without_specks
from sem_train.measure.layers.normals import Normals
from sem_train.measure.section import Section

EIGHT = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class InclusionMeasurement:
    """All inclusions of one class in their host layer. Lengths in the field's unit."""

    host: str
    area_percent: float | None  # of the host's envelope, inclusions included; None without a host
    count: int  # objects of at least SMALLEST_OBJECT_PX pixels, cut ones included
    number_density: float | None  # objects over envelope area, 1/unit²; cut objects count by half
    ecd: tuple[float, ...]  # equivalent circle diameters √(4A/π) of the objects not cut by the frame
    ecd_mean: float | None
    ecd_median: float | None
    sizes: SizeDistribution | None  # of `ecd`; None without
    mean_free_path: float | None  # along rows and columns between objects, (1 - A_A)/N_L, ASTM E1245
    neighbours: Neighbours
    to_outer: Histogram | None  # centroids by their distance from the host's outer interface; None without host
    to_inner: Histogram | None
    objects: Objects  # one by one, cut ones included


def measure_inclusions(
    section: Section, name: str, pixel: float, room: Callable[[], Room] | None = None
) -> InclusionMeasurement:
    """Measure the inclusions of one class within the envelope of their host; `pixel` is its edge in the unit.

    `room` gives the `Region` of the host's envelope; left out, it is made.
    """
    host = str(section.classes.classes[section.classes.id_of(name)].host)
    envelope, normals = section.envelopes[host], section.normals[host]
    within = section.mask(name) & envelope
    host_px = int(np.count_nonzero(envelope))
    objects = without_specks(ndimage.label(within, EIGHT)[0])
    shapes = measure_shapes(objects)
    whole = ~shapes.cut
    number = np.count_nonzero(whole) + np.count_nonzero(shapes.cut) / 2
    density = number / (host_px * pixel**2) if host_px else None
    ecd = shapes.ecd[whole] * pixel
    if len(whole) > 1:
        neighbours = measure_neighbours(shapes.centroid, whole, room() if room else Region(envelope), density, pixel)
    else:
        neighbours = Neighbours(None, 0, None, None)
    measured = reported(
        shapes, pixel, section.in_image, nearest_px(shapes.centroid),
        to_outer_px=_distance_px(shapes.centroid, normals, "outer"),
        to_inner_px=_distance_px(shapes.centroid, normals, "inner"),
    )  # fmt: skip
    thickness = _mean_thickness(normals, pixel)
    return InclusionMeasurement(
        host=host,
        area_percent=area_percent(within, envelope),
        count=len(measured),
        number_density=density,
        ecd=tuple(ecd.tolist()),
        ecd_mean=float(ecd.mean()) if len(ecd) else None,
        ecd_median=float(np.median(ecd)) if len(ecd) else None,
        sizes=distribution(ecd),
        mean_free_path=_mean_free_path(within, envelope, pixel),
        neighbours=neighbours,
        to_outer=histogram(measured.to_outer, thickness) if thickness else None,
        to_inner=histogram(measured.to_inner, thickness) if thickness else None,
        objects=measured,
    )


def area_percent(mask: np.ndarray, envelope: np.ndarray) -> float | None:
    """Area of a mask (H, W) bool in percent of an envelope (H, W) bool that holds it; None where that is empty."""
    host_px = np.count_nonzero(envelope)
    return 100 * np.count_nonzero(mask & envelope) / host_px if host_px else None


def _mean_free_path(within: np.ndarray, envelope: np.ndarray, pixel: float) -> float | None:
    """Way between objects on all test lines along rows and columns: their length outside objects over objects met."""
    ends = np.count_nonzero(within[1:] != within[:-1]) + np.count_nonzero(within[:, 1:] != within[:, :-1])
    between = 2 * (np.count_nonzero(envelope) - np.count_nonzero(within))
    return between / (ends / 2) * pixel if ends else None


def _distance_px(points: np.ndarray, normals: Normals | None, side: str) -> np.ndarray | None:
    return None if normals is None else distance_px(points, normals, "outer" if side == "outer" else "inner")


def _mean_thickness(normals: Normals | None, pixel: float) -> float | None:
    if normals is None or not normals.usable.any():
        return None
    return float(normals.thickness_px.mean()) * pixel
