"""How far a spectrum is from all that is known, judged by the counts it has."""

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans

from semforge.spectra import EnergyAxis

BAND_EV = 80.0  # about the width of a line
LOWEST_KEV = 0.4  # below lies carbon, of which a coat may have any amount
PROTOTYPES = 8  # of a class: its compositions and conditions
DECADES = np.arange(1.0, 6.51, 0.5)  # of counts, at which the limit is known
LEAST = 1e-12


@dataclass(frozen=True)
class Novelty:
    """Distance of spectra to what is known: the nearer of a typical spectrum and the mixture that was read from them.

    The distance is one less the overlap Σ√(p q) of shares p and q in bands of energy. It falls with the number of
    counts for a spectrum of a known class; `limits` are what known spectra keep to.
    """

    means: np.ndarray  # (K, bands) float32, of sum 1
    prototypes: np.ndarray  # (M, bands) float32 roots of shares of typical spectra, of length 1
    first: int  # channel at which bands begin
    channels: int  # a band
    limits: np.ndarray  # (decades,)

    @classmethod
    def of(cls, spectra: np.ndarray, of_class: np.ndarray, axis: EnergyAxis) -> "Novelty":
        """From spectra (M, C) of classes (M,); limits that accept all until they are set."""
        first = min(max(axis.channel_of(LOWEST_KEV), 0), axis.channels - 1)
        channels = max(1, round(BAND_EV / axis.width_ev))
        shares = _shares(in_bands(spectra, first, channels))
        classes = [shares[of_class == k] for k in range(int(of_class.max()) + 1)]
        means = np.stack([rows.mean(0) for rows in classes])
        prototypes = np.concatenate([_typical(rows) for rows in classes])
        return cls(means, prototypes, first, channels, np.full(len(DECADES), np.inf))

    def distance(self, counts: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """(N,) float32 for counts (N, C) and shares (N, K); 1 for a spectrum of zeros."""
        roots = np.sqrt(_shares(in_bands(counts, self.first, self.channels)))
        mixture = np.sqrt(shares.astype(np.float32) @ self.means)
        overlap = np.maximum((roots * mixture).sum(-1), (roots @ self.prototypes.T).max(-1))
        return (1 - overlap).clip(0)

    def relative(self, counts: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """(N,) distance as a multiple of the limit at so many counts; above 1 a spectrum is like none."""
        decades = np.log10(counts.sum(-1, dtype=np.float64).clip(1))
        return (self.distance(counts, shares) / np.interp(decades, DECADES, self.limits)).astype(np.float32)


def in_bands(spectra: np.ndarray, first: int, channels: int) -> np.ndarray:
    """Sums (..., bands) float32 over so many channels from the first on; the last band may be narrower."""
    return np.add.reduceat(spectra, np.arange(first, spectra.shape[-1], channels), axis=-1, dtype=np.float32)


def _shares(bands: np.ndarray) -> np.ndarray:
    return bands / bands.sum(-1, keepdims=True).clip(LEAST)


def _typical(shares: np.ndarray) -> np.ndarray:
    """Centres (≤ PROTOTYPES, bands) of spectra of one class, as roots of length 1."""
    roots = np.sqrt(shares)
    if len(roots) > PROTOTYPES:
        roots = KMeans(PROTOTYPES, n_init=1, random_state=0).fit(roots).cluster_centers_
    return (roots / np.linalg.norm(roots, axis=-1, keepdims=True).clip(LEAST)).astype(np.float32)
