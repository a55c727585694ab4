"""Which trainings and tests an experiment consists of, worked out before the first of them begins."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sem_train.config import ExperimentConfig, Plan, TrainConfig
from sem_train.data import Fold, Picture, grouped_folds, refuse_images_of_two_specimens
from sem_train.experiments.results import NO_REAL
from sem_train.run_folder import RunFolder
from semforge.errors import InputError

Plans = dict[str, Plan]  # of each arm with a network


@dataclass(frozen=True)
class Cell:
    """What is trained once and tested on specimens that it has not seen."""

    name: str
    arm: str
    asked: str  # number of real images as the experiment names it: "1", "all"; NO_REAL for an arm without
    fold: int | None  # None: tested on all specimens, since it saw none
    seed: int
    train: tuple[str, ...]  # names of the real images to learn from
    test: tuple[str, ...]  # names of the real images to be tested on
    trainings: tuple[TrainConfig, ...]  # one after the other, each from the weights of the one before; none: a baseline
    folder: Path

    @property
    def steps(self) -> int:
        """Optimiser steps of all its trainings."""
        return sum(training.training.steps for training in self.trainings)

    @property
    def results(self) -> Path:
        """What its tests have found, once it is finished."""
        return self.folder / "results.json"

    @property
    def record(self) -> Path:
        """What it is made of."""
        return self.folder / "made_of.json"

    @property
    def is_begun(self) -> bool:
        """Whether there is anything that it has learnt or found."""
        return self.results.exists() or any(RunFolder(training.out).last.exists() for training in self.trainings[-1:])


def plan_cells(config: ExperimentConfig, pictures: Sequence[Picture]) -> tuple[Cell, ...]:
    """All cells, seed by seed, then by number of real images, fold and arm, so that what ends early is whole.

    Arms share all but what their settings change: folds, seeds, initial weights, number of optimiser steps, the real
    images to learn from and the specimens to be tested on. Fewer real images are a part of more of them. `pictures`
    are all real images. Raises InputError if there are too few, or one of them stands under two specimens.
    """
    refuse_images_of_two_specimens(pictures)
    pictures = [p for p in pictures if p.specimen not in config.plan.data.real[0].excluded]
    folds = grouped_folds([p.specimen for p in pictures], config.folds.count, config.folds.seed)
    chosen = [folds[number] for number in config.folds.chosen]
    plans = {name: config.plan_of(name) for name, arm in config.arms.items() if arm.baseline is None}
    cells: dict[str, Cell] = {}
    for seed in config.seeds:
        for asked in sorted(numbers_asked(config), key=lambda n: n != "all"):  # first what most ask
            for fold in chosen:
                split = _split(config, pictures, fold, seed, asked)
                for arm, settings in config.arms.items():
                    if settings.real_images is not None and asked not in settings.real_images:
                        continue
                    cell = _cell(config, plans, arm, split, pictures)
                    cells.setdefault(cell.name, cell)
    return tuple(cells.values())


@dataclass(frozen=True)
class _Split:
    fold: Fold
    seed: int
    asked: str
    train: tuple[Picture, ...]
    validation: tuple[str, ...]  # specimens


def numbers_asked(config: ExperimentConfig) -> list[int | str]:
    """Numbers of real images that any arm is run with, the smallest first, "all" last."""
    asked = set(config.real_images)
    for arm in config.arms.values():
        asked |= set(arm.real_images or ())
    return sorted(asked, key=lambda n: (n == "all", n if n != "all" else 0))


def _split(config: ExperimentConfig, pictures: Sequence[Picture], fold: Fold, seed: int, asked: int | str) -> _Split:
    """Real images to learn from: a random order by seed and fold, of which `asked` come first."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(fold.number,)))
    specimens = sorted({p.specimen for p in pictures} - set(fold.test))
    spared = config.validation.specimens
    if spared >= len(specimens):
        raise InputError(f"'validation.specimens' is {spared}, but fold {fold.number} trains on {len(specimens)}; "
                         "lower it")  # fmt: skip
    shuffled = [specimens[i] for i in rng.permutation(len(specimens))]
    validation = tuple(sorted(shuffled[:spared]))
    left = sorted((p for p in pictures if p.specimen in shuffled[spared:]), key=lambda p: p.name)
    order = [left[i] for i in rng.permutation(len(left))]
    if asked != "all" and asked > len(order):
        raise InputError(f"'real_images' names {asked}, but fold {fold.number} trains on {len(order)}; lower it")
    train = order if asked == "all" else order[:asked]
    return _Split(fold, seed, str(asked), tuple(train), validation)


