"""Filter responses of a pixel's neighbourhood at several scales, as Trainable Weka Segmentation has them."""

from collections.abc import Iterator

import numpy as np
from scipy import ndimage
from skimage.feature import multiscale_basic_features

from sem_train.baselines.grey import grey_levels

SIGMAS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
TRUNCATE = 4.0  # Gaussians end at this many sigma
# So far a feature sees: the largest Gaussian, a Hessian two pixels further, one pixel to spare.
REACH_PX = int(TRUNCATE * SIGMAS[-1]) + 3
TILE_PX = 512  # about 100 MB of features

Window = tuple[slice, slice]


def tiles(shape: tuple[int, ...], tile_px: int = TILE_PX) -> Iterator[Window]:
    """Windows that cover an image once, row by row."""
    for top in range(0, shape[0], tile_px):
        for left in range(0, shape[1], tile_px):
            yield slice(top, min(top + tile_px, shape[0])), slice(left, min(left + tile_px, shape[1]))


def tile_features(image: np.ndarray, tile_px: int = TILE_PX) -> Iterator[tuple[Window, np.ndarray]]:
    """Features (h, w, F) float32 of an image, window by window, the same for any `tile_px`.

    Grey levels are those of `grey_levels`. For each of six sigma: smoothed level, gradient, two eigenvalues of the
    Hessian; from 1 pixel on standard deviation within the Gaussian and difference from the next smaller Gaussian.
    """
    grey = grey_levels(image)
    for window in tiles(grey.shape, tile_px):
        wide = [slice(max(0, s.start - REACH_PX), s.stop + REACH_PX) for s in window]
        inner = tuple(slice(s.start - w.start, s.stop - w.start) for s, w in zip(window, wide, strict=True))
        yield window, _features(grey[tuple(wide)])[inner]


def _features(grey: np.ndarray) -> np.ndarray:
    basic = multiscale_basic_features(
        grey, sigma_min=SIGMAS[0], sigma_max=SIGMAS[-1], num_sigma=len(SIGMAS), num_workers=1
    )
    smoothed = basic[..., :: basic.shape[-1] // len(SIGMAS)]
    spreads = [_spread(grey, smoothed[..., i], sigma) for i, sigma in enumerate(SIGMAS) if i]
    return np.concatenate([basic, np.stack(spreads, axis=-1), np.diff(smoothed, axis=-1)], axis=-1, dtype=np.float32)


def _spread(grey: np.ndarray, smoothed: np.ndarray, sigma: float) -> np.ndarray:
    square = ndimage.gaussian_filter(grey**2, sigma, mode="nearest", truncate=TRUNCATE)
    return np.sqrt(np.clip(square - smoothed**2, 0, None))
