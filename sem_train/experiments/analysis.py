"""From scores of single images to what the arms reach and how sure their differences from the reference are."""

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np

from sem_train.experiments.intervals import by_specimen, error_over_trainings, interval, p_over_trainings
from sem_train.experiments.permutation import holm, joint_sign_flips, sign_flip_p
from sem_train.experiments.power import detectable_by_trainings, detectable_difference, specimens_needed
from sem_train.experiments.quantities import Quantity, quantities
from sem_train.experiments.results import NO_REAL, ImageResult

Correction = Literal["holm", "max_t"]
T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """An arm at one number of real images: what was trained and tested."""

    arm: str
    asked: str
    real_images: tuple[int, int]  # fewest and most that its models were trained on
    folds: int
    seeds: tuple[int, ...]
    trainings: int
    specimens: int
    images: int
    seconds: float  # mean of its trainings


@dataclass(frozen=True)
class Estimate:
    """A quantity of an arm. NaN where it is not known."""

    arm: str
    asked: str
    quantity: str
    pooled: float  # over all test images
    mean: float  # over specimens
    low: float  # 95 % interval of the mean over specimens
    high: float
    sd_trainings: float  # between trainings (fold and seed)
    specimens: int  # that have a value
    images: int  # that have a value, each counted once a training


@dataclass(frozen=True)
class Difference:
    """A quantity of an arm minus that of the reference on the same specimens. NaN where it is not known."""

    arm: str
    asked: str  # of the reference; an arm without real images is compared at each
    quantity: str
    mean: float  # over specimens
    low: float  # 95 % interval
    high: float
    sd: float  # between specimens
    error_trainings: float  # standard error of the mean from the spread of trainings; NaN for a single one
    p_specimens: float  # sign-flip test over specimens
    p_trainings: float  # Student's test over trainings; NaN for a single one
    p_corrected: float  # the larger one, corrected for the comparisons of its family; NaN for quantities that explain
    comparisons: int  # in that family; 0 for quantities that explain
    detectable: float  # smallest true difference that four of five such experiments find
    needed: float  # specimens to find a difference as large as the mean; inf: more than can be told
    specimens: int  # that have a value on both sides
    left_out: int  # that both sides were tested on, but that have no value
    trainings: int  # pairs of them
    seeds: int
    by_specimen: dict[str, float]

    @property
    def p(self) -> float:
        """The larger of the two p-values: neither chance of specimens nor of trainings is to explain a difference."""
        return float(np.fmax(self.p_specimens, self.p_trainings))


@dataclass(frozen=True)
class Analysis:
    """All that is said about an experiment comes from this."""

    reference: str
    baselines: tuple[str, ...]  # arms without a network; a family of comparisons of their own
    arms: tuple[str, ...]
    asked: tuple[str, ...]  # numbers of real images, in order
    quantities: tuple[Quantity, ...]
    correction: Correction
    groups: tuple[Group, ...]
    estimates: tuple[Estimate, ...]
    differences: tuple[Difference, ...]
    missing: tuple[str, ...]  # in words

    @property
    def primary(self) -> tuple[Quantity, ...]:
        """The quantities that the answer is made of."""
        return tuple(q for q in self.quantities if q.primary)

    @property
    def networks_with_real(self) -> tuple[str, ...]:
        """The arms that "with so many real images" can be said of, and "helps" or "hurts"."""
        without = {g.arm for g in self.groups if g.asked == NO_REAL}
        return tuple(a for a in self.arms if a not in without and a not in self.baselines)

    def quantity(self, name: str) -> Quantity:
        """Raises KeyError if there is none of that name."""
        return {q.name: q for q in self.quantities}[name]

    def estimate(self, arm: str, asked: str, quantity: str) -> Estimate | None:
        """None if nothing was tested."""
        return next((e for e in self.estimates if (e.arm, e.asked, e.quantity) == (arm, asked, quantity)), None)

    def difference(self, arm: str, asked: str, quantity: str) -> Difference | None:
        """None if there is nothing to compare."""
        return next((d for d in self.differences if (d.arm, d.asked, d.quantity) == (arm, asked, quantity)), None)


