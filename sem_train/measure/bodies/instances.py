"""Single objects of a mask: touching ones are parted where they are narrow.

The rule. The distance map gives for each pixel the distance d to the nearest pixel beside the
mask. Two peaks of it belong to two objects if the neck between them is narrow against the
smaller one: with d_peak of the lower peak and d_neck of the highest way between them, if

    phi(d_peak) - phi(d_neck) >= 1,   phi(d) = d below 1/NECK, ln(d · NECK)/NECK + 1/NECK above.

That is an h-maxima transform (h = 1) of phi(d): peaks less than a pixel high are the raster's, and
a large object is parted only where its neck is below exp(-NECK) of its own width. Pixels go to the
peak that steepest ascent leads to. Nothing is drawn at random: one mask gives one set of objects.
"""

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sem_train.measure.bodies.bands import bands

NECK = 0.25  # a neck below exp(-0.25) = 78 % of the smaller object's width parts large objects
WHOLE_PX = 2**24  # larger masks are worked on piece by piece
EIGHT = np.ones((3, 3), dtype=bool)
STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))  # one of each pair of neighbours


def split_touching(mask: np.ndarray, neck: float = NECK) -> np.ndarray:
    """Objects (H, W) int32 of a mask (H, W) bool, numbered from 1 as they come row by row; 0 beside them.

    The frame is no edge: an object that it cuts is taken to go on.
    """
    objects = _split(mask, neck) if mask.size <= WHOLE_PX else _piece_by_piece(mask, neck)
    return in_raster_order(objects)


def whole_numbers(instances: np.ndarray) -> np.ndarray:
    """Numbers of instances (H, W), 0 beside them, as int32 from 1 without gaps, in order of number."""
    instances = np.asarray(instances)
    high = int(instances.max()) if instances.size else 0
    if high >= 4 * instances.size + 65536:
        values, inverse = np.unique(instances, return_inverse=True)
        return (inverse.reshape(instances.shape) + int(values[0] != 0)).astype(np.int32)
    used = np.zeros(high + 1, dtype=bool)
    for rows in bands(instances):
        used[instances[rows].ravel()] = True
    used[0] = False
    return np.where(used, np.cumsum(used), 0).astype(np.int32)[instances]


def in_raster_order(objects: np.ndarray) -> np.ndarray:
    """Objects (H, W) renumbered in place, from 1 without gaps, in the order in which their first pixels come."""
    first = np.full(int(objects.max()) + 1, objects.size)
    for rows in reversed(list(bands(objects))):
        flat = objects[rows].ravel()
        where = np.flatnonzero(flat)[::-1]
        first[flat[where]] = where + rows.start * objects.shape[1]  # the last to write is the first pixel
    first[0] = objects.size
    found = int(np.count_nonzero(first < objects.size))
    table = np.zeros(len(first), dtype=objects.dtype)
    table[np.argsort(first, kind="stable")[:found]] = np.arange(1, found + 1)
    for rows in bands(objects):
        objects[rows] = table[objects[rows]]
    return objects


def _split(mask: np.ndarray, neck: float) -> np.ndarray:
    """Objects (H, W) int32 of a mask, numbered anyhow."""
    if not mask.any():
        return np.zeros(mask.shape, dtype=np.int32)
    distance = ndimage.distance_transform_edt(mask) if not mask.all() else np.ones(mask.shape)
    basins, peaks = _basins(distance, mask)
    owner = _merged(peaks, *_necks(basins, distance), neck)
    return np.concatenate([[0], owner + 1]).astype(np.int32)[basins]


def _piece_by_piece(mask: np.ndarray, neck: float) -> np.ndarray:
    """As `_split`, each connected piece by itself, which gives the same and takes less memory."""
    pieces, _ = ndimage.label(mask, EIGHT)
    number = 0
    for piece, box in enumerate(ndimage.find_objects(pieces), start=1):
        around = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in box)
        own = pieces[around] == piece
        parts = _split(own, neck)
        pieces[around][own] = -(parts[own] + number)  # negative: done
        number += int(parts.max())
    return np.negative(pieces, out=pieces)


