"""Shares and counts, whose intervals are no value ± something: they end at nothing and at all."""

import math

from scipy.stats import beta, chi2

from sem_train.measure.uncertainty.estimate import CONFIDENCE, Spread, coverage_factor

TAIL = (1 - CONFIDENCE) / 2


def share_spread(share: float, n_eff: float, dof: float) -> Spread:
    """Of a share 0 to 1 that `n_eff` independent places show.

    Binomial limits (Clopper and Pearson) of an effective number of places that is reduced for being estimated, as Korn
    and Graubard (Survey Methodology 24, 1998, 193) do for surveys. A share of 0 or 1 so has an interval, too.
    """
    n = max(n_eff * (coverage_factor(math.inf) / coverage_factor(dof)) ** 2, 1.0)
    found = share * n
    low = float(beta.ppf(TAIL, found, n - found + 1)) if found > 1e-12 else 0.0
    high = float(beta.isf(TAIL, found + 1, n - found)) if n - found > 1e-12 else 1.0
    return Spread(math.sqrt(max(share * (1 - share), 0.0) / n_eff), dof, max(share - low, 0.0), max(high - share, 0.0))


def count_spread(count: float, over_dispersion: float = 1.0, dof: float = math.inf) -> Spread:
    """Of a count: Poisson's exact interval (Garwood), for events that come in groups as for fewer, larger ones.

    `over_dispersion` is the variance in units of the Poisson variance, at least 1. A count of 0 has an upper bound.
    """
    group = max(over_dispersion, 1.0) * (coverage_factor(dof) / coverage_factor(math.inf)) ** 2
    events = count / group
    low = float(chi2.ppf(TAIL, 2 * events)) / 2 * group if count > 0 else 0.0
    high = float(chi2.isf(TAIL, 2 * events + 2)) / 2 * group
    return Spread(math.sqrt(count * max(over_dispersion, 1.0)), dof, count - low, high - count)
