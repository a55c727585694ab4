"""Class shares of a sample by number, area and volume, with the intervals that an air-quality laboratory reports.

By number a share is binomial: Wilson's interval of as many particles as would say as much if they were drawn one by
one. Weights and fields that differ by more than chance make them fewer. By area and volume a few large particles carry
a share, so fields are drawn with replacement, or particles where there are too few fields.

What a classifier confuses shifts shares. Where it is known how often it does, the shares by number that would most
likely have given those seen are stated beside them, never in their place. They are of what was not rejected: a rejected
particle may be of no class, and says nothing of the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from sem_train.measure.uncertainty.estimate import CONFIDENCE

REJECTED = "rejected"  # what was never seen in training, and what the classifier will not name
RESAMPLES = 2000
FEWEST_FIELDS = 5  # drawing from fewer says nothing of the next field
FEWEST_FOR_DESIGN = 3  # fields from which their spread beyond chance is estimated
FEWEST_PARTICLES = 5
SEED = 0  # results can be repeated
EM_ROUNDS = 500
DRAWS = 500  # of the shares seen and of the confusion, for the interval of what is corrected


@dataclass(frozen=True)
class Share:
    """Share of one class in a sample, 0 to 1."""

    sample: str
    by: str  # number, area or volume
    name: str  # class, or `rejected`
    count: int  # particles of the class that it rests on
    share: float
    low_95: float | None  # None where nothing can be said
    high_95: float | None
    method: str
    corrected: float | None = None  # for what the classifier confuses; None where that is not known
    corrected_low_95: float | None = None
    corrected_high_95: float | None = None


@dataclass(frozen=True, eq=False)
class Counted:
    """What shares are made of: one entry a particle."""

    field: np.ndarray  # (N,) which field of the sample
    name: np.ndarray  # (N,) position of its class; the last one is `rejected`
    weight: np.ndarray  # (N,) particles that it stands for against the frame; NaN where the frame cuts it
    area: np.ndarray  # (N,) what is seen of it
    volume: np.ndarray  # (N,) estimated, NaN where the frame cuts it

    def __len__(self) -> int:
        return len(self.name)


@dataclass(frozen=True, eq=False)
class Confusion:
    """How often particles of each class were given each name, in data that the classifier had not seen."""

    counts: np.ndarray  # (classes, names): rows the truth; columns the classes, then `rejected` where that was counted


def shares_of(sample: str, counted: Counted, classes: Sequence[str], confusion: Confusion | None = None) -> list[Share]:
    """Shares of the classes, and of what was rejected, by number, area and volume; empty where nothing was counted."""
    names = [*classes, REJECTED]
    found: list[Share] = []
    for by, amount in amounts(counted).items():
        used = np.isfinite(amount) & (amount > 0)
        if not used.any():
            continue
        share = _shares(counted.name[used], amount[used], len(names))
        counts = np.bincount(counted.name[used], minlength=len(names))
        limits, method = (_by_number if by == "number" else _by_drawing)(counted, amount, used, share, len(names))
        known = confusion if by == "number" else None  # how often large particles are confused is another matter
        corrected = _corrected(counted, used, known, len(classes)) if known is not None else None
        for k, name in enumerate(names):
            if name == REJECTED and not counts[k]:
                continue
            low, high = (None, None) if limits is None else (float(limits[0][k]), float(limits[1][k]))
            beside = (None,) * 3 if corrected is None or k == len(classes) else tuple(float(c[k]) for c in corrected)
            found.append(Share(sample, by, name, int(counts[k]), float(share[k]), low, high, method, *beside))
    return found


def amounts(counted: Counted) -> dict[str, np.ndarray]:
    """What each particle adds to its class's share, (N,) each; NaN where it does not count.

    By area cut particles count with what is seen of them, which needs no weight. By number and volume whole ones count
    for as many as the frame would hide (ISO 13322-1).
    """
    return {"number": counted.weight, "area": counted.area, "volume": counted.weight * counted.volume}


def wilson(share: np.ndarray | float, n: float, confidence: float = CONFIDENCE) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval of shares of `n` independent particles (Wilson 1927)."""
    z = norm.ppf((1 + confidence) / 2)
    share = np.asarray(share, dtype=float)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def design_effect(field: np.ndarray, member: np.ndarray, weight: np.ndarray) -> float:
    """Variance of a share between fields, as a ratio estimate, over that of particles drawn one by one; 1 at least.

    `member` (N,) bool says who is in the class. Of fewer than FEWEST_FOR_DESIGN fields nothing is known: 1.
    """
    fields, which = np.unique(field, return_inverse=True)
    m, total = len(fields), float(weight.sum())
    share = float(weight[member].sum() / total)
    if m < FEWEST_FOR_DESIGN or not 0 < share < 1:
        return 1.0
    residual = np.bincount(which, weights=weight * (member - share), minlength=m)
    between = m / (m - 1) * float((residual**2).sum()) / total**2
    return max(between / (share * (1 - share) / _kish(weight)), 1.0)


