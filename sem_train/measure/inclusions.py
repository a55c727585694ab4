"""Pores, precipitates and cracks: how much of the layer they take, how many there are, how large.

Porosity follows ASTM E2109: 100·A_pore/A_layer, the layer's area including its pores.
Objects that the frame cuts count for area and by half for number (ASTM E112, planimetric
procedure), never for size.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.measure import regionprops
from skimage.morphology import skeletonize

SMALLEST_OBJECT_PX = 4  # fewer pixels are counted for area only: their size is the pixel's
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


@dataclass(frozen=True)
class CrackMeasurement:
    """All cracks of one class. Lengths in the field's unit."""

    host: str
    count: int
    total_length: float  # along the middle lines, branches included
    mean_opening: float | None  # area over length


def measure_inclusions(mask: np.ndarray, host: str, envelope: np.ndarray, pixel: float) -> InclusionMeasurement:
    """Measure inclusions (H, W) bool within the envelope (H, W) bool of their host; `pixel` is its edge in the unit."""
    within = mask & envelope
    host_px = int(np.count_nonzero(envelope))
    objects, _ = ndimage.label(within, EIGHT)
    area = np.bincount(objects.ravel())[1:]
    counted = area >= SMALLEST_OBJECT_PX
    rim = np.concatenate([objects[0], objects[-1], objects[:, 0], objects[:, -1]])
    cut = np.isin(np.arange(1, len(area) + 1), rim)
    ecd = np.sqrt(4 * area[counted & ~cut] / np.pi) * pixel
    number = np.count_nonzero(counted & ~cut) + np.count_nonzero(counted & cut) / 2
    return InclusionMeasurement(
        host=host,
        area_percent=100 * float(area.sum()) / host_px if host_px else None,
        count=int(counted.sum()),
        number_density=number / (host_px * pixel**2) if host_px else None,
        ecd=tuple(float(d) for d in ecd),
        ecd_mean=float(ecd.mean()) if len(ecd) else None,
        ecd_median=float(np.median(ecd)) if len(ecd) else None,
    )


def measure_cracks(mask: np.ndarray, host: str, pixel: float) -> CrackMeasurement:
    """Count cracks (H, W) bool and follow their middle lines; specks below SMALLEST_OBJECT_PX are left out."""
    objects, _ = ndimage.label(mask, EIGHT)
    length_px, area_px, count = 0.0, 0.0, 0
    for crack in regionprops(objects):
        if crack.area < SMALLEST_OBJECT_PX:
            continue
        count += 1
        area_px += crack.area
        length_px += _crack_length_px(np.pad(crack.image, 1), float(crack.area))
    return CrackMeasurement(host, count, length_px * pixel, area_px / length_px * pixel if count else None)


def _crack_length_px(image: np.ndarray, area: float) -> float:
    """Length of a crack's skeleton, and of what thinning took off its two ends.

    Steps along rows or columns, diagonal steps and corners between the two kinds are weighted
    as by Vossepoel & Smeulders (Computer Graphics and Image Processing 20, 1982, 347).
    """
    skeleton = skeletonize(image)
    straight = sum(_shifted(skeleton, r, c) for r, c in ((0, 1), (1, 0), (0, -1), (-1, 0)))
    diagonal = sum(
        # beside a right angle a diagonal step would be the same step twice
        _shifted(skeleton, r, c) & (1 - _shifted(skeleton, r, 0)) & (1 - _shifted(skeleton, 0, c))
        for r, c in ((1, 1), (1, -1), (-1, 1), (-1, -1))
    )
    straight, diagonal = straight * skeleton, diagonal * skeleton
    corners = np.count_nonzero((straight > 0) & (diagonal > 0))
    steps = max(0.980 * straight.sum() / 2 + 1.406 * diagonal.sum() / 2 - 0.091 * corners, 0.0)
    # each end lost about half the opening: length = steps + area / length
    return float(steps / 2 + np.sqrt(steps**2 / 4 + area))


def _shifted(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """(H, W) int: the neighbour that many rows down and columns right; the rim of `image` is empty."""
    return np.roll(image, (-rows, -columns), axis=(0, 1)).astype(int)
