"""Distributions of sizes: moments, D10/D50/D90 by number, area and volume, a lognormal and how well it fits.

A cumulative share is taken to be reached in the middle of the step that an object makes, with
straight lines between (Hazen's rule), so that with equal weights D50 by number is the median.
By area objects count as their diameter squared, by volume cubed: sections and shadows are taken
for discs and spheres.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

SHARES = (10, 50, 90)  # percent
FEWEST_FOR_FIT = 8  # objects that the test of the lognormal asks for
PRECISION = 0.05  # relative, of the mean of ln d, that `needed` is for
CONFIDENCE = 1.959964  # of 95 %, two-sided


@dataclass(frozen=True)
class Lognormal:
    """ln d taken as normal."""

    geometric_mean: float  # in the unit of the sizes; the median of the lognormal
    geometric_sd: float  # without unit, >= 1
    anderson_darling: float  # A², corrected for estimated mean and sd: below 0.752 it fits at the 5 % level
    p_value: float  # of that; small where the sizes are no lognormal
    number: int  # sizes it was fitted to


@dataclass(frozen=True, eq=False)
class SizeDistribution:
    """Sizes of objects that the frame does not cut. Lengths in the unit of the sizes."""

    values: np.ndarray  # (N,) sizes, in the order of the objects
    weights: np.ndarray  # (N,) how many objects each stands for, relative to the others
    mean: float
    sd: float | None  # None of a single object
    by_number: dict[int, float]  # D10, D50, D90 by their percent
    by_area: dict[int, float]
    by_volume: dict[int, float]
    lognormal: Lognormal | None  # None of fewer than FEWEST_FOR_FIT sizes, or of equal ones

    @property
    def span_number(self) -> float:
        """(D90 - D10) / D50 by number."""
        return (self.by_number[90] - self.by_number[10]) / self.by_number[50]

    @property
    def span_volume(self) -> float:
        """(D90 - D10) / D50 by volume."""
        return (self.by_volume[90] - self.by_volume[10]) / self.by_volume[50]


def distribution(values: np.ndarray, weights: np.ndarray | None = None) -> SizeDistribution | None:
    """The distribution of sizes (N,), each standing for `weights` (N,) objects; None without sizes."""
    values = np.asarray(values, dtype=np.float64)
    if len(values) == 0:
        return None
    weights = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    mean = float(np.average(values, weights=weights))
    return SizeDistribution(
        values=values,
        weights=weights,
        mean=mean,
        sd=_sd(values, weights) if len(values) > 1 else None,
        by_number=_shares(values, weights),
        by_area=_shares(values, weights * values**2),
        by_volume=_shares(values, weights * values**3),
        lognormal=fit_lognormal(values, weights),
    )


def quantiles(values: np.ndarray, weights: np.ndarray, percent: tuple[float, ...]) -> np.ndarray:
    """Sizes (K,) below which `percent` of the weight lies."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    middle = (reached - weights[order] / 2) / reached[-1]
    return np.interp(np.array(percent) / 100, middle, values[order])


def fit_lognormal(values: np.ndarray, weights: np.ndarray) -> Lognormal | None:
    """Weighted mean and sd of ln d, and the Anderson–Darling test on the values as they are, each counted once."""
    if len(values) < FEWEST_FOR_FIT or not (values > 0).all():
        return None
    logs = np.log(values)
    spread = _sd(logs, weights)
    own = float(logs.std(ddof=1))
    if spread < 1e-9 or own < 1e-9:
        return None
    n, x = len(logs), np.sort((logs - logs.mean()) / own)
    odd = 2 * np.arange(1, n + 1) - 1
    square = -n - float((odd * (stats.norm.logcdf(x) + stats.norm.logsf(x[::-1]))).mean())
    corrected = square * (1 + 0.75 / n + 2.25 / n**2)
    centre = float(np.average(logs, weights=weights))
    return Lognormal(float(np.exp(centre)), float(np.exp(spread)), corrected, _p_value(corrected), n)


def needed(geometric_sd: float, power: int, precision: float = PRECISION) -> int:
    """Objects of a lognormal that fix its median by number (power 0), area (2) or volume (3) to ± `precision` at 95 %.

    The estimate is that of the fitted lognormal, D50 = exp(mu + power·sigma²), whose relative variance
    is sigma²(1 + 2·power²·sigma²)/N: the formula of Masuda and Gotoh that ISO 13322-1 rests on.
    """
    sigma2 = np.log(geometric_sd) ** 2
    return int(np.ceil((CONFIDENCE / precision) ** 2 * sigma2 * (1 + 2 * power**2 * sigma2)))


def _shares(values: np.ndarray, weights: np.ndarray) -> dict[int, float]:
    return dict(zip(SHARES, quantiles(values, weights, SHARES).tolist(), strict=True))


def _sd(values: np.ndarray, weights: np.ndarray) -> float:
    mean = np.average(values, weights=weights)
    return float(np.sqrt(np.average((values - mean) ** 2, weights=weights) * len(values) / (len(values) - 1)))


def _p_value(a: float) -> float:
    """Of A² where mean and sd are estimated (D'Agostino and Stephens, Goodness-of-Fit Techniques, 1986, table 4.9)."""
    if a < 0.2:
        p = 1 - np.exp(-13.436 + 101.14 * a - 223.73 * a**2)
    elif a < 0.34:
        p = 1 - np.exp(-8.318 + 42.796 * a - 59.938 * a**2)
    elif a < 0.6:
        p = np.exp(0.9177 - 4.279 * a - 1.38 * a**2)
    else:
        p = np.exp(1.2937 - 5.709 * min(a, 10.0) + 0.0186 * min(a, 10.0) ** 2)
    return float(np.clip(p, 0.0, 1.0))
