"""Noise of counting electrons."""

import numpy as np


def counts(mean: np.ndarray, noise_factor: float, rng: np.random.Generator) -> np.ndarray:
    """Detected electrons a pixel (H, W) float32 around their mean; pixels are independent.

    Variance is `noise_factor` times the mean. At 1 they are Poisson; secondary electrons, several of which one beam
    electron sets free, scatter more (Frank 2005, 10.1093/jmicro/dfi044): bunches of `noise_factor` electrons,
    Poisson in number.
    """
    bunches = rng.poisson(np.maximum(mean, 0) / noise_factor)
    return bunches.astype(np.float32) * np.float32(noise_factor)
