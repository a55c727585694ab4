"""Scores of named particles: confusion, recall with its interval, macro-F1, accuracy over specimens."""

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, f1_score

RESAMPLES = 9999
CONFIDENCE = 0.95
FEWEST = 4  # groups; of fewer, an interval over them means nothing
SEED = 0


def confusion(truth: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Particles (k, k) int64 of a true class (row) that were named another (column)."""
    return confusion_matrix(truth, predicted, labels=np.arange(n_classes))


def macro_f1(truth: np.ndarray, predicted: np.ndarray, n_classes: int) -> float:
    """Mean over the classes that are there of the harmonic mean of precision and recall; NaN without particles."""
    present = [c for c in range(n_classes) if (truth == c).any()]
    if not present:
        return float("nan")
    return float(f1_score(truth, predicted, labels=present, average="macro", zero_division=0))


def wilson(right: int, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927), (NaN, NaN) of nothing. Takes particles for independent."""
    if count == 0:
        return float("nan"), float("nan")
    interval = binomtest(right, count).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def accuracy_interval(right: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """95 % interval of the share of right answers (N,) by drawing whole specimens.

    The percentile bootstrap over groups, each with all of its particles, since these have much in common.
    (NaN, NaN) for fewer than `FEWEST` groups.
    """
    _, where = np.unique(groups, return_inverse=True)
    count = np.bincount(where).astype(float)
    if len(count) < FEWEST:
        return float("nan"), float("nan")
    hits = np.bincount(where, weights=right.astype(float))
    rng = np.random.default_rng([SEED, len(count)])
    drawn = rng.multinomial(len(count), np.full(len(count), 1 / len(count)), size=RESAMPLES)
    low, high = np.quantile((drawn @ hits) / (drawn @ count), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
