"""Gaussian smoothing of a line that keeps straight lines straight, also at its ends and beside gaps."""

import numpy as np
from scipy import ndimage


def smoothed(values: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    """Local linear regression with Gaussian weights at each of N even steps; NaN where nothing is `known` (N,) bool.

    Away from ends and gaps it is the Gaussian filter; there it keeps the slope, where a padded filter would bend the
    line (moment criterion of ISO 16610-28). `sigma` is in steps. What is not known is not smoothed either.
    """
    x = np.arange(len(values), dtype=np.float64)
    weight = known.astype(np.float64)
    value = np.where(known, values, 0.0)
    smooth = lambda a: ndimage.gaussian_filter1d(a, sigma, mode="constant")
    s0, s1, s2 = (smooth(weight * x**k) for k in range(3))
    t0, t1 = (smooth(value * x**k) for k in range(2))
    first, second = s1 - x * s0, s2 - 2 * x * s1 + x**2 * s0  # moments about each step
    cross = t1 - x * t0
    spread = s0 * second - first**2
    enough = known & (spread > 1e-9 * np.maximum(s0 * second, 1e-30))
    level = np.full(len(x), np.nan)
    level[enough] = (second[enough] * t0[enough] - first[enough] * cross[enough]) / spread[enough]
    return level
