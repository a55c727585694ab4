"""How sure a mean over specimens is, where both specimens and trainings are chance and there are few of either.

Values come as a table (specimens, trainings), NaN where a training was not tested on a specimen. All specimens of a
fold share the networks they are tested with, so they share the luck of those trainings: taken for independent, they
make any luck an effect. Two intervals answer for that, and the one given reaches over both.

Over specimens: the bootstrap-t (Efron and Tibshirani 1993, chapter 12), drawing specimens, and for each fold its
repetitions with other seeds, with replacement. Of a resample it is not the mean that is looked at but the mean in units
of its own standard error, which undoes most of what the percentile bootstrap is too narrow by with few specimens.

Over trainings: Student's, each training being one observation, since three cannot be drawn from.

How often the interval holds the true value was measured: docs/comparing.md.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.stats import t as student_t

RESAMPLES = 9999
CONFIDENCE = 0.95
FEWEST = 4  # specimens; of fewer, so many resamples hold one specimen only that no bound is found
SEED = 0


def by_specimen(table: np.ndarray) -> np.ndarray:
    """Value (S,) of each specimen: the mean over its trainings, NaN where it has none."""
    known = np.isfinite(table)
    return _ratio(np.where(known, table, 0.0).sum(axis=1), known.sum(axis=1).astype(float))


def interval(table: np.ndarray, folds: Sequence[int]) -> tuple[float, float]:
    """95 % interval of the mean over specimens of values (S, T); `folds` (T,) says which trainings are of one fold.

    Specimens without a value are left out. (NaN, NaN) for fewer than `FEWEST`. With one training only, its luck is not
    in the interval.
    """
    table = table[np.isfinite(table).any(axis=1)]
    if len(table) < FEWEST:
        return math.nan, math.nan
    mean = float(by_specimen(table).mean())
    low, high = _over_specimens(table, tuple(folds))
    error, trainings = error_over_trainings(table)
    if trainings > 1:
        reach = error * float(student_t.isf((1 - CONFIDENCE) / 2, trainings - 1))
        low, high = min(low, mean - reach), max(high, mean + reach)
    return low, high


def error_over_trainings(table: np.ndarray) -> tuple[float, int]:
    """Standard error of the mean over specimens of values (S, T) from the spread of trainings, and their number.

    Each training counts by what it adds to the mean. NaN for fewer than two.
    """
    known = np.isfinite(table)
    table, known = table[known.any(axis=1)], known[known.any(axis=1)]
    if len(table) == 0:
        return math.nan, 0
    weight = (known / known.sum(axis=1, keepdims=True)).sum(axis=0) / len(table)
    mean = float(by_specimen(table).mean())
    added = (np.where(known, table - mean, 0.0) / known.sum(axis=1, keepdims=True)).sum(axis=0) / len(table)
    trainings = int((weight > 0).sum())
    if trainings < 2:
        return math.nan, trainings
    return float(np.sqrt(trainings / (trainings - 1) * (added**2).sum())), trainings


def p_over_trainings(table: np.ndarray) -> float:
    """Two-sided p of Student's test that the mean over specimens is zero, trainings being chance; NaN for only one."""
    error, trainings = error_over_trainings(table)
    if trainings < 2:
        return math.nan
    mean = abs(float(np.nanmean(by_specimen(table))))
    if error <= 1e-12 * mean:
        return 1.0 if mean == 0 else 0.0
    return float(2 * student_t.sf(mean / error, trainings - 1))


def _over_specimens(table: np.ndarray, folds: tuple[int, ...]) -> tuple[float, float]:
    values = by_specimen(table)
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))
    if error <= _rounding(values):
        return mean, mean
    drawn = resampled(table, folds)
    off = drawn.mean(axis=1) - mean
    errors = drawn.std(axis=1, ddof=1) / math.sqrt(len(values))
    # a resample of one specimen only has no spread: it lies beyond every bound, on the side of its mean
    flat = errors <= _rounding(values)
    t = np.where(flat, np.where(off > 0, math.inf, -math.inf), off / np.where(flat, 1.0, errors))
    low, high = np.quantile(t, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], method="nearest")
    if not (math.isfinite(low) and math.isfinite(high)):  # most specimens have the same value: Student's is left
        high = float(student_t.isf((1 - CONFIDENCE) / 2, len(values) - 1))
        low = -high
    return float(mean - high * error), float(mean - low * error)


def resampled(table: np.ndarray, folds: tuple[int, ...]) -> np.ndarray:
    """Values (RESAMPLES, S) of drawn specimens, each the mean over its drawn trainings."""
    specimens = _drawn_specimens(len(table))
    weights = _drawn_trainings(folds)
    if (weights == 1).all():
        return by_specimen(table)[specimens]
    known = np.isfinite(table)
    weight = weights @ known.T.astype(float)
    # of a specimen that lacks some trainings, none may have been drawn: it keeps its mean over all
    values = np.where(weight > 0, _ratio(weights @ np.where(known, table, 0.0).T, weight), by_specimen(table))
    return np.take_along_axis(values, specimens, axis=1)


@lru_cache(maxsize=32)
def _drawn_specimens(count: int) -> np.ndarray:
    """(RESAMPLES, count): which specimens each resample holds. The same every time, so that results can be repeated."""
    return np.random.default_rng([SEED, count]).integers(count, size=(RESAMPLES, count))


@lru_cache(maxsize=32)
def _drawn_trainings(folds: tuple[int, ...]) -> np.ndarray:
    """(RESAMPLES, T): how often each resample holds each training; those of a fold are drawn from each other."""
    rng = np.random.default_rng([SEED, len(folds), 1])
    weights = np.ones((RESAMPLES, len(folds)))
    for fold in dict.fromkeys(folds):
        columns = np.flatnonzero(np.array(folds) == fold)
        weights[:, columns] = rng.multinomial(len(columns), np.full(len(columns), 1 / len(columns)), size=RESAMPLES)
    return weights


def _rounding(values: np.ndarray) -> float:
    """Spreads below this are those of rounding."""
    return 1e-12 * float(np.abs(values).max())


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
