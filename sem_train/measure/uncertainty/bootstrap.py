"""Spread of statistics that are no mean: percentiles and sd by blocks along a layer, sizes by drawing particles."""

from collections.abc import Callable

import numpy as np

from sem_train.measure.bodies.distributions import SHARES
from sem_train.measure.uncertainty.estimate import CONFIDENCE, Spread
from sem_train.measure.uncertainty.series import series_mean

RESAMPLES = 400
MOST_DRAWN = 4_000_000  # numbers held at once
SEED = 0  # results can be repeated
FEWEST_PARTICLES = 5  # drawing from fewer says nothing of those not seen

Statistics = Callable[[np.ndarray], np.ndarray]  # of values (R, N) along the last axis, (K, R)


def block_bootstrap(values: np.ndarray, statistics: Statistics) -> list[Spread]:
    """Spread of statistics of evenly spaced, correlated values (N,); empty for series too short.

    Circular moving blocks of two correlation ranges (4ℓ) are drawn with replacement. Blocks of a short series
    underestimate every spread; by how much is known for the mean, whose variance is s²/n_eff, so all are enlarged by
    that.
    """
    known = series_mean(values)
    if known is None:
        return []
    n = len(values)
    block = int(np.clip(round(4 * known.correlation_length), 1, max(n // 3, 1)))
    drawn = values[circular_blocks(n, block, RESAMPLES)]
    found = np.std(statistics(drawn), axis=1, ddof=1)
    of_mean = float(drawn.mean(axis=1).std(ddof=1))
    enlarge = max(known.spread.standard / of_mean, 1.0) if of_mean > 0 else 1.0
    return [Spread(float(u) * enlarge, known.spread.dof) for u in found]


def circular_blocks(n: int, block: int, resamples: int) -> np.ndarray:
    """Positions (R, n): runs of `block` neighbours from random starts, the end joined to the beginning."""
    rng = np.random.default_rng([SEED, n, block])
    starts = rng.integers(n, size=(resamples, -(-n // block)))
    return ((starts[:, :, None] + np.arange(block)).reshape(resamples, -1)[:, :n]) % n


def size_spreads(sizes: np.ndarray, weights: np.ndarray) -> dict[str, Spread]:
    """Of mean, median and D10, D50, D90 by number, area and volume of single bodies, drawn with replacement.

    `weights` (N,): how many bodies each stands for. For bodies that do not hang together; empty for fewer than
    `FEWEST_PARTICLES`. Intervals are those of percentiles of what was drawn, and so not symmetric.
    """
    n = len(sizes)
    if n < FEWEST_PARTICLES:
        return {}
    order = np.argsort(sizes, kind="stable")
    sizes, weights = sizes[order].astype(float), weights[order].astype(float)
    rng = np.random.default_rng([SEED, n])
    resamples = int(np.clip(MOST_DRAWN // n, 100, RESAMPLES))
    drawn = np.vstack([np.ones(n), rng.multinomial(n, np.full(n, 1 / n), size=resamples)]) * weights
    found = {"ecd_mean": drawn @ sizes / drawn.sum(axis=1), "ecd_median": _quantiles(sizes, drawn, (50,))[0]}
    for kind, power in (("number", 0), ("area", 2), ("volume", 3)):
        found |= zip((f"d{q}_{kind}" for q in SHARES), _quantiles(sizes, drawn * sizes**power, SHARES), strict=True)
    return {name: _percentile_spread(values[0], values[1:], n) for name, values in found.items()}


def _quantiles(sizes: np.ndarray, weights: np.ndarray, percent: tuple[int, ...]) -> np.ndarray:
    """Sizes (K, R) below which `percent` of each row of weights (R, N) lies, as `distributions.quantiles`."""
    reached = np.cumsum(weights, axis=1)
    middle = (reached - weights / 2) / reached[:, -1:]
    return np.array([np.interp(np.array(percent) / 100, row, sizes) for row in middle]).T


def _percentile_spread(value: float, drawn: np.ndarray, n: int) -> Spread:
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    wider = float(np.sqrt(n / (n - 1)))  # what is drawn from n values spreads as n - 1 degrees of freedom less
    below, above = max(float(value - low), 0.0) * wider, max(float(high - value), 0.0) * wider
    return Spread(float(drawn.std(ddof=1)) * wider, n - 1, below, above)