def analyse(
    results: Sequence[ImageResult], names: Sequence[str], reference_arm: str, asked_order: Sequence[str], *,
    sought: Sequence[str] | None = None, baselines: Sequence[str] = (), missing: Sequence[str] = (),
    correction: Correction = "holm",
) -> Analysis:  # fmt: skip
    """Compare every arm with the reference arm at the same number of real images.

    `names` are the classes in order of id, `sought` those whose IoU is part of the answer (left out: all but the
    first). `missing` says in words what has not been run yet; what cannot be paired is added. Only what both sides of a
    comparison have counts: the same images under models of the same seed.
    """
    compared = quantities(names, results, names[1:] if sought is None else sought)
    arms = tuple(dict.fromkeys(r.arm for r in results))
    groups = _grouped(results, lambda r: (r.arm, r.asked))
    order = sorted(groups, key=lambda key: (arms.index(key[0]), _place(key[1], asked_order)))
    found, gaps = [], list(missing)
    for asked in [a for a in asked_order if (reference_arm, a) in groups] or [NO_REAL]:
        theirs = groups.get((reference_arm, asked), [])
        for arm in arms:
            own = NO_REAL if (arm, NO_REAL) in groups else asked
            if arm == reference_arm or (arm, own) not in groups:
                continue
            pairs, gap = _pairs(groups[arm, own], theirs, f"{arm} against {reference_arm} with {asked} real")
            gaps += gap
            found += [_difference(arm, asked, q, pairs) for q in compared] if pairs else []
    return Analysis(
        reference=reference_arm, baselines=tuple(baselines), arms=arms,
        asked=tuple(a for a in asked_order if any(key[1] == a for key in groups)), quantities=compared,
        correction=correction, groups=tuple(_group(*key, groups[key]) for key in order),
        estimates=tuple(_estimate(*key, q, groups[key]) for key in order for q in compared),
        differences=tuple(corrected(found, compared, baselines, correction)), missing=tuple(dict.fromkeys(gaps)),
    )  # fmt: skip


def _place(asked: str, order: Sequence[str]) -> int:
    return list(order).index(asked) if asked in order else -1


def _group(arm: str, asked: str, rows: Sequence[ImageResult]) -> Group:
    trainings = _grouped(rows, _training)
    images = [r.real_images for r in rows]
    return Group(
        arm, asked, (min(images), max(images)), len({r.fold for r in rows}), tuple(sorted({r.seed for r in rows})),
        len(trainings), len({r.specimen for r in rows}), len({r.image for r in rows}),
        float(np.mean([group[0].seconds for group in trainings.values()])),
    )  # fmt: skip


def _estimate(arm: str, asked: str, quantity: Quantity, rows: Sequence[ImageResult]) -> Estimate:
    columns = list(dict.fromkeys(_training(r) for r in rows))
    cells = {key: quantity.value(cell) for key, cell in _grouped(rows, lambda r: (r.specimen, _training(r))).items()}
    table = _table(cells, columns)
    values = by_specimen(table)
    known = np.isfinite(values)
    low, high = interval(table, [fold for fold, _ in columns])
    of_trainings = [quantity.value(group) for group in _grouped(rows, _training).values()]
    return Estimate(
        arm, asked, quantity.name, quantity.value(rows), _mean(values[known]), low, high, _sd(of_trainings),
        int(known.sum()), sum(quantity.known(r) for r in rows),
    )  # fmt: skip


@dataclass(frozen=True)
class _Pair:
    """The same image under two models of the same seed."""

    mine: ImageResult
    theirs: ImageResult

    @property
    def training(self) -> tuple[int, int]:
        """Fold and seed; fold −1 where one of the models was tested on all specimens, which then share its luck."""
        return min(self.mine.fold, self.theirs.fold), self.mine.seed


def _pairs(
    mine: Sequence[ImageResult], theirs: Sequence[ImageResult], what: str
) -> tuple[list[_Pair], list[str]]:
    """What can be compared, and in words what cannot."""
    key = lambda r: (r.specimen, r.image, r.seed)
    ours, others = ({key(r): r for r in rows} for rows in (mine, theirs))
    pairs = [_Pair(r, others[k]) for k, r in ours.items() if k in others]
    gaps = []
    for lacking, those in (("the arm", others.keys() - ours.keys()), ("the reference", ours.keys() - others.keys())):
        if those:
            specimens, seeds = {k[0] for k in those}, {k[2] for k in those}
            gaps.append(f"{what}: {lacking} lacks {len(those)} of {len(ours.keys() | others.keys())} results, of seed "
                        f"{_listed(seeds)} and specimen {_listed(specimens)}")  # fmt: skip
    return pairs, gaps


