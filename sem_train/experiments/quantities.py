"""What the arms of an experiment are compared in: each quantity makes one number of any set of test images."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from sem_train.experiments.results import ImageResult
from sem_train.metrics import dice, iou, mean_over_present

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Quantity:
    """One number of a set of images, NaN where they do not show what it is about.

    Overlaps are taken from the pixels of all images together, all else is the mean over the images that have a value.
    """

    name: str
    label: str  # as a reader sees it
    unit: str  # "", "px", "points" (percentage points) or "%"
    better: Better
    primary: bool = False  # of these an answer is made; the others explain it
    of_counts: Callable[[np.ndarray], float] | None = field(default=None, repr=False, compare=False)
    of_image: Callable[[ImageResult], float] | None = field(default=None, repr=False, compare=False)

    def value(self, results: Sequence[ImageResult]) -> float:
        """The quantity of these images together."""
        if self.of_counts is not None:
            return self.of_counts(np.sum([r.score.counts for r in results], axis=0)) if results else math.nan
        return _mean([self.of_image(r) for r in results]) if self.of_image is not None else math.nan

    def pair(self, mine: Sequence[ImageResult], theirs: Sequence[ImageResult]) -> tuple[float, float]:
        """Of two models on the same images, given in the same order: an image without a value on one side is left out.

        Otherwise a model that fails to find something in hard images would seem the better one on the others.
        """
        if self.of_image is not None:
            both = [(m, t) for m, t in zip(mine, theirs, strict=True) if self.known(m) and self.known(t)]
            mine, theirs = [m for m, _ in both], [t for _, t in both]
        return self.value(mine), self.value(theirs)

    def known(self, result: ImageResult) -> bool:
        """Whether a single image has a value."""
        return not math.isnan(self.value([result]))

    def gain(self, difference: float) -> float:
        """The difference with the sign turned so that more is better; as it is where neither is."""
        return -difference if self.better == "lower" else difference


def quantities(names: Sequence[str], results: Sequence[ImageResult], sought: Sequence[str]) -> tuple[Quantity, ...]:
    """All quantities of classes `names`, primary ones first: the mean IoU and that of each class `sought`.

    Layers and inclusions are those that the results know.
    """
    overlaps = [_overlap("mean_iou", "mean IoU", True, lambda c: mean_over_present(_of_true(iou, c)))]
    overlaps += [_overlap(f"iou_{n}", f"IoU of {n}", n in sought, lambda c, i=i: float(_of_true(iou, c)[i]))
                 for i, n in enumerate(names)]  # fmt: skip
    overlaps += [_overlap("mean_dice", "mean Dice", False, lambda c: mean_over_present(_of_true(dice, c)))]
    overlaps += [_overlap(f"dice_{n}", f"Dice of {n}", False, lambda c, i=i: float(_of_true(dice, c)[i]))
                 for i, n in enumerate(names)]  # fmt: skip
    layers = dict.fromkeys(name for r in results for name in r.score.thickness_px)
    hosted = dict.fromkeys(name for r in results for name in r.score.area_percent)
    others = [_per_image(f"boundary_px_{n}", f"distance between outlines of {n}", "px", "lower",
                         lambda r, n=n: _number(r.score.boundary_px.get(n))) for n in names]  # fmt: skip
    for layer in layers:
        error = lambda r, layer=layer: _error(r.score.thickness_px, layer)
        others += [
            _per_image(f"thickness_error_px_{layer}", f"error of {layer} thickness", "px", "lower",
                       lambda r, error=error: abs(error(r))),
            _per_image(f"thickness_bias_px_{layer}", f"bias of {layer} thickness", "px", "neither", error),
            _per_image(f"unmeasured_{layer}", f"images where {layer} thickness is not found", "%", "lower",
                       lambda r, layer=layer: _not_found(r, layer)),
        ]  # fmt: skip
    others += [_per_image(f"area_error_points_{name}", f"error of {name} area", "points", "lower",
                          lambda r, name=name: abs(_error(r.score.area_percent, name))) for name in hosted]  # fmt: skip
    return tuple(sorted([*overlaps, *others], key=lambda q: not q.primary))


def _overlap(name: str, label: str, primary: bool, of_counts: Callable[[np.ndarray], float]) -> Quantity:
    return Quantity(name, label, "", "higher", primary, of_counts=of_counts)


def _per_image(name: str, label: str, unit: str, better: Better, of_image: Callable[[ImageResult], float]) -> Quantity:
    return Quantity(name, label, unit, better, of_image=of_image)


def _of_true(overlap: Callable[[np.ndarray], np.ndarray], counts: np.ndarray) -> np.ndarray:
    """Overlap of each class, NaN for a class that the true maps do not show.

    Which classes count is thus the same for every model, however wild its guesses; those cost it overlap elsewhere.
    """
    return np.where(counts.sum(axis=1) > 0, overlap(counts), np.nan)


def _error(measured: dict, name: str) -> float:
    return measured[name].error if name in measured else math.nan


def _not_found(result: ImageResult, layer: str) -> float:
    """100 where the prediction shows no thickness though the truth does, else 0; NaN where the truth shows none."""
    pair = result.score.thickness_px.get(layer)
    return math.nan if pair is None or pair.true is None else 100.0 * (pair.predicted is None)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _mean(values: Sequence[float]) -> float:
    known = [x for x in values if not math.isnan(x)]
    return sum(known) / len(known) if known else math.nan
