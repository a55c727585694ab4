"""Shadowing from a height field: how much of the sky each pixel sees, computed without rays.

Looking straight down, the height pass is the whole geometry. For each of AZIMUTHS directions the
horizon is the steepest rise along it; the sky above it is integrated in closed form, as in
horizon-based ambient occlusion (Jiménez et al. 2016, Practical realtime strategies
for accurate indirect occlusion). What lies far away is looked up in a coarser copy of the height field.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

AZIMUTHS = 16
QUADRANTS = 4
# (factor by which the height field is coarsened, steps in its pixels)
LEVELS = (
    (1, (1, 2, 3, 4, 5, 6, 8)), (2, (5, 6, 7, 8, 9, 10, 12)), (4, (7, 8, 9, 10, 11, 12, 14, 16)),
    (8, (9, 10, 12, 14, 17, 20, 26, 32)),
)  # fmt: skip
FINE = (*range(1, 11), *range(12, 31, 2), *range(33, 49, 3), 52, 56, 62, 70, 80, 92, 108, 128, 156, 192)
OFFSETS = (0.0, 0.5, 0.25, 0.75)  # of the coarse blocks, by turns, so that they leave no pattern
FEW = 0.15  # share of pixels up to which they are looked up one by one


def directions() -> np.ndarray:
    """(AZIMUTHS, 2) unit vectors, x to the right and y up; four in each quadrant, none on an axis."""
    angle = 2 * np.pi * (np.arange(AZIMUTHS) + 0.5) / AZIMUTHS
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def horizon_slopes(height_um: np.ndarray, where: np.ndarray, pixel_size_um: float) -> Iterator[np.ndarray]:
    """Tangent of the horizon's elevation at the n pixels of the mask `where` (H, W), never below 0.

    Yields one (n,) float32 for each of `directions()`.
    """
    height = np.asarray(height_um, dtype=np.float32)
    if where.mean() <= FEW:
        yield from _slopes_one_by_one(height, where, pixel_size_um)
        return
    grids = [[_level(height, factor, max(steps), offset) for factor, steps in LEVELS] for offset in OFFSETS]
    for k, (dx, dy) in enumerate(directions()):
        slopes = np.zeros(height.shape, dtype=np.float32)
        for level, (factor, steps) in zip(grids[k % len(OFFSETS)], LEVELS, strict=True):
            np.maximum(slopes, level.slopes(steps, dx, dy, factor * pixel_size_um), out=slopes)
        yield slopes[where]


def sky_visibility(height_um: np.ndarray, where: np.ndarray, pixel_size_um: float) -> np.ndarray:
    """Cosine-weighted share of the sky that a level spot sees, (H, W); 1 outside the mask `where`.

    A horizon of elevation e leaves cos(e)^2 of the sky in its direction.
    """
    sky = np.ones(height_um.shape, dtype=np.float32)
    sky[where] = sum(1 / (1 + slopes * slopes) for slopes in horizon_slopes(height_um, where, pixel_size_um)) / AZIMUTHS
    return sky


def openness(
    height_um: np.ndarray, normal: np.ndarray, where: np.ndarray, pixel_size_um: float
) -> tuple[np.ndarray, np.ndarray]:
    """Sky visibility (H, W) and its parts as a surface of the given normal (H, W, 3) sees them, (QUADRANTS, H, W).

    Part k is (1/pi) times the integral of max(0, n.w) over the visible directions w with azimuths from
    90 k to 90 (k + 1) degrees: for a slice of azimuth with horizon tangent s, polar angle t up to the
    horizon, and n.w = a sin t + n_z cos t,

        a/2 (t - s / (1 + s^2)) + n_z/2 / (1 + s^2).

    The parts of a free level surface add up to 1, those of one tilted by b to (1 + cos b)/2.
    """
    sky = np.ones(height_um.shape, dtype=np.float32)
    quadrants = np.full((QUADRANTS, *height_um.shape), 1 / QUADRANTS, dtype=np.float32)
    nx, ny, nz = (normal[..., i][where].astype(np.float32) for i in range(3))
    nz = np.maximum(nz, 1e-3)
    level = np.zeros(nz.shape, dtype=np.float32)
    parts = np.zeros((QUADRANTS, *nz.shape), dtype=np.float32)
    slopes_of = horizon_slopes(height_um, where, pixel_size_um)
    for k, ((dx, dy), slope) in enumerate(zip(directions(), slopes_of, strict=True)):
        level += 1 / (1 + slope * slope)
        along = nx * np.float32(dx) + ny * np.float32(dy)
        slope = np.maximum(slope, -along / nz)
        square = 1 / (1 + slope * slope)
        part = along * (np.float32(np.pi / 2) - np.arctan(slope) - slope * square) + nz * square
        parts[k * QUADRANTS // AZIMUTHS] += np.maximum(part, 0)
    sky[where] = level / AZIMUTHS
    quadrants[:, where] = parts / AZIMUTHS
    return sky, quadrants


@dataclass(frozen=True)
class _Level:
    """A coarser height field. What is seen of a block of pixels is its top.

    What sees is a pixel anywhere between the lowest and the highest of its block: the slopes are worked out for these
    two and interpolated, so that a pixel at the foot of a cliff does not see what one on its top does.
    """

    factor: int
    shift: int  # pixels by which the blocks start before the picture
    shape: tuple[int, ...]
    low: np.ndarray
    high: np.ndarray
    seen: np.ndarray  # padded
    place: np.ndarray  # (H, W) of each pixel, 0 at the lowest of its block, 1 at the highest

    def slopes(self, steps: tuple[int, ...], dx: float, dy: float, block_um: float) -> np.ndarray:
        """Steepest rise (H, W) over the given steps in a direction."""
        from_low = _steepest(self.low, self.seen, steps, dx, dy, block_um)
        if self.factor == 1:
            return from_low
        from_high = _steepest(self.high, self.seen, steps, dx, dy, block_um)
        found = self._enlarged(from_high - from_low)
        found *= self.place
        found += self._enlarged(from_low)
        return found

    def _enlarged(self, blocks: np.ndarray) -> np.ndarray:
        rows, columns = (slice(self.shift, self.shift + n) for n in self.shape)
        return _repeated(blocks, self.factor)[rows, columns]


def _repeated(blocks: np.ndarray, factor: int) -> np.ndarray:
    return np.repeat(np.repeat(blocks, factor, axis=1), factor, axis=0)


def _of_blocks(values: np.ndarray, factor: int, extreme: np.ufunc) -> np.ndarray:
    """Extreme value of each square block, first down the rows, which lie together in memory."""
    rows = functools.reduce(extreme, (values[i::factor] for i in range(factor)))
    return functools.reduce(extreme, (rows[:, i::factor] for i in range(factor)))


def _level(height: np.ndarray, factor: int, reach: int, offset: float) -> _Level:
    """A level whose blocks start a part `offset` of a block before the picture."""
    if factor == 1:
        return _Level(1, 0, height.shape, height, height, np.pad(height, reach + 1, mode="edge"), height)
    shift = int(offset * factor)
    margins = [(shift, -(n + shift) % factor) for n in height.shape]
    whole = np.pad(height, margins, mode="edge")
    low, high = (_of_blocks(whole, factor, extreme) for extreme in (np.minimum, np.maximum))
    place = (whole - _repeated(low, factor)) / np.maximum(_repeated(high - low, factor), 1e-9)
    place = np.ascontiguousarray(place[shift : shift + height.shape[0], shift : shift + height.shape[1]])
    return _Level(factor, shift, height.shape, low, high, np.pad(high, reach + 1, mode="edge"), place)


def _steepest(
    own: np.ndarray, seen: np.ndarray, steps: tuple[int, ...], dx: float, dy: float, pixel_um: float
) -> np.ndarray:
    rows, columns = own.shape
    margin = (seen.shape[0] - rows) // 2
    steepest = np.zeros(own.shape, dtype=np.float32)
    rise = np.empty_like(steepest)
    for step in steps:
        right, down = round(step * dx), -round(step * dy)
        top, left = margin + down, margin + right
        np.subtract(seen[top : top + rows, left : left + columns], own, out=rise)
        rise *= np.float32(1 / (np.hypot(right, down) * pixel_um))
        np.maximum(steepest, rise, out=steepest)
    return steepest


def _slopes_one_by_one(height: np.ndarray, where: np.ndarray, pixel_um: float) -> Iterator[np.ndarray]:
    reach = max(FINE)
    padded = np.pad(height, reach, mode="edge")
    rows, columns = np.nonzero(where)
    width = padded.shape[1]
    flat, here = padded.ravel(), (rows + reach) * width + columns + reach
    own = flat[here]
    for dx, dy in directions():
        slopes = np.zeros(len(here), dtype=np.float32)
        for step in FINE:
            right, down = round(step * dx), -round(step * dy)
            distance = np.hypot(right, down) * pixel_um
            np.maximum(slopes, (flat[here + down * width + right] - own) / np.float32(distance), out=slopes)
        yield slopes
