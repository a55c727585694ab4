"""Grains and particles: single ones from a mask or from an instance map, their sizes and shapes.

Particles that touch the frame are left out of sizes and shapes. The others stand for
L_x L_y / ((L_x - F_x)(L_y - F_y)) particles each, F being their extent along the frame: the larger
a particle, the likelier the frame cuts it (Miles and Lantuéjoul; ISO 13322-1). A particle is seen to
be cut when it has a pixel in the outermost row or column, so L is the frame's size less one pixel.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sem_train.measure.bodies.distributions import PRECISION, SizeDistribution, distribution, needed
from sem_train.measure.bodies.instances import NECK, split_touching, whole_numbers
from sem_train.measure.bodies.neighbours import Frame, Neighbours, measure_neighbours, nearest_px
from sem_train.measure.bodies.shapes import Shapes, measure_shapes
from sem_train.measure.bodies.single import Objects, reported, without_specks

LARGEST_WEIGHT = 4  # the frame hides three of four particles as large as that
SHAPES = ("aspect", "circularity_iso", "circularity_imagej", "solidity", "compactness")


@dataclass(frozen=True)
class Mean:
    """Weighted mean and sd of one quantity over particles."""

    mean: float
    sd: float | None  # spread of the particles; None of a single one
    number: int  # particles it rests on


@dataclass(frozen=True)
class ParticleMeasurement:
    """All particles of one class in the frame. Lengths in the field's unit; None where there is nothing to measure."""

    separation: str  # how single particles were told apart
    count: int  # of at least SMALLEST_OBJECT_PX pixels, cut ones included
    count_whole: int  # of those, not cut by the frame
    area_percent: float  # of the frame, cut ones included
    number_density: float  # 1/unit², whole particles with their weights
    sizes: SizeDistribution | None  # equal-area diameters of whole particles, weighted
    feret_max: Mean | None
    feret_min: Mean | None
    shapes: dict[str, Mean]  # by the names in SHAPES; of whole particles of at least 100 pixels
    neighbours: Neighbours
    needed_number: int | None  # particles that fix D50 by number to ± 5 % at 95 %, had they this geometric sd
    needed_volume: int | None  # ... D50 by volume
    objects: Objects  # one by one, cut ones included
    note: str  # what a reader must know; empty if nothing

    @property
    def ecd(self) -> tuple[float, ...]:
        """Diameters of discs of equal area of the particles that the frame does not cut."""
        return () if self.sizes is None else tuple(self.sizes.values.tolist())


def measure_particles(
    instances_or_mask: np.ndarray,
    pixel: float,
    in_image: Callable[[np.ndarray], np.ndarray] | None = None,
    neck: float = NECK,
) -> ParticleMeasurement:
    """Measure the particles of a mask (H, W) bool, parted where they touch, or of an instance map (H, W) int.

    In an instance map 0 is no particle, and every other number is one particle, in how many pieces so ever.
    `pixel` is its edge in the unit wanted; `in_image` turns (row, column) into (x, y) of the image as given.
    """
    if instances_or_mask.dtype == np.bool_:
        objects, separation = split_touching(instances_or_mask, neck), f"watershed, necks below {np.exp(-neck):.0%}"
    else:
        objects, separation = whole_numbers(instances_or_mask), "instance map"
    frame = Frame(objects.shape)
    covered = np.count_nonzero(objects) / frame.area
    shapes = measure_shapes(without_specks(objects))
    weight = frame_weights(shapes, objects.shape)
    whole = ~shapes.cut
    density = float(weight[whole].sum() / np.prod(np.array(objects.shape) - 1.0) / pixel**2) if whole.any() else 0.0
    measured = reported(
        shapes, pixel, in_image or _as_given, nearest_px(shapes.centroid), weight=weight
    )  # fmt: skip
    sizes = distribution(measured.ecd[whole], weight[whole])
    spread = sizes.lognormal.geometric_sd if sizes and sizes.lognormal else None
    return ParticleMeasurement(
        separation=separation,
        count=len(measured),
        count_whole=int(whole.sum()),
        area_percent=100 * covered,
        number_density=density,
        sizes=sizes,
        feret_max=_mean(measured.feret_max, weight),
        feret_min=_mean(measured.feret_min, weight),
        shapes={name: mean for name in SHAPES if (mean := _mean(getattr(measured, name), weight))},
        neighbours=measure_neighbours(shapes.centroid, whole, frame, density or None, pixel),
        needed_number=None if spread is None else needed(spread, 0),
        needed_volume=None if spread is None else needed(spread, 3),
        objects=measured,
        note=_note(sizes, int(whole.sum()), len(measured), None if spread is None else needed(spread, 0)),
    )


def frame_weights(shapes: Shapes, frame: tuple[int, ...]) -> np.ndarray:
    """(N,) particles that each whole one stands for, ISO 13322-1; NaN where the frame cuts it."""
    size = np.array(frame) - 1.0
    weight = np.prod(size / np.maximum(size - shapes.window[:, 2:], 1.0), axis=1)
    return np.where(shapes.cut, np.nan, weight)


def _as_given(points: np.ndarray) -> np.ndarray:
    return np.asarray(points)[..., ::-1]


def _mean(values: np.ndarray, weights: np.ndarray) -> Mean | None:
    known = np.isfinite(values) & np.isfinite(weights)
    number = int(known.sum())
    if number == 0:
        return None
    values, weights = values[known], weights[known]
    mean = float(np.average(values, weights=weights))
    spread = np.sqrt(np.average((values - mean) ** 2, weights=weights) * number / (number - 1)) if number > 1 else None
    return Mean(mean, None if spread is None else float(spread), number)


def _note(sizes: SizeDistribution | None, whole: int, count: int, wanted: int | None) -> str:
    notes = []
    if count and not whole:
        notes.append("all particles are cut by the frame, sizes not measured")
    if sizes is not None and sizes.weights.max() > LARGEST_WEIGHT:
        notes.append(f"the frame is small: its largest whole particle stands for {sizes.weights.max():.0f}")
    if wanted is not None and whole < wanted:
        notes.append(f"{whole} whole particles, {wanted} needed for D50 by number to ± {PRECISION:.0%}")
    return "; ".join(notes)
