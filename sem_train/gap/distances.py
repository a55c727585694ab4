"""Distances of grey levels and of spectra."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import wasserstein_distance

from sem_train.transforms import normalise

LEVELS = np.arange(256.0)
FLAT = 1e-6  # grey levels; a crop with less contrast has no spectrum of its own


def grey_histogram(image: np.ndarray, normalised: bool = False) -> np.ndarray:
    """Share (256,) of the grey levels 0 to 255 in an image (H, W) uint8.

    `normalised`: the 0.5 % and 99.5 % percentiles of the image go to 0 and 255 first, as in training.
    """
    levels = image
    if normalised:
        levels = np.rint((normalise(image, "percentile").clip(-1, 1) + 1) * 127.5).astype(np.uint8)
    return np.bincount(levels.ravel(), minlength=256) / image.size


def grey_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Wasserstein distance (earth mover's) of two mean histograms: grey levels of 255 that a pixel must move.

    `first`, `second`: (n, 256) shares, an image a row, so every image weighs the same whatever its size.
    """
    return float(wasserstein_distance(LEVELS, LEVELS, first.mean(axis=0), second.mean(axis=0)))


def spatial_frequencies(crop_px: int) -> np.ndarray:
    """Centres in 1/px of the rings that `log_spectrum` averages over: 2/crop to 1/2 in steps of 1/crop."""
    return np.arange(2, crop_px // 2 + 1) / crop_px


def log_spectrum(crop: np.ndarray) -> np.ndarray:
    """Radially averaged power spectrum of a crop (n, n) in decibels, at `spatial_frequencies(n)`.

    The crop is brought to mean 0 and standard deviation 1 and multiplied by a Hann window; the power of white
    noise is 0 dB at all frequencies. The rings 0 and 1/n, which the window mixes with the mean, are left out.
    """
    n = len(crop)
    x = crop.astype(np.float64)
    window = np.outer(*[np.hanning(n + 1)[:-1]] * 2)
    x = (x - x.mean()) / max(float(x.std()), FLAT) * window
    power = np.abs(np.fft.fft2(x)) ** 2 / (window**2).sum()
    frequency = np.fft.fftfreq(n, 1 / n)
    ring = np.rint(np.hypot(*np.meshgrid(frequency, frequency))).astype(int).ravel()
    mean = np.bincount(ring, power.ravel()) / np.bincount(ring)
    return 10 * np.log10(mean[2 : n // 2 + 1] + 1e-9)


def spectrum_distance(first: Sequence[np.ndarray] | np.ndarray, second: Sequence[np.ndarray] | np.ndarray) -> float:
    """Root mean square over frequencies of the difference of two mean log spectra, in decibels.

    `first`, `second`: (n, rings) of `log_spectrum`.
    """
    difference = np.mean(first, axis=0) - np.mean(second, axis=0)
    return float(np.sqrt(np.mean(difference**2)))
