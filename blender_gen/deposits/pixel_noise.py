"""Random fields on the pixel grid, by filtering white noise: fast where a field is needed at every pixel."""

import numpy as np
from scipy.interpolate import RectBivariateSpline
from scipy.ndimage import gaussian_filter, gaussian_filter1d

SAMPLES = 5.0  # grid points over a correlation length; a finer grid is interpolated


def pixel_field(rng: np.random.Generator, shape: tuple[int, int], correlation_px: float) -> np.ndarray:
    """Gaussian field (H, W) float32, zero mean and unit variance; its correlation falls to 1/e at the distance.

    White noise filtered by a Gaussian of sigma L/2 has the correlation exp(-(r/L)^2).
    """
    step = max(correlation_px / SAMPLES, 1.0)
    sigma = max(correlation_px / step / 2, 1e-3)
    rows, columns = (int(np.ceil(n / step)) + 4 for n in shape)
    smooth = gaussian_filter(rng.standard_normal((rows, columns)), sigma, mode="wrap") / _spread(sigma)
    if step > 1:
        spline = RectBivariateSpline(np.arange(rows), np.arange(columns), smooth, kx=2, ky=2)
        smooth = spline(1 + np.arange(shape[0]) / step, 1 + np.arange(shape[1]) / step)
    return np.ascontiguousarray(smooth[: shape[0], : shape[1]], dtype=np.float32)


def _spread(sigma: float) -> float:
    """Standard deviation that the filter leaves of white noise of unit variance."""
    impulse = np.zeros(2 * int(4 * sigma + 1) + 1)
    impulse[len(impulse) // 2] = 1
    return float((gaussian_filter1d(impulse, sigma, mode="constant") ** 2).sum())
