"""Spectral angle mapper: the class whose reference points in the most similar direction."""

import numpy as np


def cosines(spectra: np.ndarray, references: np.ndarray) -> np.ndarray:
    """(N, M) cosines of the angles between spectra (N, C) and references (M, C); 0 with a spectrum of zeros."""
    return _unit(spectra) @ _unit(references).T


def angles(spectra: np.ndarray, references: np.ndarray) -> np.ndarray:
    """(N, M) angles in radians (Kruse et al. 1993, 10.1016/0034-4257(93)90013-N); a right angle with zeros."""
    return np.arccos(cosines(spectra, references).clip(-1, 1))


def _unit(spectra: np.ndarray) -> np.ndarray:
    spectra = np.asarray(spectra)
    length = np.sqrt(np.einsum("...c,...c->...", spectra, spectra, dtype=np.float64))[..., None]
    return np.divide(spectra, length, out=np.zeros(spectra.shape, dtype=np.float64), where=length > 0)
