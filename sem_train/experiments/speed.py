"""What trainings of an experiment cost on this machine, from a few real steps of each kind."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import numpy as np

from sem_train.baselines import BASELINES, AtScale
from sem_train.config import ExperimentConfig, Plan, TrainConfig
from sem_train.data import Picture
from sem_train.experiments.budget import Cost, Costs, baseline_kind, kind_of
from sem_train.experiments.plan import Cell
from sem_train.experiments.scores import score
from sem_train.inference import load_run
from sem_train.micrographs import write_label_map
from sem_train.run_folder import read_history
from sem_train.training import fit

WARM_UP, TIMED = 8, 8  # steps


def measure_costs(
    config: ExperimentConfig, cells: Sequence[Cell], pictures: Sequence[Picture], told: Callable[[str], None],
    known: Costs = MappingProxyType({}),
) -> dict[str, Cost]:  # fmt: skip
    """Costs of every kind of training and every baseline among the cells. `told` hears what is measured, now.

    Raises InputError if the data cannot be used.
    """
    by_name = {p.name: p for p in pictures}
    costs = dict(known)
    for cell in cells:
        test = by_name[cell.test[0]]
        baseline = config.arms[cell.arm].baseline
        if baseline is not None and baseline_kind(baseline) not in costs:
            told(f"measuring {baseline}")
            costs[baseline_kind(baseline)] = _baseline_cost(config, cell, by_name, test)
        for training in cell.trainings:
            if kind_of(training) not in costs:
                told(f"measuring {kind_of(training).rpartition(',')[0]}")
                costs[kind_of(training)] = _training_cost(training, test)
    return costs


def _training_cost(training: TrainConfig, test: Picture) -> Cost:
    with TemporaryDirectory(prefix="semforge-speed-") as folder:
        short = _short(training, Path(folder) / "run")
        started = time.monotonic()
        fit(short)
        whole = time.monotonic() - started
        warm, end = read_history(short.out)["seconds"][:2]
        step_s = (end - warm) / TIMED
        model = load_run(short.out)
        return Cost(
            start_s=whole - end + max(0.0, warm - WARM_UP * step_s), step_s=step_s,
            test_s=_test_s(lambda image: model.predict(image).labels, test, training, Path(folder)),
        )  # fmt: skip


def _short(training: TrainConfig, out: Path) -> TrainConfig:
    """A few steps of a training, with a row of its history after the first of them and one at the end."""
    settings = training.training.model_copy(update={
        "steps": WARM_UP + TIMED, "val_every": WARM_UP, "warmup_steps": 0, "patience": None, "tensorboard": False,
    })  # fmt: skip
    real = tuple(source.model_copy(update={"held_out": ()}) for source in training.data.real)
    data = training.data.model_copy(update={"real": real if training.data.real_share else ()})
    model = training.model.model_copy(update={"start_from": None})
    return training.model_copy(update={"training": settings, "data": data, "model": model, "out": out})


def _baseline_cost(config: ExperimentConfig, cell: Cell, pictures: dict[str, Picture], test: Picture) -> Cost:
    image, labels = pictures[cell.train[0]].read()
    started = time.monotonic()
    baseline = AtScale(BASELINES[str(config.arms[cell.arm].baseline)], config.plan.data.scale)
    fitted = baseline.fit([image], [labels], config.plan.classes, cell.seed)
    step_s = time.monotonic() - started
    with TemporaryDirectory(prefix="semforge-speed-") as folder:
        return Cost(0.0, step_s, _test_s(fitted.predict, test, config.plan, Path(folder)))


def _test_s(predict: Callable[[np.ndarray], np.ndarray], picture: Picture, plan: Plan, folder: Path) -> float:
    """Seconds to read, predict, write and score an image, the second time, when everything is warm."""
    for _ in range(2):
        started = time.monotonic()
        image, truth = picture.read()
        predicted = predict(image)
        write_label_map(folder / "labels.png", predicted, plan.classes)
        score(predicted, truth, plan.classes)
    return time.monotonic() - started
