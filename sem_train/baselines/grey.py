"""Grey levels that mean the same in every micrograph, and the filters that baselines share."""

import numpy as np
from scipy import ndimage
from skimage.filters import rank
from skimage.morphology import disk

PERCENTILES = (0.5, 99.5)  # as networks have them, see sem_train.transforms.normalise
FLAT = 1e-6


def unit_range(image: np.ndarray) -> np.ndarray:
    """A grey image (H, W) as float32: full scale of uint8 and uint16 is 1, float stays as it is."""
    if image.ndim != 2 or 0 in image.shape:
        raise ValueError(f"image has shape {image.shape}, expected (height, width)")
    full_scale = np.iinfo(image.dtype).max if np.issubdtype(image.dtype, np.integer) else 1
    return image.astype(np.float32) / np.float32(full_scale)


def grey_levels(image: np.ndarray) -> np.ndarray:
    """Grey levels (H, W) float32 with 0 at the image's own 0.5 % and 1 at its 99.5 % percentile; a flat image is 0.

    `image` is uint8, uint16, or float in 0 to 1, so that brightness and contrast of the detector drop out.
    """
    x = unit_range(image)
    low, high = np.percentile(x, PERCENTILES)
    return ((x - low) / (high - low)).astype(np.float32) if high - low > FLAT else np.zeros_like(x)


def grey_bytes(image: np.ndarray) -> np.ndarray:
    """The same in 256 levels, uint8; what lies outside of the percentiles is cut."""
    return np.rint(255 * np.clip(grey_levels(image), 0, 1)).astype(np.uint8)


def median(grey: np.ndarray, radius_px: int) -> np.ndarray:
    """Median of uint8 grey levels over a disk; radius 0 changes nothing."""
    return rank.median(grey, disk(radius_px)) if radius_px else grey


def gaussian(grey: np.ndarray, sigma_px: float) -> np.ndarray:
    """Gaussian smoothing of uint8 grey levels, rounded to uint8."""
    return np.rint(ndimage.gaussian_filter(grey.astype(np.float32), sigma_px)).astype(np.uint8)


def hats(grey: np.ndarray, radius_px: int) -> np.ndarray:
    """Local contrast enhanced: image + top-hat - bottom-hat, cut to 0 to 255. Radius 0 changes nothing.

    Top-hat is what an opening takes away, bottom-hat what a closing fills, with a square of edge 2 radius + 1: what is
    narrower than that and brighter (darker) than its surroundings gets brighter (darker) still.
    """
    if not radius_px:
        return grey
    size = (2 * radius_px + 1,) * 2
    x = grey.astype(np.int16)
    enhanced = 3 * x - ndimage.grey_opening(grey, size) - ndimage.grey_closing(grey, size)
    return np.clip(enhanced, 0, 255).astype(np.uint8)
