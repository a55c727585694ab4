"""How far a spectrum is from all that is known, judged by the counts it has."""

from dataclasses import dataclass

import numpy as np

BAND_EV = 80.0  # about the width of a line
DECADES = np.arange(1.0, 6.51, 0.5)  # of counts, at which the limit is known


@dataclass(frozen=True)
class Novelty:
    """Distance of spectra to the mixture of classes that was read from them.

    The distance is one less the overlap Σ√(p q) of the spectrum's and the mixture's shares in bands of energy, which
    falls with the number of counts for a spectrum of a known class; `limits` are what known spectra keep to.
    """

    means: np.ndarray  # (K, bands) float32, of sum 1
    channels: int  # a band
    limits: np.ndarray  # (decades,) float32

    @classmethod
    def of(cls, means: np.ndarray, width_ev: float) -> "Novelty":
        """From mean spectra (K, C); limits that accept all until they are set."""
        channels = max(1, round(BAND_EV / width_ev))
        bands = in_bands(means, channels)
        return cls((bands / bands.sum(-1, keepdims=True)).astype(np.float32), channels, np.full(len(DECADES), np.inf))

    def distance(self, counts: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """(N,) float32 for counts (N, C) and shares (N, K); 1 for a spectrum of zeros."""
        bands = in_bands(counts, self.channels)
        total = bands.sum(-1, keepdims=True)
        mixture = shares.astype(np.float32) @ self.means
        return 1 - np.sqrt(bands * mixture / total.clip(1e-12)).sum(-1)

    def relative(self, counts: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """(N,) distance as a multiple of the limit at so many counts; above 1 a spectrum is like none."""
        decades = np.log10(counts.sum(-1, dtype=np.float64).clip(1))
        return (self.distance(counts, shares) / np.interp(decades, DECADES, self.limits)).astype(np.float32)

    def unexplained(self, counts: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """(N, bands) counts above the mixture, in standard deviations of the counts expected there."""
        bands = in_bands(counts, self.channels)
        expected = shares.astype(np.float32) @ self.means * bands.sum(-1, keepdims=True)
        return (bands - expected) / np.sqrt(expected.clip(1))


def in_bands(spectra: np.ndarray, channels: int) -> np.ndarray:
    """Sums (..., bands) float32 over so many channels; the last band may be narrower."""
    return np.add.reduceat(spectra, np.arange(0, spectra.shape[-1], channels), axis=-1, dtype=np.float32)
