"""Masks as polygons and polygons as masks, by the centres of pixels.

Polygons are (N, 2) float64 points (x, y), closed without repeating the first; pixel centres are whole numbers.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from skimage.measure import approximate_polygon, find_contours

EIGHT = np.ones((3, 3), dtype=bool)
# Farthest that an outline leaves the pixel edges for fewer corners, largest first; the first that encloses
# the same pixels is taken.
SIMPLER_PX = (0.7, 0.5, 0.35)
CLEAR_PX = 0.01  # by which outlines keep off the centres of pixels, so that every program fills them alike
TIE_PX = 1e-8  # as in ImageJ: a centre this near a boundary is on it


def outlines(mask: np.ndarray) -> list[np.ndarray]:
    """One polygon for each connected piece (corners connect) of a mask (H, W) bool, from left to right.

    Their inside is the mask, pixel for pixel; only holes are filled.
    """
    pieces, _ = ndimage.label(mask, EIGHT)
    windows = ndimage.find_objects(pieces)
    found = [_outline(pieces[window] == i, window) for i, window in enumerate(windows, start=1)]
    return sorted(found, key=lambda polygon: tuple(polygon.min(axis=0)))


def inside(polygons: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Mask (H, W) bool of the pixels whose centre is in an odd number of the polygons (one inside another is a hole).

    These are the pixels of ImageJ's masks (from 1.52u on): a centre on a right or lower boundary is inside, on a
    left or upper boundary outside, so that regions that share a boundary share no pixel.
    """
    height, width = shape
    turns = np.zeros((height, width + 1), dtype=np.int64)  # boundaries crossed from one pixel to the next in a row
    for polygon in polygons:
        row, column = _crossings(np.asarray(polygon, dtype=np.float64), height)
        np.add.at(turns, (row, np.clip(column, 0, width)), 1)
    return np.cumsum(turns[:, :width], axis=1) % 2 == 1


def _crossings(polygon: np.ndarray, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of pixel centres that the edges of a polygon cross, and the first column behind each crossing."""
    (x1, y1), (x2, y2) = polygon.T, np.roll(polygon, -1, axis=0).T
    first = np.clip(np.floor(np.minimum(y1, y2)) + 1, 0, height).astype(int)
    last = np.clip(np.floor(np.maximum(y1, y2)) + 1, 0, height).astype(int)
    number = last - first
    edge = np.repeat(np.arange(len(polygon)), number)
    row = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number) + first[edge]
    x = x1[edge] + (row - y1[edge]) * (x2 - x1)[edge] / (y2 - y1)[edge]
    return row, np.floor(np.clip(x, -1.0, 2.0**31) + TIE_PX).astype(int) + 1


def _outline(piece: np.ndarray, window: tuple[slice, ...]) -> np.ndarray:
    filled = ndimage.binary_fill_holes(piece)
    rings = find_contours(np.pad(filled, 1).astype(np.uint8), 0.5, fully_connected="high")
    (ring,) = (np.flip(r, axis=1) - 1.0 for r in rings)
    simpler = (approximate_polygon(ring, tolerance)[:-1] for tolerance in SIMPLER_PX)
    polygon = next((p for p in simpler if _encloses(p, filled)), ring[:-1])
    return polygon + np.array([window[1].start, window[0].start])


def _encloses(polygon: np.ndarray, mask: np.ndarray) -> bool:
    """Whether the mask is the inside of the polygon, also where that is shifted a little."""
    return all(np.array_equal(inside([polygon + shift], mask.shape), mask) for shift in (-CLEAR_PX, CLEAR_PX))
