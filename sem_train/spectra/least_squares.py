"""Weighted non-negative least squares for very many spectra and few references at once."""

import numpy as np

SWEEPS = 400  # over the references, at most
SOLVED = 1e-7  # change of the largest amount in a sweep, relative to it, below which a spectrum is solved
BLOCK = 8192  # spectra at a time
LEAST = 1e-300


def amounts(spectra: np.ndarray, references: np.ndarray, weighted: bool = True) -> np.ndarray:
    """(N, M) amounts a ≥ 0 of references (M, C) that make up spectra (N, C): they minimise ‖W (s − a R)‖.

    W = 1/√max(s, 1) with `weighted`, as Poisson counts ask for, else 1. Solved for a block of spectra at once by
    coordinate descent on the normal equations, whose matrices (M, M) for all spectra are one matrix product of the
    weights with the products of references; the minimum is that of an active-set method.
    """
    references = np.asarray(references, dtype=np.float64)
    scale = np.linalg.norm(references, axis=-1, keepdims=True).clip(LEAST)
    unit = references / scale
    first, second = np.triu_indices(len(unit))
    products = (unit[first] * unit[second]).T  # (C, pairs)
    out = np.empty((len(spectra), len(unit)))
    for start in range(0, len(spectra), BLOCK):
        part = np.asarray(spectra[start : start + BLOCK], dtype=np.float64)
        weights = 1 / part.clip(1) if weighted else np.ones_like(part)
        gram = np.empty((len(part), len(unit), len(unit)))
        gram[:, first, second] = weights @ products
        gram[:, second, first] = gram[:, first, second]
        out[start : start + BLOCK] = _descended(gram, (part * weights) @ unit.T)
    return out / scale.T


def shares(spectra: np.ndarray, references: np.ndarray, weighted: bool = True) -> np.ndarray:
    """(N, M) amounts as shares of all counts explained; zeros for a spectrum of zeros."""
    counts = amounts(spectra, references, weighted) * np.asarray(references).sum(-1)
    total = counts.sum(-1, keepdims=True)
    return np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)


def _descended(gram: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Minimises ½ aᵀ G a − aᵀ r over a ≥ 0 for (N, M, M) and (N, M)."""
    out = np.zeros_like(right)
    open_ = np.arange(len(right))
    diagonal = np.einsum("nii->ni", gram).clip(LEAST)
    for _ in range(SWEEPS):
        now, matrix, wanted, own = out[open_], gram[open_], right[open_], diagonal[open_]
        before = now.copy()
        for j in range(right.shape[1]):
            slope = np.einsum("nm,nm->n", matrix[:, j], now) - wanted[:, j]
            now[:, j] = (now[:, j] - slope / own[:, j]).clip(0)
        out[open_] = now
        moved = np.abs(now - before).max(-1) > SOLVED * now.max(-1).clip(LEAST)
        open_ = open_[moved]
        if not len(open_):
            break
    return out
