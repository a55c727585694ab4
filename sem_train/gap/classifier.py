"""A classifier told to tell crops of two sets apart, and how often it is right about specimens it has not seen.

Logistic regression with an L2 penalty on the statistics of a crop and their squares. The squares matter: a set
whose noise is at times too weak and at times too strong has the right mean. The fit is convex, so it has one
solution and needs no seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from sem_train.data.splits import grouped_folds

PENALTY = 1e-3  # of the squared weights, against the mean log loss of a crop
CLIP = 4.0  # standard deviations; a statistic further out says no more
FOLDS, DEALS = 5, 5
RESAMPLINGS = 2000
INTERVAL = 95.0  # percent


@dataclass(frozen=True)
class Estimate:
    """A figure and the interval it lies in."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Model:
    """A fitted classifier."""

    mean: np.ndarray  # (statistics,)
    sd: np.ndarray  # (statistics,)
    weights: np.ndarray  # (2 × statistics + 1,), the last is the offset

    def logit(self, values: np.ndarray) -> np.ndarray:
        """Log odds (n,) of belonging to the second set, of crops with statistics (n, statistics)."""
        return _terms(values, self.mean, self.sd) @ self.weights


def fit(values: np.ndarray, second: np.ndarray) -> Model:
    """Fit to statistics (n, statistics) and whether each crop is of the second set (n,) bool, sets weighing the same.

    Minimises mean log loss + PENALTY · |w|², offset free.
    """
    mean, sd = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-9)
    terms = _terms(values, mean, sd)
    weight = np.where(second, 0.5 / second.sum(), 0.5 / (~second).sum())
    sign = np.where(second, 1.0, -1.0)
    penalised = np.append(np.ones(terms.shape[1] - 1), 0.0)

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (terms @ w)
        value = weight @ np.logaddexp(0, -margin) + PENALTY * (penalised * w) @ w
        gradient = -terms.T @ (weight * sign * expit(-margin)) + 2 * PENALTY * penalised * w
        return value, gradient

    start = np.zeros(terms.shape[1])
    return Model(mean, sd, minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x)


def held_out_logits(
    first: np.ndarray, second: np.ndarray, first_groups: np.ndarray, second_groups: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Log odds (DEALS, n) of being of the second set, of each crop by models that saw no crop of its specimen.

    `first`, `second`: (n, statistics); `*_groups`: (n,) specimens. In each deal the specimens of either set are
    dealt into `FOLDS` folds, fewer where a set has fewer specimens. Needs two specimens a set.
    """
    groups = [[str(g) for g in specimens] for specimens in (first_groups, second_groups)]
    count = _fold_count(first_groups, second_groups)
    logits = np.zeros((DEALS, len(first))), np.zeros((DEALS, len(second)))
    for deal in range(DEALS):
        folds = [grouped_folds(g, count, DEALS * seed + deal) for g in groups]
        for parts in zip(*folds, strict=True):
            out = [np.isin(g, part.test) for g, part in zip(groups, parts, strict=True)]
            train = np.concatenate([first[~out[0]], second[~out[1]]])
            model = fit(train, np.repeat([False, True], [(~o).sum() for o in out]))
            for logit, values, held_out in zip(logits, (first, second), out, strict=True):
                logit[deal, held_out] = model.logit(values[held_out])
    return logits


def accuracy(
    first: np.ndarray, second: np.ndarray, first_groups: np.ndarray, second_groups: np.ndarray, seed: int
) -> Estimate:
    """Share of held-out crops put into their set, mean of the two sets and of the deals, from `held_out_logits`.

    The interval is that of the bootstrap over specimens of both sets, widened for the models, which would be
    others with other specimens, by the factor √(1 + K / (K − 1)) of Nadeau and Bengio (2003) for K folds.
    """
    right = (first < 0).mean(axis=0), (second > 0).mean(axis=0)
    value = float(np.mean([r.mean() for r in right]))
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
    resampled = [_resampled_share(r, g, rng) for r, g in zip(right, (first_groups, second_groups), strict=True)]
    folds = _fold_count(first_groups, second_groups)
    spread = (np.mean(resampled, axis=0) - value) * np.sqrt(1 + folds / (folds - 1))
    tail = (100 - INTERVAL) / 2
    low, high = np.percentile((value + spread).clip(0, 1), (tail, 100 - tail))
    return Estimate(value, float(low), float(high))


def _fold_count(*groups: np.ndarray) -> int:
    return min(FOLDS, *(len(np.unique(g)) for g in groups))


def _resampled_share(right: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mean (RESAMPLINGS,) of the share to which each crop is right, when specimens are drawn again with replacement."""
    _, owner = np.unique(groups, return_inverse=True)
    total, good = np.bincount(owner), np.bincount(owner, right)
    drawn = rng.integers(len(total), size=(RESAMPLINGS, len(total)))
    return good[drawn].sum(axis=1) / total[drawn].sum(axis=1)


def _terms(values: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    z = ((values - mean) / sd).clip(-CLIP, CLIP)
    return np.hstack([z, z**2 - 1, np.ones((len(z), 1))])


def mean_estimate(values: Sequence[float]) -> Estimate:
    """Mean and range of figures of several splits."""
    return Estimate(float(np.mean(values)), float(np.min(values)), float(np.max(values)))