def deconvolved(seen: np.ndarray, confused: np.ndarray) -> np.ndarray:
    """Shares (..., k) of true classes under which shares `seen` (..., m) of names are likeliest.

    By expectation-maximisation from the shares of all classes alike. `confused` (..., k, m): probability of each name
    for each true class.
    """
    shares = np.full(confused.shape[:-1], 1 / confused.shape[-2])
    for _ in range(EM_ROUNDS):
        expected = (shares[..., None, :] @ confused)[..., 0, :]
        ratio = np.divide(seen, expected, out=np.zeros_like(expected), where=expected > 0)
        updated = shares * (confused @ ratio[..., None])[..., 0]
        updated /= np.maximum(updated.sum(axis=-1, keepdims=True), 1e-300)
        if np.abs(updated - shares).max() < 1e-7:
            return updated
        shares = updated
    return shares


def _kish(weight: np.ndarray) -> float:
    """As many particles of one weight as say as much."""
    return float(weight.sum() ** 2 / (weight**2).sum())


def _shares(name: np.ndarray, amount: np.ndarray, names: int) -> np.ndarray:
    return np.bincount(name, weights=amount, minlength=names) / amount.sum()


def _fields(number: int) -> str:
    return "1 field" if number == 1 else f"{number} fields"


Limits = tuple[np.ndarray, np.ndarray]


def _by_number(
    counted: Counted, amount: np.ndarray, used: np.ndarray, share: np.ndarray, names: int
) -> tuple[Limits, str]:
    name, field, weight = counted.name[used], counted.field[used], amount[used]
    n = _kish(weight)
    effect = [design_effect(field, name == k, weight) for k in range(names)]
    limits = np.array([wilson(share[k], max(n / effect[k], 1.0)) for k in range(names)]).T
    fields = len(np.unique(field))
    spread = f"design effect {max(effect):.2g} at most" if fields >= FEWEST_FOR_DESIGN else "no spread between fields"
    return (limits[0], limits[1]), f"Wilson, {n:.4g} particles of one weight, {_fields(fields)}, {spread}"


def _by_drawing(
    counted: Counted, amount: np.ndarray, used: np.ndarray, share: np.ndarray, names: int
) -> tuple[Limits | None, str]:
    drawn, method = _drawn(counted, amount, used, names, np.random.default_rng([SEED, int(used.sum())]))
    if drawn is None:
        return None, method
    low, high = np.nanquantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    return (np.minimum(low, share), np.maximum(high, share)), method


def _drawn(
    counted: Counted, amount: np.ndarray, used: np.ndarray, names: int, rng: np.random.Generator
) -> tuple[np.ndarray | None, str]:
    """Shares (R, names) of samples drawn with replacement, and how."""
    fields, which = np.unique(counted.field[used], return_inverse=True)
    if len(fields) >= FEWEST_FIELDS:
        unit, number, what = which, len(fields), f"{len(fields)} fields drawn {RESAMPLES} times"
    elif used.sum() >= FEWEST_PARTICLES:
        unit, number = np.arange(int(used.sum())), int(used.sum())
        what = f"{number} particles of {_fields(len(fields))} drawn {RESAMPLES} times, no spread between fields"
    else:
        return None, f"{int(used.sum())} particles, too few for an interval"
    table = np.zeros((number, names))
    np.add.at(table, (unit, counted.name[used]), amount[used])
    sums = rng.multinomial(number, np.full(number, 1 / number), size=RESAMPLES) @ table
    total = sums.sum(axis=1, keepdims=True)
    return np.divide(sums, total, out=np.full_like(sums, np.nan), where=total > 0), what


def _corrected(
    counted: Counted, used: np.ndarray, confusion: Confusion, classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Corrected shares by number and their limits, each (classes,): what was seen is drawn anew, and the confusion.

    None where nothing was accepted, or nothing of a class in the test.
    """
    kept, table = used & (counted.name < classes), confusion.counts.astype(float)
    if not kept.any() or (table[:, :classes].sum(axis=1) == 0).any():
        return None
    name, field, weight = counted.name[kept], counted.field[kept], counted.weight[kept]
    seen = _shares(name, weight, classes)
    n = max(_kish(weight) / max(design_effect(field, name == k, weight) for k in range(classes)), 1.0)
    rng = np.random.default_rng([SEED, 1, len(name)])
    drawn = rng.dirichlet(n * seen + 0.5, size=DRAWS)  # Jeffreys' prior: a class not seen may be there all the same
    confused = np.stack([rng.dirichlet(row + 1 / len(row), size=DRAWS) for row in table], axis=1)
    value = _of_accepted(seen, table / table.sum(axis=1, keepdims=True))
    low, high = np.quantile(_of_accepted(drawn, confused), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    return value, np.minimum(low, value), np.maximum(high, value)


def _of_accepted(seen: np.ndarray, confused: np.ndarray) -> np.ndarray:
    """True shares (..., k) where of the particles that were not rejected shares `seen` (..., k) got each name.

    `confused` (..., k, m): as for `deconvolved`, with `rejected` behind the classes. A class that is rejected more
    often than others is more frequent than it is among those accepted.
    """
    named = confused[..., : seen.shape[-1]]
    accepted = named.sum(axis=-1)
    shares = deconvolved(seen, named / accepted[..., None]) / accepted
    return shares / shares.sum(axis=-1, keepdims=True)
