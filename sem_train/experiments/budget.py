"""An experiment sized to the hours at hand: pure planning, from what a step costs to what is left out.

What does not fit is thinned in one order, so that more hours never decide less:

1. numbers of real images; "all" stays, then the smallest
2. arms beside the reference and the first that adds synthetic images to real ones; baselines go last
3. folds, fewer and larger ones: every specimen is still tested
4. steps, down to a quarter, though not below 200
5. seeds; below three only if nothing else is left
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from rich.console import Group
from rich.text import Text

from sem_train.config import ExperimentConfig, TrainConfig
from sem_train.experiments.plan import Cell, numbers_asked
from sem_train.experiments.results import NO_REAL
from semforge.errors import InputError
from semforge.tables import plain_table

UNITS_S = {"m": 60.0, "h": 3600.0, "d": 86400.0}
RESERVE = 0.05  # of the hours, for the report and for what is not measured
LEAST_STEPS, LEAST_SHARE = 200, 0.25  # steps are not cut below the larger of the two
FEW_SEEDS = 3

Seconds = Callable[[ExperimentConfig], float]  # of a whole experiment; raises InputError for one that cannot be planned


def parse_budget(text: str) -> float:
    """Seconds in `90m`, `6h`, `1.5h` or `2d`. Raises InputError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([mhd])", text.strip())
    if match is None or float(match[1]) == 0:
        raise InputError(f"--budget {text}: expected a time above 0 such as 90m, 6h or 2d")
    return float(match[1]) * UNITS_S[match[2]]


@dataclass(frozen=True)
class Cost:
    """Seconds that a kind of training takes on one machine, or a baseline."""

    start_s: float  # of a training, before its first step: reading data, building the network
    step_s: float  # an optimiser step; of a baseline: fitting it to one image
    test_s: float  # an image: predicting and scoring


Costs = Mapping[str, Cost]  # by `kind_of` a training, or `baseline_kind`


@dataclass(frozen=True)
class Item:
    """A row of the bill: trainings that differ in fold and seed alone."""

    what: str
    real_images: str
    count: int
    steps: int  # each
    seconds: float  # together


@dataclass(frozen=True)
class Sized:
    """An experiment that fits, and what was given up for that."""

    config: ExperimentConfig
    seconds: float  # estimated
    undecided: tuple[str, ...]  # in words; empty: all that was asked


def kind_of(training: TrainConfig) -> str:
    """What trainings that cost as much a step have in common: network, batch, what they mix; not steps or folds."""
    share = training.data.real_share
    mixes = "real" if share == 1 else "synthetic" if share == 0 else "both"
    free = {"steps", "seed", "learning_rate", "schedule", "warmup_steps", "weight_decay", "val_every", "patience"}
    alike = {
        "model": training.model.model_dump(mode="json", exclude={"start_from"}),
        "loss": training.loss.model_dump(mode="json"), "augment": training.augment.model_dump(mode="json"),
        "training": training.training.model_dump(mode="json", exclude=free),
        "data": training.data.model_dump(mode="json", exclude={"real", "real_fraction"}),
    }  # fmt: skip
    return f"{training.model.name}, {mixes}, {sha256(repr(alike).encode()).hexdigest()[:8]}"


def baseline_kind(name: str) -> str:
    """As `kind_of`, of a baseline."""
    return f"baseline {name}"


def bill(config: ExperimentConfig, cells: Sequence[Cell], costs: Costs, specimens: Mapping[str, str]) -> list[Item]:
    """What an experiment costs, one job after the other. `specimens` is of each real image.

    A pretraining that cells share is counted once.
    """
    rows: list[Item] = []
    pretrained: set[str] = set()
    for cell in cells:
        tests = len(cell.test)
        name = config.arms[cell.arm].baseline
        if name is not None:
            cost = costs[baseline_kind(name)]
            rows.append(Item(cell.arm, cell.asked, 1, 0, len(cell.train) * cost.step_s + tests * cost.test_s))
            continue
        *before, last = cell.trainings
        for training in before:
            if training.name not in pretrained:
                pretrained.add(training.name)
                seconds = _training_s(training, costs, specimens)
                rows.append(Item("pretraining", NO_REAL, 1, training.training.steps, seconds))
        seconds = _training_s(last, costs, specimens) + tests * costs[kind_of(last)].test_s
        rows.append(Item(cell.arm, cell.asked, 1, last.training.steps, seconds))
    groups: dict[tuple[str, str, int], list[Item]] = {}
    for row in rows:
        groups.setdefault((row.what, row.real_images, row.steps), []).append(row)
    return [replace(alike[0], count=len(alike), seconds=sum(row.seconds for row in alike)) for alike in groups.values()]