def _basins(distance: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where steepest ascent ends: (H, W) int32 numbers from 1, 0 beside the mask, and the height (N,) of each end."""
    height, width = mask.shape
    padded = np.pad(distance, 1)
    here = padded[1:-1, 1:-1]
    steepest, target = np.zeros(mask.shape), np.arange(mask.size).reshape(mask.shape)
    upwards = target.copy()
    for row, column in [(r, c) for r in (-1, 0, 1) for c in (-1, 0, 1) if r or c]:
        there = padded[1 + row : 1 + row + height, 1 + column : 1 + column + width]
        slope = (there - here) * (1.0 if row == 0 or column == 0 else np.sqrt(0.5))
        better = slope > steepest
        np.copyto(steepest, slope, where=better)
        np.copyto(upwards, target + (row * width + column), where=better)
    ends = upwards.ravel()
    while True:  # each round doubles the way taken
        further = ends[ends]
        if np.array_equal(further, ends):
            break
        ends = further
    tops = np.flatnonzero((ends == target.ravel()) & mask.ravel())
    number = np.zeros(mask.size, dtype=np.int32)
    number[tops] = np.arange(1, len(tops) + 1)
    return np.where(mask, number[ends].reshape(mask.shape), 0), distance.ravel()[tops]


def _necks(basins: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Neighbouring basins as pairs of numbers from 0, and the greatest distance at which they meet, each (M,)."""
    height, width = basins.shape
    ones, others, heights = [], [], []
    for row, column in STEPS:
        here = (slice(0, height - row), slice(max(0, -column), width - max(0, column)))
        there = (slice(row, height), slice(max(0, column), width - max(0, -column)))
        a, b = basins[here], basins[there]
        meet = (a != b) & (a > 0) & (b > 0)
        ones.append(np.minimum(a[meet], b[meet]) - 1)
        others.append(np.maximum(a[meet], b[meet]) - 1)
        heights.append(np.minimum(distance[here][meet], distance[there][meet]))
    one, other, level = np.concatenate(ones), np.concatenate(others), np.concatenate(heights)
    order = np.lexsort((-level, other, one))
    one, other, level = one[order], other[order], level[order]
    first = np.ones(len(one), dtype=bool)
    first[1:] = (one[1:] != one[:-1]) | (other[1:] != other[:-1])
    return one[first], other[first], level[first]


def _merged(peaks: np.ndarray, one: np.ndarray, other: np.ndarray, level: np.ndarray, neck: float) -> np.ndarray:
    """Which object (N,) each basin belongs to: basins join over their highest necks first."""
    number = len(peaks)
    flat = level >= np.minimum(peaks[one], peaks[other])  # a plateau, or a step of the raster on the way up
    graph = coo_array((np.ones(int(flat.sum())), (one[flat], other[flat])), shape=(number, number))
    _, group = connected_components(graph, directed=False)
    top = np.zeros(int(group.max()) + 1)
    np.maximum.at(top, group, peaks)
    one, other, level = group[one[~flat]], group[other[~flat]], level[~flat]
    parent = list(range(len(top)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    order = np.lexsort((other, one, -level))
    high, way = _phi(top, neck).tolist(), _phi(level, neck).tolist()
    for i in order.tolist():
        a, b = root(int(one[i])), root(int(other[i]))
        if a != b and min(high[a], high[b]) - way[i] < 1.0:
            low, keep = (a, b) if high[a] < high[b] else (b, a)
            parent[low] = keep
    return np.array([root(i) for i in range(len(top))])[group]


def _phi(distance: np.ndarray, neck: float) -> np.ndarray:
    return np.where(distance < 1 / neck, distance, (1 + np.log(np.maximum(distance * neck, 1.0))) / neck)
