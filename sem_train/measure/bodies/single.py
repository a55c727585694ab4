"""Single pores and particles as they are reported: one entry an object, in the field's unit."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sem_train.measure.bodies.bands import bands
from sem_train.measure.bodies.shapes import Shapes

SMALLEST_OBJECT_PX = 4  # fewer pixels are counted for area only: their size is the pixel's


@dataclass(frozen=True, eq=False)
class Objects:
    """Arrays of one length. Objects that the frame cuts have an area and a place, but NaN for size and shape.

    Shape (from `aspect` to `compactness`) is NaN, too, of objects of less than 100 pixels (`shapes.SHAPE_PX`).
    """

    xy: np.ndarray  # (N, 2) centroid in pixels of the image as given, pixel centres whole numbers
    cut: np.ndarray  # (N,) bool: touches the frame
    area: np.ndarray
    ecd: np.ndarray  # diameter of the disc of equal area
    feret_max: np.ndarray
    feret_min: np.ndarray
    perimeter: np.ndarray  # Crofton, holes included
    aspect: np.ndarray  # feret_min / feret_max
    circularity_iso: np.ndarray  # sqrt(4 pi A) / P, ISO 9276-6
    circularity_imagej: np.ndarray  # 4 pi A / P²
    solidity: np.ndarray  # A / A of the convex hull
    compactness: np.ndarray  # ecd / feret_max
    weight: np.ndarray  # how many objects it stands for against the frame, ISO 13322-1; 1 for pores, NaN where cut
    nearest: np.ndarray  # distance from centroid to the nearest other one's; it may have a nearer one beyond the frame
    to_outer: np.ndarray  # distance from centroid to the host's outer interface; NaN without host or beyond the frame
    to_inner: np.ndarray

    def __len__(self) -> int:
        return len(self.area)


def reported(
    shapes: Shapes,
    pixel: float,
    in_image: Callable[[np.ndarray], np.ndarray],
    nearest_px: np.ndarray,
    weight: np.ndarray | None = None,
    to_outer_px: np.ndarray | None = None,
    to_inner_px: np.ndarray | None = None,
) -> Objects:
    """Shapes in pixels as objects in the unit in which a pixel's edge is `pixel`.

    `in_image` turns (row, column) of the map that was measured into (x, y) of the image as given.
    """
    whole = ~shapes.cut
    unknown = np.full(len(whole), np.nan)
    known = lambda values: np.where(whole, values, np.nan)
    return Objects(
        xy=in_image(shapes.centroid),
        cut=shapes.cut,
        area=shapes.area * pixel**2,
        ecd=known(shapes.ecd * pixel),
        feret_max=known(shapes.feret_max * pixel),
        feret_min=known(shapes.feret_min * pixel),
        perimeter=known(shapes.perimeter * pixel),
        aspect=shapes.aspect,
        circularity_iso=shapes.circularity_iso,
        circularity_imagej=shapes.circularity_imagej,
        solidity=shapes.solidity,
        compactness=shapes.compactness,
        weight=known(np.ones(len(whole)) if weight is None else weight),
        nearest=nearest_px * pixel,
        to_outer=unknown if to_outer_px is None else to_outer_px * pixel,
        to_inner=unknown if to_inner_px is None else to_inner_px * pixel,
    )


def without_specks(objects: np.ndarray) -> np.ndarray:
    """Objects (H, W) int32 of at least SMALLEST_OBJECT_PX pixels, numbered anew from 1 in their order, in place."""
    area = np.zeros(int(objects.max()) + 1, dtype=np.int64)
    for rows in bands(objects):
        area += np.bincount(objects[rows].ravel(), minlength=len(area))
    keep = area >= SMALLEST_OBJECT_PX
    keep[0] = False
    table = np.where(keep, np.cumsum(keep), 0).astype(objects.dtype)
    for rows in bands(objects):
        objects[rows] = table[objects[rows]]
    return objects
