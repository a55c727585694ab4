"""Self-affine roughness at any point in space, read from one periodic table."""

from functools import cache

import numpy as np
from scipy.ndimage import map_coordinates, spline_filter

from blender_gen.shapes.meshes import random_rotation

CELLS = 64
OUTER = 32  # cells to the longest wavelength of importance


@cache
def _table(hurst: float) -> np.ndarray:
    """(64, 64, 64) spline coefficients of a periodic Gaussian field of unit variance; a constant of the code.

    The power falls as k^-(2 H + 3), that of a self-affine field with Hurst exponent H.
    """
    rng = np.random.default_rng(20)
    k = np.fft.fftfreq(CELLS) * CELLS
    size = np.sqrt(k[:, None, None] ** 2 + k[None, :, None] ** 2 + k[None, None, : CELLS // 2 + 1] ** 2)
    spectrum = np.fft.rfftn(rng.normal(size=(CELLS,) * 3))
    spectrum *= np.maximum(size, CELLS / OUTER) ** -(hurst + 1.5)
    spectrum[0, 0, 0] = 0
    field = np.fft.irfftn(spectrum, s=(CELLS,) * 3)
    return np.asarray(spline_filter(field / field.std(), mode="grid-wrap"))


def roughness(rng: np.random.Generator, points: np.ndarray, longest: float, hurst: float = 0.8) -> np.ndarray:
    """Zero-mean field of about unit variance at points (n, 3), with wavelengths from `longest` to `longest` / 16.

    Each call reads the table at a random place and orientation.
    """
    places = (points @ random_rotation(rng).T) * (OUTER / longest) + rng.uniform(0, CELLS, size=3)
    return np.asarray(map_coordinates(_table(hurst), places.T, order=3, mode="grid-wrap", prefilter=False))
