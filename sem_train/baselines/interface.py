"""What every baseline can do, and the labelled images that it is fitted on."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sem_train.classes import ClassMap
from sem_train.config import UNLABELLED
from sem_train.metrics import confusion, iou
from semforge.errors import InputError

log = logging.getLogger(__name__)


class Segmenter(Protocol):
    """What a fitted baseline is."""

    def predict(self, image: np.ndarray) -> np.ndarray:
        """Class ids (H, W) uint8 of a grey image (H, W) of any size: uint8, uint16, or float in 0 to 1."""
        ...


class Baseline(Protocol):
    """A method with its settings."""

    def fit(
        self, images: Sequence[np.ndarray], labels: Sequence[np.ndarray], classes: ClassMap, seed: int = 0
    ) -> Segmenter:
        """Fit to images as `Segmenter.predict` takes them and their class ids (H, W); `UNLABELLED` pixels do not count.

        The same images, labels and seed give the same segmenter. A class without a pixel is never predicted, which
        is logged as a warning. Raises InputError if there is nothing to learn from.
        """
        ...


@dataclass(frozen=True)
class TrainingSet:
    """Labelled images, checked."""

    images: tuple[np.ndarray, ...]
    labels: tuple[np.ndarray, ...]  # class ids (H, W) uint8, `UNLABELLED` where there are none
    pixels: np.ndarray  # (C,) int64 labelled pixels a class

    @property
    def present(self) -> list[int]:
        """The class ids that have pixels, in order."""
        return [int(c) for c in np.flatnonzero(self.pixels)]

    def some(self, count: int, rng: np.random.Generator) -> "TrainingSet":
        """At most `count` of the images, drawn at random but so that each class keeps an image that shows it."""
        order = [int(i) for i in rng.permutation(len(self.images))]
        needed = {next(i for i in order if (self.labels[i] == c).any()) for c in self.present}
        chosen = sorted(sorted(order, key=lambda i: i not in needed)[: max(count, len(needed))])
        images, labels = ([them[i] for i in chosen] for them in (self.images, self.labels))
        return TrainingSet(tuple(images), tuple(labels), _counts(labels)[: len(self.pixels)])


def training_set(images: Sequence[np.ndarray], labels: Sequence[np.ndarray], classes: ClassMap) -> TrainingSet:
    """Check images and labels, and warn of classes that have no pixel.

    Raises InputError if no pixel is labelled or a class id is not of `classes`, ValueError if shapes do not fit.
    """
    if len(images) != len(labels):
        raise ValueError(f"{len(images)} images have {len(labels)} label maps, expected as many")
    for image, ids in zip(images, labels, strict=True):
        if image.ndim != 2 or image.shape != ids.shape or ids.dtype != np.uint8:
            raise ValueError(
                f"image is {image.shape}, its labels {ids.shape} {ids.dtype}, expected (H, W), uint8 labels"
            )
    counts = _counts(labels)
    beyond = np.flatnonzero(counts[len(classes) : UNLABELLED])
    if len(beyond):
        found = len(classes) + beyond[0]
        raise InputError(f"label maps have class id {found}, expected 0 to {len(classes) - 1} or {UNLABELLED}")
    pixels = counts[: len(classes)]
    if not pixels.any():
        raise InputError("no pixel of the training images is labelled, expected at least one; give labelled images")
    missing = [name for name, n in zip(classes.names, pixels, strict=True) if n == 0]
    if missing:
        log.warning("no pixel of the training images is labelled %s: never predicted", " or ".join(missing))
    return TrainingSet(tuple(images), tuple(labels), pixels)


def mean_iou(counts: np.ndarray, present: Sequence[int]) -> float:
    """Mean IoU over the classes that training images show, from confusion counts (C, C)."""
    return float(np.mean(iou(counts)[list(present)]))


def score(segmenter: Segmenter, data: TrainingSet) -> float:
    """Mean IoU of the classes that are there, over the pixels of all images: what searches maximise."""
    n = len(data.pixels)
    counts = [confusion(segmenter.predict(x), y, n) for x, y in zip(data.images, data.labels, strict=True)]
    return mean_iou(np.sum(counts, axis=0), data.present)


def _counts(labels: Sequence[np.ndarray]) -> np.ndarray:
    """Pixels (256,) int64 by class id."""
    counts = np.zeros(UNLABELLED + 1, dtype=np.int64)
    for ids in labels:
        counts += np.bincount(ids.ravel(), minlength=UNLABELLED + 1)
    return counts