def _training_s(training: TrainConfig, costs: Costs, specimens: Mapping[str, str]) -> float:
    cost, settings = costs[kind_of(training)], training.training
    held_out = {specimen for real in training.data.real for specimen in real.held_out}
    validated = sum(specimen in held_out for specimen in specimens.values())
    validations = math.ceil(settings.steps / min(settings.val_every, settings.steps))
    return cost.start_s + settings.steps * cost.step_s + validations * validated * cost.test_s


def size(config: ExperimentConfig, budget_s: float, seconds: Seconds) -> Sized:
    """The most that fits into the budget, less `RESERVE`, by the order of this module.

    Raises InputError, which says the least that is needed, if nothing does.
    """
    most = budget_s * (1 - RESERVE)

    def fits(candidate: ExperimentConfig) -> float | None:
        needed = seconds(candidate)
        return needed if needed <= most else None

    thin = config
    for thin, needed in _plannable(_thinned(config), seconds):
        if needed <= most:
            return Sized(thin, needed, undecided(config, thin))
    if (found := _most_steps(thin, fits)) is not None:
        return Sized(found, seconds(found), undecided(config, found))
    fewest = with_steps(thin, least_steps(thin))
    for count in range(len(config.seeds) - 1, 0, -1):
        few = _changed(fewest, seeds=config.seeds[:count])
        if (needed := fits(few)) is not None:
            return Sized(few, needed, undecided(config, few))
    needed = seconds(_changed(fewest, seeds=config.seeds[:1])) / (1 - RESERVE)
    least = (
        f"{len(thin.arms)} arms, {_images(numbers_asked(thin))}, {thin.folds.count} folds, {least_steps(thin)} steps "
        "and one seed"
    )
    raise InputError(
        f"--budget {budget_s / 3600:.3g}h is too little for {config.name}: {least} need {_up(needed)} on this machine; "
        "give that, or lower plan.training.steps"
    )


def least_steps(config: ExperimentConfig) -> int:
    """The fewest steps that `size` gives an experiment that asks for these."""
    asked = config.plan.training.steps
    return min(asked, max(LEAST_STEPS, math.ceil(asked * LEAST_SHARE)))


def with_steps(config: ExperimentConfig, steps: int) -> ExperimentConfig:
    """The same with another number of steps, also where arms repeat it, and warm-ups in proportion."""
    share = steps / config.plan.training.steps

    def scaled(training: Mapping[str, Any]) -> dict[str, Any]:
        new = {key: max(1, round(training[key] * share)) for key in ("steps", "training.steps") if key in training}
        warm = ("warmup_steps", "training.warmup_steps")
        new |= {key: math.floor(training[key] * share) for key in warm if key in training}
        return {**training, **new}

    settings = config.model_dump()
    settings["plan"]["training"] = scaled(settings["plan"]["training"])
    for arm in settings["arms"].values():
        arm["changes"] = scaled(arm["changes"])
        if isinstance(arm["changes"].get("training"), dict):
            arm["changes"]["training"] = scaled(arm["changes"]["training"])
    return ExperimentConfig.model_validate(settings)


def undecided(asked: ExperimentConfig, sized: ExperimentConfig) -> tuple[str, ...]:
    """What a sized experiment leaves open that the asked one would tell, in plain words."""
    lines = []
    if dropped := [n for n in numbers_asked(asked) if n not in numbers_asked(sized)]:
        lines.append(f"not asked: {_images(dropped)}")
    if arms := [arm for arm in asked.arms if arm not in sized.arms]:
        lines.append(f"not compared: {_listed(arms)}")
    if sized.folds.count < asked.folds.count:
        was, now = asked.folds.count, sized.folds.count
        lines.append(
            f"{now} folds instead of {was}: every specimen is tested, but by models trained on {100 - 100 // now} % "
            f"of the specimens instead of {100 - 100 // was} %"
        )
    was, now = asked.plan.training.steps, sized.plan.training.steps
    if now < was:
        lines.append(f"steps {now:,} instead of {was:,}: arms that learn slowly are at a disadvantage")
    if len(sized.seeds) < len(asked.seeds):
        lines.append(_said_of_seeds(len(sized.seeds), len(asked.seeds)))
    return tuple(lines)


def budget_table(config: ExperimentConfig, items: Sequence[Item], budget_s: float, lines: Sequence[str]) -> Group:
    """What will be run, for the terminal."""
    shown = plain_table("", "arm", "real images", "trainings", "steps each", "hours")
    shown.title = None
    for item in items:
        shown.add_row(item.what, item.real_images, str(item.count), f"{item.steps:,}" if item.steps else "–",
                      f"{item.seconds / 3600:.2f}")  # fmt: skip
    total = sum(item.seconds for item in items)
    shown.add_row("all", "", str(sum(item.count for item in items)), "", f"{total / 3600:.2f}", style="bold")
    head = f"{config.name}: {total / 3600:.2f} of {budget_s / 3600:.4g} hours, one training after the other"
    rest = ["What that leaves undecided:", *(f"  {line}" for line in lines)] if lines else ["All that was asked fits."]
    return Group(Text(head, style="bold"), shown, Text("\n".join(rest)))


