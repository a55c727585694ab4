"""Shadowing from a height field: how much of the sky each pixel sees, computed without rays.

Looking straight down, the height pass is the whole geometry. For each of AZIMUTHS directions the
horizon is the steepest rise along it; the sky above it is integrated in closed form, as in
horizon-based ambient occlusion (Jiménez et al. 2016, Practical realtime strategies
for accurate indirect occlusion). What lies far away is looked up in a coarser copy of the height field.
"""

from collections.abc import Iterator

import numpy as np

AZIMUTHS = 16
QUADRANTS = 4
# (factor by which the height field is coarsened, steps in its pixels)
LEVELS = (
    (1, (1, 2, 3, 4, 5, 6, 8)), (2, (5, 6, 7, 8, 9, 10, 12)), (4, (7, 8, 9, 10, 11, 12, 14, 16)),
    (8, (9, 10, 12, 14, 17, 20, 26, 32)),
)  # fmt: skip
FINE = (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32, 36, 40, 44, 48, 56, 64, 80, 96, 112, 136, 160, 208)
CLIFF = 3.0  # a block of pixels that spans a steeper rise is seen from its top
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
    levels = [_level(height, factor, max(steps), pixel_size_um) for factor, steps in LEVELS]
    for dx, dy in directions():
        slopes = np.zeros(height.shape, dtype=np.float32)
        for (factor, steps), (own, padded) in zip(reversed(LEVELS), reversed(levels), strict=True):
            level = _steepest(own, padded, steps, dx, dy, factor * pixel_size_um)
            np.maximum(slopes, _enlarged(level, factor, height.shape), out=slopes)
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


def _level(height: np.ndarray, factor: int, reach: int, pixel_um: float) -> tuple[np.ndarray, np.ndarray]:
    """A coarser height field: as seen from, and as seen, padded.

    What is seen is the top of a block of pixels. What sees is its mean, but nothing looks out from half-way up a
    cliff: there it is the top as well.
    """
    if factor == 1:
        return height, np.pad(height, reach + 1, mode="edge")
    tall, wide = (-n % factor for n in height.shape)
    whole = np.pad(height, ((0, tall), (0, wide)), mode="edge") if tall or wide else height
    blocks = whole.reshape(whole.shape[0] // factor, factor, whole.shape[1] // factor, factor)
    mean, top = blocks.mean(axis=(1, 3), dtype=np.float32), blocks.max(axis=(1, 3))
    steep = top - blocks.min(axis=(1, 3)) > CLIFF * factor * pixel_um
    return np.where(steep, top, mean), np.pad(top, reach + 1, mode="edge")


def _steepest(
    own: np.ndarray, padded: np.ndarray, steps: tuple[int, ...], dx: float, dy: float, pixel_um: float
) -> np.ndarray:
    rows, columns = own.shape
    margin = max(steps) + 1
    steepest = np.zeros(own.shape, dtype=np.float32)
    rise = np.empty_like(steepest)
    for step in steps:
        right, down = round(step * dx), -round(step * dy)
        top, left = margin + down, margin + right
        np.subtract(padded[top : top + rows, left : left + columns], own, out=rise)
        rise *= np.float32(1 / (np.hypot(right, down) * pixel_um))
        np.maximum(steepest, rise, out=steepest)
    return steepest


def _enlarged(values: np.ndarray, factor: int, shape: tuple[int, ...]) -> np.ndarray:
    if factor == 1:
        return values
    return np.repeat(np.repeat(values, factor, axis=0), factor, axis=1)[: shape[0], : shape[1]]


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
