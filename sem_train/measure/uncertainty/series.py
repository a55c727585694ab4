"""What a series of neighbouring, hence similar, values along a layer knows of the mean of an endless one.

Neighbouring normals see the same bump of the layer, so N of them are not N independent values. With the integral
correlation length ℓ, the integral of the autocorrelation over lags from zero on, a series of length L is worth
n_eff = L / (2ℓ) independent values, and the variance of its mean is s² / n_eff.

Both are taken from the series itself, which sees its own mean only: about that, values seem less alike and less
spread than about the unknown one. The autocovariance at every lag is short by the variance of the mean, which is
put back until both agree. The sum over lags ends at the first that is not positive; beyond is noise. A trend, or waves
longer than the field, leave hardly one independent value: n_eff tends to 1, and the interval becomes wide, as it
should.

Student's factor is taken with n_eff / 2 degrees of freedom: measured to make 95 % intervals hold what they promise
for series down to ten correlation lengths (docs/uncertainty.md), where n_eff itself is badly known.
"""

import math
from dataclasses import dataclass

import numpy as np

from sem_train.measure.uncertainty.estimate import Spread

ROUNDS = 50  # until mean and autocovariance agree; few are needed unless the series is all trend
FEWEST = 3  # values; of fewer, nothing can be told


@dataclass(frozen=True)
class SeriesMean:
    """The mean of a correlated series and how well it stands for an endless one."""

    mean: float
    variance: float  # s² of single values about the unknown mean
    correlation_length: float  # integral ℓ, in steps of the series; at least half a step
    n_eff: float  # L / (2ℓ), at least 1

    @property
    def spread(self) -> Spread:
        """Of the mean."""
        return Spread(math.sqrt(self.variance / self.n_eff), max(self.n_eff / 2, 1.0))


def series_mean(values: np.ndarray) -> SeriesMean | None:
    """Mean of evenly spaced values (N,) and its uncertainty. None for fewer than `FEWEST`."""
    n = len(values)
    if n < FEWEST:
        return None
    mean = float(np.mean(values))
    covariance = autocovariance(values)
    if covariance[0] <= 1e-20 * max(mean**2, 1e-300):
        return SeriesMean(mean, 0.0, 0.5, float(n))
    of_mean, steps = 0.0, 0.5
    for _ in range(ROUNDS):
        before = of_mean
        steps = _integral(covariance + of_mean)
        variance = covariance[0] + of_mean
        # a mean that varies more than single values do is beyond what one series can tell
        of_mean = min(variance * 2 * steps / n, 2 * covariance[0])
        if abs(of_mean - before) <= 1e-6 * covariance[0]:
            break
    n_eff = max(n / (2 * steps), 1.0)
    return SeriesMean(mean, float(covariance[0] + of_mean), steps, n_eff)


def autocovariance(values: np.ndarray) -> np.ndarray:
    """Autocovariance (N,) about the series' own mean at every lag: mean over the pairs that far apart."""
    n = len(values)
    spectrum = np.fft.rfft(values - np.mean(values), 2 * n)
    return np.fft.irfft(np.abs(spectrum) ** 2, 2 * n)[:n] / (n - np.arange(n))


def _integral(covariance: np.ndarray) -> float:
    """Integral correlation length in steps: half a step for lag 0, then each lag up to the first not positive.

    A lag of k counts by the N - k pairs that are that far apart: so the variance of the mean of N values has it.
    """
    n = len(covariance)
    ended = np.flatnonzero(covariance <= 0)
    lags = np.arange(1, ended[0] if len(ended) else n)
    total = 0.5 + float(((1 - lags / n) * covariance[lags]).sum() / covariance[0])
    return min(max(total, 0.5), n / 2)