def _difference(arm: str, asked: str, quantity: Quantity, pairs: Sequence[_Pair]) -> Difference:
    columns = list(dict.fromkeys(p.training for p in pairs))
    cells = {}
    for key, group in _grouped(pairs, lambda p: (p.mine.specimen, p.training)).items():
        mine, theirs = quantity.pair([p.mine for p in group], [p.theirs for p in group])
        cells[key] = mine - theirs
    specimens = list(dict.fromkeys(specimen for specimen, _ in cells))
    return difference_of(arm, asked, quantity, specimens, columns, _table(cells, columns))


def difference_of(
    arm: str, asked: str, quantity: Quantity, specimens: Sequence[str], trainings: Sequence[tuple[int, int]],
    table: np.ndarray,
) -> Difference:  # fmt: skip
    """From paired differences (S, T) of each specimen under each training (fold, seed), NaN where there is none.

    The p-value is not corrected yet: `corrected` does it for all differences together.
    """
    values = by_specimen(table)
    known = np.isfinite(values)
    low, high = interval(table, [fold for fold, _ in trainings])
    trained = np.isfinite(table).any(axis=0)
    judged = quantity.better != "neither"
    return Difference(
        arm=arm, asked=asked, quantity=quantity.name, mean=_mean(values[known]), low=low, high=high,
        sd=_sd(values[known]), error_trainings=error_over_trainings(table)[0],
        p_specimens=sign_flip_p(values[known]) if judged else math.nan,
        p_trainings=p_over_trainings(table) if judged else math.nan,
        p_corrected=math.nan, comparisons=0, detectable=math.nan, needed=math.nan, specimens=int(known.sum()),
        left_out=int((~known).sum()), trainings=int(trained.sum()),
        seeds=len({seed for (_, seed), there in zip(trainings, trained, strict=True) if there}),
        by_specimen={name: float(v) for name, v in zip(specimens, values, strict=True) if np.isfinite(v)},
    )  # fmt: skip


def corrected(
    differences: Sequence[Difference], compared: Sequence[Quantity], baselines: Sequence[str], correction: Correction
) -> list[Difference]:
    """With p-values corrected: a family is one primary quantity of all arms with a network, or of all without."""
    families = _grouped(differences, lambda d: (d.quantity, d.arm in baselines))
    primary = {q.name for q in compared if q.primary}
    answers: dict[int, Difference] = {}
    for (quantity, _), family in families.items():
        if quantity not in primary:
            continue
        family = [d for d in family if d.specimens]
        for d, p in zip(family, _family_p(family, correction), strict=True):
            paid = len(family) if correction == "holm" else 1
            answers[id(d)] = replace(
                d, p_corrected=p, comparisons=len(family),
                detectable=max(detectable_difference(d.sd, d.specimens, paid),
                               detectable_by_trainings(d.error_trainings, d.trainings, paid)),
                needed=specimens_needed(d.mean, d.sd, paid),
            )  # fmt: skip
    return [answers.get(id(d), d) for d in differences]


def _family_p(family: Sequence[Difference], correction: Correction) -> list[float]:
    if correction == "holm":
        return holm([d.p for d in family])
    specimens = list(dict.fromkeys(s for d in family for s in d.by_specimen))
    joint = joint_sign_flips([np.array([d.by_specimen.get(s, math.nan) for s in specimens]) for d in family])
    # chance of trainings is no common unit of all arms, so it is corrected by itself
    return [float(np.fmax(a, b)) for a, b in zip(joint, holm([d.p_trainings for d in family]), strict=True)]


def _training(r: ImageResult) -> tuple[int, int]:
    return r.fold, r.seed


def _table(cells: dict[tuple[str, tuple[int, int]], float], columns: Sequence[tuple[int, int]]) -> np.ndarray:
    """Values (specimens, trainings), specimens in order of appearance."""
    rows = {name: i for i, name in enumerate(dict.fromkeys(specimen for specimen, _ in cells))}
    table = np.full((len(rows), len(columns)), math.nan)
    for (specimen, training), value in cells.items():
        table[rows[specimen], columns.index(training)] = value
    return table


def _grouped(items: Iterable[T], key: Callable[[T], Hashable]) -> dict:
    groups: dict[Hashable, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _listed(items: Iterable[object]) -> str:
    names = [str(x) for x in sorted(items)]
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _sd(values: Sequence[float]) -> float:
    known = [x for x in values if not math.isnan(x)]
    return float(np.std(known, ddof=1)) if len(known) > 1 else math.nan
