"""Background under lines, removed as usual before spectra are compared."""

import numpy as np

WINDOW_KEV = 0.15  # half of the widest valley that is clipped: wider than a line


def without_background(spectra: np.ndarray, width_ev: float) -> np.ndarray:
    """What rises above the background in spectra (..., C): (..., C) float64, never negative.

    Sensitive non-linear iterative peak clipping (SNIP; Ryan et al. 1988, 10.1016/0168-583X(88)90063-8) of the
    logarithm of the logarithm of the root, with windows that shrink to one channel.
    """
    spectra = np.asarray(spectra, dtype=np.float64)
    small = np.log(np.log(np.sqrt(spectra.clip(0) + 1) + 1) + 1)
    for half in range(max(1, round(1000 * WINDOW_KEV / width_ev)), 0, -1):
        if 2 * half >= spectra.shape[-1]:
            continue
        middle = (small[..., : -2 * half] + small[..., 2 * half :]) / 2
        small[..., half:-half] = np.minimum(small[..., half:-half], middle)
    background = (np.exp(np.exp(small) - 1) - 1) ** 2 - 1
    return (spectra - background).clip(0)
