"""One cell of an experiment: train, predict the test images, score them. What is done is kept and found again."""

import fcntl
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np

from sem_train.baselines import BASELINES, AtScale
from sem_train.config import ExperimentConfig, TrainConfig
from sem_train.data import Picture, sample_identities
from sem_train.experiments.made_of import Origins
from sem_train.experiments.plan import Cell
from sem_train.experiments.results import ImageResult
from sem_train.experiments.scores import score
from sem_train.inference import TrainedOn, load_run
from sem_train.micrographs import write_label_map
from sem_train.run_folder import RunFolder
from sem_train.training import fit
from semforge.errors import InputError
from semforge.files import write_text

Predict = Callable[[np.ndarray], np.ndarray]  # image (H, W) to class ids (H, W) uint8


def is_finished(cell: Cell) -> bool:
    """Whether a cell is trained, tested and scored."""
    return cell.results.exists()


def results_of(cell: Cell) -> list[ImageResult]:
    """What a cell has found; nothing if it is not finished."""
    if not is_finished(cell):
        return []
    return [ImageResult.from_dict(row) for row in json.loads(cell.results.read_text(encoding="utf-8"))]


def run_cell(config: ExperimentConfig, cell: Cell, pictures: Sequence[Picture]) -> None:
    """Train and test a cell, or go on with it. `pictures` are all real images.

    Several processes may run cells of one experiment; one that another process is at is waited for.
    Raises InputError if the data or the folder cannot be used, and KeyboardInterrupt with all steps kept.
    """
    with _alone(cell.folder, ".lock"):
        if not is_finished(cell):
            Origins(config, pictures).claim(cell)
            found = _run(config, cell, pictures)
            write_text(cell.results, json.dumps([asdict(row) for row in found], indent=1) + "\n")


def train(config: TrainConfig) -> float:
    """Train, or wait for the process that does, since cells may share a pretraining; gives the seconds it took."""
    with _alone(config.out.parent, f".{config.out.name}.lock"):
        return fit(config).seconds


def _run(config: ExperimentConfig, cell: Cell, pictures: Sequence[Picture]) -> list[ImageResult]:
    by_name = {p.name: p for p in pictures}
    predict, seconds = _trained(config, cell, by_name) if cell.trainings else _fitted(config, cell, by_name)
    classes = config.plan.classes
    results = []
    for name in cell.test:
        image, truth = by_name[name].read()
        predicted = predict(image)
        path = cell.folder / "predictions" / f"{name}_labels.png"
        write_label_map(path, predicted, classes)
        results.append(ImageResult(
            arm=cell.arm, real_images=len(cell.train), asked=cell.asked, fold=-1 if cell.fold is None else cell.fold,
            seed=cell.seed, image=name, specimen=by_name[name].specimen, score=score(predicted, truth, classes),
            seconds=seconds, label_map=str(path.relative_to(config.out)),
        ))  # fmt: skip
    return results


def _trained(config: ExperimentConfig, cell: Cell, pictures: dict[str, Picture]) -> tuple[Predict, float]:
    seconds = 0.0
    for training in cell.trainings:
        seconds += train(training)
    folder = RunFolder(cell.trainings[-1].out)
    chosen = folder.best if config.validation.specimens and config.validation.select == "best" else folder.path
    model = load_run(chosen)
    _refuse_other_data(cell, model.trained_on, {pictures[name].identity for name in cell.train})
    for name in cell.test:
        picture = pictures[name]
        if picture.identity in model.trained_on.images or model.has_seen_specimen(picture.specimen):
            raise InputError(f"{picture.name}: was trained on by {folder.path}; remove that folder")
    return lambda image: model.predict(image).labels, seconds


def _refuse_other_data(cell: Cell, seen: TrainedOn, images: set[str]) -> None:
    """Raises InputError if trainings that were found finished are of files that have changed since."""
    mixing = [training.data.synthetic for training in cell.trainings if training.data.real_share < 1]
    samples = [sample_identities(sources) for sources in mixing]
    of_samples = None in samples or seen.samples == {digest for digests in samples for digest in digests or ()}
    if seen.images != images or not of_samples:
        folders = " and ".join(str(training.out) for training in cell.trainings)
        what = "synthetic samples" if seen.images == images else "real images"
        raise InputError(f"{folders}: was trained on {what} that have changed since; remove it to train again")


def _fitted(config: ExperimentConfig, cell: Cell, pictures: dict[str, Picture]) -> tuple[Predict, float]:
    name = config.arms[cell.arm].baseline
    read = [pictures[image].read() for image in cell.train]
    started = time.monotonic()
    baseline = AtScale(BASELINES[str(name)], config.plan.data.scale)
    segmenter = baseline.fit([x for x, _ in read], [y for _, y in read], config.plan.classes, cell.seed)
    return segmenter.predict, round(time.monotonic() - started, 1)


@contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """Within, no other process is. The kernel lets go of the lock when a process ends, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
