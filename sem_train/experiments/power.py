"""What an experiment of this size could have found, and how large it would have to be. By the paired t test."""

import math

from scipy.optimize import brentq
from scipy.stats import nct, t

from sem_train.experiments.permutation import smallest_p

POWER = 0.8
LEVEL = 0.05
MOST = 999  # specimens looked for


def power(difference: float, sd: float, specimens: int, level: float) -> float:
    """How often a true mean difference is found if specimens differ from each other by `sd`."""
    bound = t.isf(level / 2, specimens - 1)
    centre = abs(difference) / sd * math.sqrt(specimens)
    return float(nct.sf(bound, specimens - 1, centre))


def detectable_difference(sd: float, specimens: int, comparisons: int = 1) -> float:
    """Smallest true mean difference that is found in four of five such experiments; NaN if none would be.

    `LEVEL` is shared among the comparisons, as the strictest step of Holm's correction does. NaN too for fewer than two
    specimens, and where even specimens of one mind would not get the sign-flip test below the level.
    """
    if smallest_p(specimens) > LEVEL / comparisons:
        return math.nan
    return _detectable(sd / math.sqrt(max(specimens, 1)), specimens, LEVEL / comparisons)


def detectable_by_trainings(error: float, trainings: int, comparisons: int = 1) -> float:
    """The same for Student's test over trainings, of which `error` is the standard error; NaN for fewer than two."""
    return _detectable(error, trainings, LEVEL / comparisons)


def _detectable(error: float, count: int, level: float) -> float:
    if count < 2 or math.isnan(error):
        return math.nan
    if error == 0:
        return 0.0
    sd = error * math.sqrt(count)
    highest = error
    while power(highest, sd, count, level) < POWER:
        highest *= 2
    return float(brentq(lambda d: power(d, sd, count, level) - POWER, 1e-6 * error, highest))


def specimens_needed(difference: float, sd: float, comparisons: int = 1) -> float:
    """How many specimens find a true mean `difference` in four of five experiments; inf if more than `MOST`."""
    level = LEVEL / comparisons
    if math.isnan(difference) or math.isnan(sd):
        return math.nan
    if difference == 0:
        return math.inf
    enough = lambda n: smallest_p(n) <= level and (sd == 0 or power(difference, sd, n, level) >= POWER)
    low, high = 2, MOST
    if not enough(high):
        return math.inf
    while low < high:  # power grows with the number of specimens
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return float(low)
