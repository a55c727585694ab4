"""Local thickness: at each point of a layer the diameter of the largest disc that holds the point and fits.

Hildebrand & Rüegsegger, J. Microsc. 185 (1997) 67: τ(p) = 2 max{r : p in B(x, r), B(x, r) in the layer}. It needs
no direction, so it also tells how thick islands, necks and bulges are; a slab has its thickness everywhere. Only discs
within the frame count, and where the layer runs on at a side of it, nothing within a median radius of that side.

Discs are centred on the ridge of the distance map, their radii reach to the smoothed outline, which is known to a part
of a pixel. A layer thicker than `WORKING_PX` is measured on a coarser grid: to a percent of its thickness.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree
from skimage.measure import find_contours

from sem_train.measure.windows import rows_around

WORKING_PX = 64.0  # of a layer's thickness: enough for a percent, and quick
MARGIN = 4  # rows beside a layer that its smoothed edge reaches
EDGE_SIGMA_PX = 0.7  # as for thickness: turns the pixel staircase into an edge
NEAR = np.mgrid[-1:2, -1:2].reshape(2, -1).T


@dataclass(frozen=True)
class LocalThickness:
    """Local thickness over the area of a layer, in the field's unit."""

    mean: float
    sd: float
    max: float


def measure_local_thickness(mask: np.ndarray, mean_px: float | None, across: float) -> LocalThickness | None:
    """Local thickness of an envelope (H, W) bool, upright; None where no disc fits into the frame.

    `mean_px` is its mean thickness along normals, `across` what a pixel stands for across the layer.
    """
    if mean_px is None or not mask.any():
        return None
    found = local_thickness(mask[rows_around(mask, MARGIN)], max(1, round(mean_px / WORKING_PX)))
    values = found[found > 0] * across
    return LocalThickness(float(values.mean()), float(values.std()), float(values.max())) if len(values) else None


def local_thickness(mask: np.ndarray, factor: int = 1) -> np.ndarray:
    """Local thickness in pixels of a mask (H, W) bool, on a grid of blocks of `factor` x `factor` pixels.

    0 outside the mask and where no disc fits into the frame. Rows and columns that fill no block are left out.
    """
    level = _level(mask, factor)
    inside = level >= 0.5
    outline = find_contours(level, 0.5)
    found = np.zeros(level.shape, dtype=np.float32)
    if not outline or not inside.any():
        return found
    boundary = KDTree(_dense(outline))
    centres, radii = _discs(inside, boundary)
    # what bounds the layer beyond the frame is not seen
    clear = np.minimum(centres + 0.5, np.array(level.shape) - 0.5 - centres).min(axis=1)
    fits = radii <= clear + 1e-6
    if not fits.any():
        return found
    _paint(found, centres[fits], radii[fits])
    strip = int(np.ceil(np.median(radii[fits])))
    for side in (slice(0, strip), slice(level.shape[1] - strip, None)):
        if inside[:, 0 if side.start == 0 else -1].any():
            found[:, side] = 0.0
    return np.where(inside, found, 0.0) * (2 * factor)


def _level(mask: np.ndarray, factor: int) -> np.ndarray:
    """Share of the mask in each block, its edge smoothed by about a block."""
    if factor > 1:
        height, width = (n // factor for n in mask.shape)
        blocks = mask[: height * factor, : width * factor].reshape(height, factor, width, factor)
        return blocks.mean(axis=(1, 3), dtype=np.float32)
    return ndimage.gaussian_filter(mask.astype(np.float32), EDGE_SIGMA_PX, mode="nearest", truncate=4.0)


def _dense(outline: list[np.ndarray]) -> np.ndarray:
    """Points (N, 2) on the outline, no more than half a pixel apart."""
    return np.concatenate([points for line in outline for points in (line, (line[1:] + line[:-1]) / 2)])


def _discs(inside: np.ndarray, boundary: KDTree) -> tuple[np.ndarray, np.ndarray]:
    """Centres (N, 2) and radii (N,) of the discs that no other disc holds."""
    distance = ndimage.distance_transform_edt(inside)
    ridge = _ridge(distance)
    centres, radii = np.argwhere(ridge).astype(np.float64), distance[ridge]
    # the middle of a layer lies between pixels as a rule: shift each centre to where the largest disc is
    for step in (0.5, 0.25, 0.125):
        shifts = step * NEAR
        tried = centres[:, None] + shifts
        reach = boundary.query(tried.reshape(-1, 2))[0].reshape(len(centres), -1)
        best = reach.argmax(axis=1)
        rows = np.arange(len(centres))
        centres, radii = tried[rows, best], reach[rows, best]
    return centres, radii


def _ridge(distance: np.ndarray) -> np.ndarray:
    """Pixels whose disc no neighbour's disc holds, to a third of a pixel; (H, W) bool."""
    ridge = distance > 0
    padded = np.pad(distance, 1)
    height, width = distance.shape
    for row in (-1, 0, 1):
        for column in (-1, 0, 1):
            if row or column:
                neighbour = padded[1 + row : 1 + row + height, 1 + column : 1 + column + width]
                ridge &= neighbour < distance + np.hypot(row, column) - 1 / 3
    return ridge


def _paint(found: np.ndarray, centres: np.ndarray, radii: np.ndarray) -> None:
    """Write each disc's radius into `found` (H, W), larger discs over smaller ones."""
    order = np.argsort(radii)
    height, width = found.shape
    for (row, column), radius in zip(centres[order].tolist(), radii[order].tolist(), strict=True):
        reach = radius + 0.5  # pixels that the disc touches
        top, bottom = max(0, int(np.ceil(row - reach))), min(height, int(row + reach) + 1)
        left, right = max(0, int(np.ceil(column - reach))), min(width, int(column + reach) + 1)
        down = np.arange(top, bottom)[:, None] - row
        side = np.arange(left, right) - column
        found[top:bottom, left:right][down**2 + side**2 <= reach**2] = radius
