"""Binary feature fitting: which channels are bright, then how well the reference fits where it has lines.

The name has no single definition. Here: spectra are written as bits, a channel is on if it is brighter than the mean of
the channels (binary encoding; Mazer et al. 1988, 10.1016/0034-4257(88)90002-7), and compared by the share of bits that
agree in the windows in which any reference has a line; there each reference is then fitted to the spectrum by least
squares, scale and constant, as in spectral feature fitting (Clark et al. 1990, 10.1029/JB095iB08p12653). The score is
the share of agreeing bits times the coefficient of determination of the fit.
"""

import numpy as np

LINE = 0.03  # of the highest channel above its background: a reference has a line where it rises above this


def feature_channels(references: np.ndarray) -> np.ndarray:
    """(C,) bool: where any of the references (M, C), their background removed, has a line."""
    highest = references.max(axis=-1, keepdims=True)
    return (references > LINE * np.where(highest > 0, highest, 1)).any(axis=0)


def agreeing_bits(spectra: np.ndarray, references: np.ndarray) -> np.ndarray:
    """(N, M) share of channels in which spectra (N, C) and references (M, C) are both on or both off."""
    ours, theirs = (np.where(s > s.mean(axis=-1, keepdims=True), 1.0, -1.0) for s in (spectra, references))
    return (1 + ours @ theirs.T / spectra.shape[-1]) / 2


def fit_quality(spectra: np.ndarray, references: np.ndarray) -> np.ndarray:
    """(N, M) coefficients of determination of least-squares fits a + b·reference with b above 0; else 0."""
    ours, theirs = (s - s.mean(axis=-1, keepdims=True) for s in (spectra, references))
    length = np.linalg.norm(ours, axis=-1)[:, None] * np.linalg.norm(theirs, axis=-1)[None]
    together = ours @ theirs.T
    correlation = np.divide(together, length, out=np.zeros_like(together), where=length > 0)
    return correlation.clip(0) ** 2


def scores(spectra: np.ndarray, references: np.ndarray) -> np.ndarray:
    """(N, M) of spectra (N, C) against references (M, C), 0 to 1; both in the windows of the references' lines."""
    window = feature_channels(references)
    ours, theirs = (np.asarray(s, dtype=np.float64)[:, window] for s in (spectra, references))
    return agreeing_bits(ours, theirs) * fit_quality(ours, theirs)