def _cell(config: ExperimentConfig, plans: Plans, arm: str, split: _Split, pictures: Sequence[Picture]) -> Cell:
    plan = plans.get(arm)
    without = plan is not None and plan.data.real_share == 0
    asked = NO_REAL if without else split.asked
    anywhere = without and not split.validation
    name = f"{arm}-{asked}" + ("" if anywhere else f"-fold{split.fold.number}") + f"-seed{split.seed}"
    folder = config.out / "cells" / name
    cell = Cell(
        name=name, arm=arm, asked=asked, fold=None if anywhere else split.fold.number, seed=split.seed,
        train=() if without else tuple(sorted(p.name for p in split.train)),
        test=tuple(p.name for p in pictures if anywhere or p.specimen in split.fold.test),
        trainings=(), folder=folder,
    )  # fmt: skip
    return cell if plan is None else replace(cell, trainings=_trainings(config, plans, arm, split, cell))


def _trainings(config: ExperimentConfig, plans: Plans, arm: str, split: _Split, cell: Cell) -> tuple[TrainConfig, ...]:
    plan = plans[arm]
    real = plan.data.real[0]
    seeded = plan.training.model_copy(update={"seed": split.seed})
    excluded = tuple(sorted({*real.excluded, *split.fold.test}))
    real = real.model_copy(update={"excluded": excluded, "held_out": split.validation, "only": cell.train})
    data = plan.data.model_copy(update={"real": (real,)}) if cell.train or split.validation else plan.data
    pretraining = _pretraining(config, plans, arm, split.seed)
    if pretraining is None:
        return (_training(plan, cell.name, cell.folder / "run", data=data, training=seeded),)
    steps = seeded.steps - pretraining.training.steps
    rate = seeded.learning_rate * config.arms[arm].fine_tune_rate
    rest = seeded.model_copy(update={"steps": steps, "learning_rate": rate})
    model = plan.model.model_copy(update={"start_from": pretraining.out})
    return pretraining, _training(plan, cell.name, cell.folder / "run", data=data, training=rest, model=model)


def _pretraining(config: ExperimentConfig, plans: Plans, arm: str, seed: int) -> TrainConfig | None:
    """The pretraining of an arm, named after the first arm that has the same; None for an arm without."""
    wanted = _synthetic_part(config, plans, arm)
    if wanted is None:
        return None
    first = next(other for other in plans if _synthetic_part(config, plans, other) == wanted)
    training = wanted.training.model_copy(update={"seed": seed})
    return _training(wanted, f"pretraining-{first}-seed{seed}", config.out / "pretraining" / f"{first}-seed{seed}",
                     training=training)  # fmt: skip


def _synthetic_part(config: ExperimentConfig, plans: Plans, arm: str) -> Plan | None:
    plan = plans[arm]
    steps = config.pretraining_steps(arm)
    if steps < 1:
        return None
    data = plan.data.model_copy(update={"real": (), "real_fraction": None})
    return plan.model_copy(update={"data": data, "training": plan.training.model_copy(update={"steps": steps})})


def _training(plan: Plan, name: str, out: Path, **changes: object) -> TrainConfig:
    settings = {**dict(plan), **changes}
    return TrainConfig.model_validate({
        "name": name, "out": out,
        **{key: value.model_dump() for key, value in settings.items() if key in Plan.model_fields},
    })  # fmt: skip
