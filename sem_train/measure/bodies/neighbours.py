"""How far objects lie from their nearest neighbour, centroid to centroid, and how far they would by chance.

An object near the edge may have a nearer neighbour that the frame, or the layer's end, does not
show. So only objects count whose neighbour is nearer than the edge; as that alone would prefer near
neighbours, each counts with one over the area of the places from which its distance could have been
seen (Hanisch 1984). For points laid at random the mean is 0.5/sqrt(density).
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

FINENESS = 4  # steps a pixel in which distances to the edge are sorted
MOST_PX = 2**22  # pixels of a layer that are looked at


@dataclass(frozen=True)
class Neighbours:
    """Nearest neighbours of the objects of one class. Lengths in the field's unit."""

    mean: float | None  # None where no neighbour is surely the nearest
    used: int  # objects that the mean rests on
    expected: float | None  # of as many points laid at random
    ratio: float | None  # mean over expected: below 1 clustered, above 1 kept apart


class Room(Protocol):
    """Where objects may lie."""

    area: float  # pixels

    def distance(self, points: np.ndarray) -> np.ndarray:
        """(N,) from points (N, 2) to the edge, in pixels."""

    def area_further(self, distance: np.ndarray) -> np.ndarray:
        """(N,) area in pixels of the places further than each `distance` from the edge."""


class Frame:
    """The whole image."""

    def __init__(self, shape: tuple[int, ...]):
        self.size = np.array(shape, dtype=np.float64)
        self.area = float(self.size.prod())

    def distance(self, points: np.ndarray) -> np.ndarray:
        """As `Room`."""
        return np.minimum(points + 0.5, self.size - 0.5 - points).min(axis=1)

    def area_further(self, distance: np.ndarray) -> np.ndarray:
        """As `Room`."""
        return np.prod(np.maximum(self.size - 2 * distance[:, None], 0.0), axis=1)


class Region:
    """A layer: a mask (H, W) bool, the frame being an edge too. Of large ones every k-th pixel is looked at."""

    def __init__(self, mask: np.ndarray, most_px: int = MOST_PX):
        rows, columns = ndimage.find_objects(mask.view(np.uint8))[0] if mask.any() else (slice(0, 1), slice(0, 1))
        inner = mask[rows, columns]
        self.every = int(np.ceil(np.sqrt(inner.size / most_px)))
        self.start = np.array([rows.start, columns.start]) + self.every // 2
        coarse = inner[self.every // 2 :: self.every, self.every // 2 :: self.every]
        distance = ndimage.distance_transform_edt(np.pad(coarse, 1))[1:-1, 1:-1]
        self.inside = np.maximum(distance - 0.5, 0.0) * self.every
        steps = np.bincount((self.inside[self.inside > 0] / self.every * FINENESS).astype(int), minlength=1)
        self.further = np.cumsum(steps[::-1])[::-1] * float(self.every) ** 2
        self.area = float(self.further[0])

    def distance(self, points: np.ndarray) -> np.ndarray:
        """As `Room`."""
        where = np.floor((points - self.start) / self.every + 0.5).astype(int)
        within = ((where >= 0) & (where < self.inside.shape)).all(axis=1)
        row, column = np.where(within[:, None], where, 0).T
        return np.where(within, self.inside[row, column], 0.0)

    def area_further(self, distance: np.ndarray) -> np.ndarray:
        """As `Room`."""
        step = np.ceil(distance / self.every * FINENESS).astype(int)
        return np.where(step < len(self.further), self.further[np.minimum(step, len(self.further) - 1)], 0.0)


def nearest_px(points: np.ndarray) -> np.ndarray:
    """(N,) distance in pixels from each of the points (N, 2) to the nearest other one; NaN of a single point."""
    if len(points) < 2:
        return np.full(len(points), np.nan)
    return KDTree(points).query(points, k=2)[0][:, 1]


def measure_neighbours(
    points: np.ndarray, whole: np.ndarray, room: Room, density: float | None, pixel: float
) -> Neighbours:
    """Nearest neighbours of centroids (N, 2) in pixels; objects that are not `whole` (N,) are only neighbours.

    `density` is the number of objects per area and `pixel` the edge of a pixel, both in the unit wanted.
    """
    expected = 0.5 / float(np.sqrt(density)) if density else None
    distance = nearest_px(points)
    seen = np.zeros(len(points), dtype=bool)
    if len(points) > 1:
        seen = whole & (distance < room.distance(points))
        area = room.area_further(distance)
        seen &= area > 0
    if not seen.any():
        return Neighbours(None, 0, expected, None)
    mean = float(np.average(distance[seen], weights=1 / area[seen])) * pixel
    return Neighbours(mean, int(seen.sum()), expected, mean / expected if expected else None)
