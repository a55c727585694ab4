"""Scores of label maps, from confusion counts: rows are the true class, columns the predicted one."""

import numpy as np

from sem_train.config import UNLABELLED


def confusion(predicted: np.ndarray, truth: np.ndarray, n_classes: int) -> np.ndarray:
    """Pixel counts (C, C) int64 of true against predicted class ids; `UNLABELLED` truth is left out.

    Counts of several images add up to the counts of all their pixels.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"predicted labels are {predicted.shape}, true ones {truth.shape}")
    known = truth != UNLABELLED
    pairs = truth[known].astype(np.int64) * n_classes + predicted[known]
    return np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)


def dice(counts: np.ndarray) -> np.ndarray:
    """Dice coefficient 2|P∩T| / (|P| + |T|) a class: (C,) float64, NaN for a class neither true nor predicted."""
    return _ratio(2 * np.diag(counts), counts.sum(axis=0) + counts.sum(axis=1))


def iou(counts: np.ndarray) -> np.ndarray:
    """Intersection over union |P∩T| / |P∪T| a class: (C,) float64, NaN for a class neither true nor predicted."""
    overlap = np.diag(counts)
    return _ratio(overlap, counts.sum(axis=0) + counts.sum(axis=1) - overlap)


def mean_over_present(scores: np.ndarray) -> float:
    """Mean over the classes that have a score; NaN if none has."""
    return float(np.nanmean(scores)) if np.isfinite(scores).any() else float("nan")


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
