"""The experiment: arms with and without synthetic data, trained alike, tested on specimens that none has seen."""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console

from sem_train.comparison import ImageResult, Thickness, compare, markdown, table, write_images, write_summary
from sem_train.config import ExperimentConfig, TrainConfig
from sem_train.data import Picture, gather, grouped_folds, real_pictures
from sem_train.inference import TrainedModel, load_run
from sem_train.measure import measure_label_map
from sem_train.metrics import confusion
from sem_train.overlays import write_overlay
from sem_train.provenance import commit, machine, versions
from sem_train.training import fit
from semforge.errors import InputError
from semforge.files import write_text


@dataclass(frozen=True)
class Trial:
    """One training of the experiment and the specimens to test it on."""

    arm: str
    fold: int
    seed: int
    test: tuple[str, ...]
    config: TrainConfig


def plan_trials(config: ExperimentConfig, specimens: list[str]) -> list[Trial]:
    """All trainings, those of one fold and seed side by side; `specimens` has one entry an image.

    Arms share everything but the mixture of their batches: fold, seed, steps, augmentation, initial weights.
    """
    folds = grouped_folds(specimens, config.folds.count, config.folds.seed)
    return [
        _trial(config, arm, fold, seed, folds[fold].test)
        for seed in config.seeds for fold in config.folds.chosen for arm in config.arms
    ]  # fmt: skip


def _trial(config: ExperimentConfig, arm: str, fold: int, seed: int, test: tuple[str, ...]) -> Trial:
    plan = config.plan
    real = plan.data.real[0]
    real = real.model_copy(update={"excluded": tuple(sorted({*real.excluded, *test}))})
    data = plan.data.model_copy(update={"real": (real,), "real_fraction": config.arms[arm]})
    name = f"{arm}-fold{fold}-seed{seed}"
    training = plan.training.model_copy(update={"seed": seed})
    settings = plan.model_dump() | {"data": data.model_dump(), "training": training.model_dump()}
    run = TrainConfig.model_validate({**settings, "name": name, "out": config.out / "runs" / name})
    return Trial(arm, fold, seed, test, run)


def run_experiment(config: ExperimentConfig, console: Console) -> list[ImageResult]:
    """Train and test every trial, then print and save the comparison. What an earlier call finished is kept.

    Writes `summary.md`, `summary.csv`, `images.csv`, `results.json` and overlays into `config.out`.
    Raises InputError before the first training if data is missing, and KeyboardInterrupt with every finished
    step kept.
    """
    real = config.plan.data.real[0]
    pictures = [p for p in real_pictures(real, config.plan.classes) if p.specimen not in real.excluded]
    trials = plan_trials(config, [p.specimen for p in pictures])
    for trial in trials[: len(config.arms)]:
        gather(trial.config.data, trial.config.classes)
    results: list[ImageResult] = []
    for number, trial in enumerate(trials, start=1):
        console.print(f"{number}/{len(trials)} {trial.config.name}: tested on {', '.join(trial.test)}", highlight=False)
        seconds = fit(trial.config).seconds
        results += _tested(trial, pictures, seconds)
    _save(config, trials, results)
    names = config.plan.classes.names
    console.print(table(config.name, compare(results, names, config.baseline)))
    console.print(f"→ {config.out / 'summary.md'}", highlight=False, soft_wrap=True)
    return results


def _tested(trial: Trial, pictures: list[Picture], seconds: float) -> list[ImageResult]:
    """Scores of a trial's test images, from its folder if it was tested before."""
    path = trial.config.out / "test.json"
    if path.exists():
        return [ImageResult.from_dict(row) for row in json.loads(path.read_text(encoding="utf-8"))]
    results = list(_test(trial, load_run(trial.config.out), pictures, seconds))
    write_text(path, json.dumps([asdict(result) for result in results], indent=1) + "\n")
    return results


def _test(trial: Trial, model: TrainedModel, pictures: list[Picture], seconds: float) -> Iterator[ImageResult]:
    classes = trial.config.classes
    for picture in pictures:
        if picture.specimen not in trial.test:
            continue
        if picture.identity in model.trained_on.images or model.has_seen_specimen(picture.specimen):
            raise InputError(f"{picture.name}: was trained on by {trial.config.out}; remove that folder")
        image, truth = picture.read()
        predicted = model.predict(image).labels
        write_overlay(trial.config.out / "overlays" / f"{picture.name}.png", image, predicted, classes)
        seen, true = (measure_label_map(labels, classes, None).layers for labels in (predicted, truth))
        yield ImageResult(
            arm=trial.arm, fold=trial.fold, seed=trial.seed, image=picture.name, specimen=picture.specimen,
            counts=confusion(predicted, truth, len(classes)).tolist(),
            thickness={name: Thickness(true[name].mean, seen[name].mean) for name in true}, seconds=seconds,
        )  # fmt: skip


def _save(config: ExperimentConfig, trials: list[Trial], results: list[ImageResult]) -> None:
    names = config.plan.classes.names
    comparison = compare(results, names, config.baseline)
    provenance = {"commit": commit(), "machine": machine(), "versions": versions()}
    write_summary(config.out / "summary.csv", comparison)
    write_images(config.out / "images.csv", results, names)
    write_text(config.out / "summary.md", markdown(config, comparison, provenance))
    everything = {
        "config": config.model_dump(mode="json"), **provenance,
        "tested_on": {t.config.name: t.test for t in trials},
        "summary": [asdict(row) for row in comparison], "images": [asdict(result) for result in results],
    }  # fmt: skip
    write_text(config.out / "results.json", json.dumps(_without_nan(everything), indent=1) + "\n")


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: what is not known is null."""
    if isinstance(value, dict):
        return {key: _without_nan(x) for key, x in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(x) for x in value]
    return None if isinstance(value, float) and math.isnan(value) else value
