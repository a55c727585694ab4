"""From settings to checked pictures: what is trained on, what is held out, how often each class comes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from sem_train.classes import ClassMap
from sem_train.config import DataSettings, Plan, RealData
from sem_train.data.pictures import Picture, real_pictures, synthetic_pictures
from sem_train.data.splits import refuse_shared_specimens
from sem_train.transforms import quantiles
from semforge.errors import InputError, refuse_bad

MOST_MEASURED = 100  # pictures whose levels make a reference
AnyPlan = TypeVar("AnyPlan", bound=Plan)


@dataclass(frozen=True)
class Gathered:
    """The data of a training run, all of it read once and found whole."""

    synthetic: tuple[Picture, ...]  # trained on
    real: tuple[Picture, ...]  # trained on
    held_out: tuple[Picture, ...]  # for validation
    class_share: np.ndarray  # (C,) float64, share of labelled training pixels, weighted as batches are mixed

    @property
    def training(self) -> tuple[Picture, ...]:
        """Pictures in the order that `MixedBatches` numbers them."""
        return self.synthetic + self.real


def gather(data: DataSettings, classes: ClassMap) -> Gathered:
    """Find the pictures that settings name and read each once.

    Raises InputError that names the files and samples that cannot be used, or the specimen that stands on both sides
    of the split.
    """
    synthetic: list[Picture] = []
    real: list[Picture] = []
    held_out: list[Picture] = []
    excluded: list[Picture] = []
    for source in data.synthetic:
        if data.real_share < 1 or source.held_out:
            train, validate = synthetic_pictures(source, classes)
            synthetic += train if data.real_share < 1 else []
            held_out += validate
    for folder in data.real:
        if data.real_share > 0 or folder.held_out:
            pictures = real_pictures(folder, classes)
            train, validate = _split(folder, pictures)
            real += train if data.real_share > 0 else []
            held_out += validate
            excluded += [p for p in pictures if p.specimen in folder.excluded]
    if data.real_share > 0 and not real:
        raise InputError("every real specimen is held out or excluded, none is left to train on; shorten these lists")
    refuse_shared_specimens(synthetic + real, held_out)
    refuse_shared_specimens(real, excluded, "excluded")
    counts = count_pixels([*synthetic, *real, *held_out], len(classes))
    share = np.zeros(len(classes))
    of_synthetic, of_real = counts[: len(synthetic)], counts[len(synthetic) : len(synthetic) + len(real)]
    for of_kind, weight in ((of_synthetic, 1 - data.real_share), (of_real, data.real_share)):
        share += weight * of_kind.sum(axis=0) / max(1, of_kind.sum())
    return Gathered(tuple(synthetic), tuple(real), tuple(held_out), share)


def settled(plan: AnyPlan, gathered: Gathered) -> AnyPlan:
    """The plan with what its normalisation takes from the training images, so that it travels with the checkpoint.

    The reference is the mean of the quantiles of up to `MOST_MEASURED` images, real ones if there are any.
    """
    data = plan.data
    if data.normalisation != "reference" or data.reference_levels:
        return plan
    pictures = gathered.real or gathered.synthetic
    chosen = pictures[:: -(-len(pictures) // MOST_MEASURED)]
    levels = np.mean([quantiles(picture.read()[0]) for picture in chosen], axis=0)
    settled_data = data.model_copy(update={"reference_levels": tuple(float(level) for level in levels)})
    return plan.model_copy(update={"data": settled_data})


def _split(folder: RealData, pictures: list[Picture]) -> tuple[list[Picture], list[Picture]]:
    """Pictures to train on and held-out ones, without the excluded."""
    both = set(folder.held_out) & set(folder.excluded)
    unknown = (set(folder.held_out) | set(folder.excluded)) - {p.specimen for p in pictures}
    if both or unknown:
        problem = "is both held out and excluded" if both else "is held out or excluded, but no image is of it"
        raise InputError(f"{folder.root}: specimen {sorted(both or unknown)[0]!r} {problem}")
    train = [p for p in pictures if p.specimen not in (*folder.held_out, *folder.excluded)]
    missing = set(folder.only) - {p.name for p in train}
    if missing:
        raise InputError(f"{folder.root}: 'only' names {sorted(missing)[0]!r}, which is no image left to train on")
    train = [p for p in train if not folder.only or p.name in folder.only]
    return train, [p for p in pictures if p.specimen in folder.held_out]


def count_pixels(pictures: Sequence[Picture], n_classes: int) -> np.ndarray:
    """Labelled pixels a picture and class: (N, C) int64. Reads every picture.

    Raises InputError as `refuse_bad`.
    """
    counts = np.zeros((len(pictures), n_classes), dtype=np.int64)
    bad: list[str] = []
    for row, picture in zip(counts, pictures, strict=True):
        try:
            row[:] = _checked(picture, n_classes)
        except InputError as error:
            bad.append(str(error))
    refuse_bad(bad, len(pictures), "pictures")
    return counts


def _checked(picture: Picture, n_classes: int) -> np.ndarray:
    """Labelled pixels a class (C,). Raises InputError if the picture cannot be used."""
    if picture.verify is not None:
        picture.verify()
    image, labels = picture.read()
    where = picture.file or picture.name
    if image.min() == image.max():
        raise InputError(f"{where}: every pixel has grey level {image.max()}, expected a micrograph")
    counts = np.bincount(labels.ravel(), minlength=256)[:n_classes]
    if not counts.any():
        raise InputError(f"{where}: no pixel has a label that counts, expected one at least; correct its "
                         "labels or 'unlabelled', or leave the picture out")  # fmt: skip
    return counts