def _thinned(config: ExperimentConfig) -> Iterator[ExperimentConfig]:
    """The experiment, then ever less of it, each a part of the one before; steps and seeds stay."""
    yield config
    for number in reversed(_by_worth(config)[1:]):
        config = _without_number(config, number)
        yield config
    kept = {config.reference, _second(config)}
    arms = [arm for arm in config.arms if arm not in kept]
    for arm in [*reversed([a for a in arms if not _baseline(config, a)]),
                *reversed([a for a in arms if _baseline(config, a)])]:  # fmt: skip
        config = _changed(config, arms={name: settings for name, settings in config.arms.items() if name != arm})
        yield config
    if config.folds.run is None:
        for count in range(config.folds.count - 1, 1, -1):
            yield _changed(config, folds=config.folds.model_copy(update={"count": count}))


def _plannable(candidates: Iterator[ExperimentConfig], seconds: Seconds) -> Iterator[tuple[ExperimentConfig, float]]:
    """Those that can be, and what they need: fewer folds may leave too few images. The first has to be."""
    for number, candidate in enumerate(candidates):
        try:
            yield candidate, seconds(candidate)
        except InputError:
            if number == 0:
                raise


def _most_steps(config: ExperimentConfig, fits: Callable[[ExperimentConfig], float | None]) -> ExperimentConfig | None:
    """The experiment with as many steps as fit, in round numbers; None if even the fewest do not."""
    asked, least = config.plan.training.steps, least_steps(config)
    grain = 10 ** max(0, len(str(asked)) - 2)
    choices = sorted({least, *range(math.ceil(least / grain) * grain, asked, grain)})
    low, high = -1, len(choices)  # the first fits, or none; the last does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(with_steps(config, choices[middle])) is not None else (low, middle)
    return with_steps(config, choices[low]) if low >= 0 else None


def _by_worth(config: ExperimentConfig) -> list[int | str]:
    """The same, what is given up last first: those of the reference, of these "all", then the smallest."""
    of_reference = config.arms[config.reference].real_images or config.real_images
    return sorted(numbers_asked(config), key=lambda n: (n not in of_reference, n != "all", n if n != "all" else 0))


def _without_number(config: ExperimentConfig, number: int | str) -> ExperimentConfig:
    """Without a number of real images, and without the arms that were run with no other."""
    left = tuple(n for n in config.real_images if n != number)
    arms = {}
    for name, arm in config.arms.items():
        own = tuple(n for n in arm.real_images or () if n != number)
        if own or (arm.real_images is None and left):
            arms[name] = arm.model_copy(update={"real_images": own or None})
    # if none is left, all arms have numbers of their own
    return _changed(config, real_images=left or config.arms[config.reference].real_images, arms=arms)


def _second(config: ExperimentConfig) -> str | None:
    """The arm that is compared with the reference to the last: the first that adds synthetic images to real ones.

    Without such an arm the first that uses synthetic images at all, or else the first other one.
    """
    others = [arm for arm in config.arms if arm != config.reference]
    trained = [arm for arm in others if not _baseline(config, arm)]
    shares = {arm: config.plan_of(arm).data.real_share for arm in trained}
    uses = [arm for arm in trained if shares[arm] < 1 or config.arms[arm].pretrain]
    both = [arm for arm in uses if shares[arm] > 0]
    return next(iter([*both, *uses, *trained, *others]), None)


def _baseline(config: ExperimentConfig, arm: str) -> bool:
    return config.arms[arm].baseline is not None


def _changed(config: ExperimentConfig, **changes: Any) -> ExperimentConfig:
    return ExperimentConfig.model_validate({**dict(config), **changes})


def _images(numbers: Sequence[int | str]) -> str:
    if numbers == [1]:
        return "1 real image"
    return f"{_listed(map(str, numbers))} real images"


def _listed(words: Any) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _said_of_seeds(now: int, was: int) -> str:
    if now == 1:
        return f"one seed instead of {was}: what chance does to a training cannot be told from what an arm does"
    why = "intervals are wider" if now >= FEW_SEEDS else "how much trainings differ by chance is hardly known"
    return f"{now} seeds instead of {was}: {why}"


def _up(seconds: float) -> str:
    """A time, rounded up, as --budget takes it."""
    unit = "h" if seconds > 2 * UNITS_S["h"] else "m"
    value = seconds / UNITS_S[unit]
    return f"{math.ceil(value * 10) / 10:g}{unit}" if unit == "h" else f"{math.ceil(value)}{unit}"
