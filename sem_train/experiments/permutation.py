"""Whether a difference may be chance: sign-flip tests of paired differences, and what many tests at once cost."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

EXACT_UP_TO = 13  # differences: 2^13 flips are enumerated, of more a fixed random choice is taken
RESAMPLES = 19_999
ROUNDING = 1e-12
SEED = 0


def sign_flip_p(differences: np.ndarray) -> float:
    """Two-sided p of differences (N,): how often chance signs make a mean as far from zero. NaN without any.

    If two arms are alike, each difference might as well have come out with the other sign. Exact up to
    `EXACT_UP_TO` differences; no p is below 2 / 2^N.
    """
    if len(differences) == 0:
        return float("nan")
    sums = np.abs(_signs(len(differences)) @ differences)
    return float((sums >= sums[0] - ROUNDING * np.abs(differences).sum()).mean())


def smallest_p(count: int) -> float:
    """The p that `count` differences reach when all have the same sign."""
    return min(1.0, 2.0**(1 - count)) if count <= EXACT_UP_TO else max(2.0**(1 - count), 1 / (RESAMPLES + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979): below α by chance in no more than a share α of families.

    NaN stays NaN and does not count.
    """
    corrected = [float("nan")] * len(p_values)
    order = sorted((i for i, p in enumerate(p_values) if not np.isnan(p)), key=lambda i: p_values[i])
    worst = 0.0
    for rank, i in enumerate(order):
        worst = max(worst, min(1.0, (len(order) - rank) * p_values[i]))
        corrected[i] = worst
    return corrected


def joint_sign_flips(tables: Sequence[np.ndarray]) -> list[float]:
    """p-values of several comparisons corrected together (step-down max-T, Westfall and Young 1993).

    `tables` are differences (N,) of each comparison over the same units, NaN where one has none. Each flip turns the
    sign of a unit in all comparisons at once, so what they have in common, the reference above all, is not paid for
    twice; unlike with Holm, the smallest p does not grow with the number of comparisons. Takes for granted that without
    a difference the values of a unit are as likely with all signs turned.
    """
    if not len(tables):
        return []
    d = np.array([np.nan_to_num(table, nan=0.0) for table in tables])
    scale = np.sqrt((d**2).sum(axis=1))
    share = np.divide(d, scale[:, None], out=np.zeros_like(d), where=scale[:, None] > 0)
    # the sum over its root sum of squares rises and falls with Student's t, and no flip changes the latter
    observed = np.abs(share.sum(axis=1))
    flips = np.abs(_signs(d.shape[1]) @ share.T)
    order = np.argsort(-observed)
    corrected, worst = np.full(len(d), np.nan), 0.0
    for rank, i in enumerate(order):
        highest = flips[:, order[rank:]].max(axis=1)
        worst = max(worst, float((highest >= observed[i] - ROUNDING).mean()))
        corrected[i] = worst if np.isfinite(tables[i]).any() else np.nan
    return corrected.tolist()


@lru_cache(maxsize=32)
def _signs(count: int) -> np.ndarray:
    """(flips, count) of ±1: all, or as many random ones as `RESAMPLES`; the first turns none."""
    if count <= EXACT_UP_TO:
        return 1.0 - 2.0 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
    signs = np.random.default_rng(SEED).choice([-1.0, 1.0], size=(RESAMPLES + 1, count))
    signs[0] = 1.0
    return signs
