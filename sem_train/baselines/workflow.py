"""Filter and threshold at several scales, as one does it by hand in ImageJ, with the parameters found by search.

Bihani et al. 2022 (MudrockNet, 10.1016/j.cageo.2021.104952) made the label maps of their training images with an
image-processing workflow. This one follows it in kind: a median filter against noise, top-hat and bottom-hat against
weak contrast, a threshold, results of several scales merged.

Order, sizes and thresholds are ours, and no attempt to repeat their label maps. Here they
are what overlaps best with the class in the training images, for any class, not only silt and pores. The threshold is
a band of grey levels on the image's own percentile scale, so that mid-grey classes can be had. Structuring elements
are squares. The merge is a union, and a class lies on top of every class that covers more of the training images.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from skimage.morphology import remove_small_holes, remove_small_objects

from sem_train.baselines.grey import grey_bytes, hats, median
from sem_train.baselines.interface import TrainingSet, training_set
from sem_train.classes import ClassMap
from sem_train.config import UNLABELLED

Scale = tuple[int, int]  # radius of the median and of the hats, pixels
LEVELS = 256


@dataclass(frozen=True)
class Step:
    """One filter and the band of its grey levels that is taken, both ends included."""

    scale: Scale
    low: int
    high: int


@dataclass(frozen=True)
class Rule:
    """How one class is found: where any step says so, without specks and holes smaller than `smallest_px`."""

    label: int
    steps: tuple[Step, ...]
    smallest_px: int = 0

    def mask(self, filtered: "Filtered") -> np.ndarray:
        """Where the class is, (H, W) bool."""
        found = np.zeros(filtered.grey.shape, dtype=bool)
        for step in self.steps:
            grey = filtered[step.scale]
            found |= (grey >= step.low) & (grey <= step.high)
        if self.smallest_px:
            found = remove_small_holes(remove_small_objects(found, self.smallest_px), self.smallest_px)
        return found


class Filtered:
    """One image under the filters that are asked for."""

    def __init__(self, image: np.ndarray):
        self.grey = grey_bytes(image)
        self._done: dict[Scale, np.ndarray] = {}

    def __getitem__(self, scale: Scale) -> np.ndarray:
        if scale not in self._done:
            self._done[scale] = hats(median(self.grey, scale[0]), scale[1])
        return self._done[scale]


@dataclass(frozen=True)
class ThresholdWorkflow:
    """Median, top-hat and bottom-hat, threshold, merge of scales; see the module for what is whose.

    A rule for every class but the most frequent one, which is what remains. Scales are added as long as each raises the
    IoU of the class on the training images by `least_gain`.
    """

    medians_px: tuple[int, ...] = (0, 1, 3, 6)
    hats_px: tuple[int, ...] = (0, 5, 15, 40)
    most_steps: int = 3
    least_gain: float = 0.01
    smallest_px: tuple[int, ...] = (0, 16, 64, 256)
    search_images: int = 16  # that parameters are found on, drawn by the seed
    search_pixels: int = 150_000  # of each, for thresholds

    def fit(
        self, images: Sequence[np.ndarray], labels: Sequence[np.ndarray], classes: ClassMap, seed: int = 0
    ) -> "WorkflowSegmenter":
        """As `Baseline.fit`."""
        rng = np.random.default_rng(seed)
        data = training_set(images, labels, classes)
        frequent_first = sorted(data.present, key=lambda c: -data.pixels[c])
        some = data.some(self.search_images, rng)
        levels, truth = self._sampled(some, rng)
        rules = [self._rule(c, levels, truth) for c in frequent_first[1:]]
        return WorkflowSegmenter(frequent_first[0], tuple(self._cleaned(rules, some)))

    def _sampled(self, data: TrainingSet, rng: np.random.Generator) -> tuple[dict[Scale, np.ndarray], np.ndarray]:
        """Levels (N,) uint8 of labelled pixels under each filter, and their class ids."""
        scales = list(product(self.medians_px, self.hats_px))
        levels: dict[Scale, list[np.ndarray]] = {scale: [] for scale in scales}
        truth = []
        for image, labels in zip(data.images, data.labels, strict=True):
            known = np.flatnonzero(labels != UNLABELLED)
            chosen = rng.choice(known, min(self.search_pixels, len(known)), replace=False)
            truth.append(labels.ravel()[chosen])
            filtered = Filtered(image)
            for scale in scales:
                levels[scale].append(filtered[scale].ravel()[chosen])
        return {scale: np.concatenate(parts) for scale, parts in levels.items()}, np.concatenate(truth)

    def _rule(self, label: int, levels: dict[Scale, np.ndarray], truth: np.ndarray) -> Rule:
        """Greedy: the filter and band that overlap best with the class, then what adds most to them."""
        wanted = truth == label
        found = np.zeros(len(truth), dtype=bool)
        steps: list[Step] = []
        best = float(np.finfo(float).tiny)  # a rule that finds nothing is no rule
        for _ in range(self.most_steps):
            merit, step = max(
                (_best_band(scale, grey, wanted, found) for scale, grey in levels.items()), key=lambda tried: tried[0]
            )
            if merit < best + (self.least_gain if steps else 0):
                break
            best = merit
            steps.append(step)
            found |= (levels[step.scale] >= step.low) & (levels[step.scale] <= step.high)
        return Rule(label, tuple(steps))

    def _cleaned(self, rules: list[Rule], data: TrainingSet) -> list[Rule]:
        """The same rules, each with the size of specks and holes to remove that fits the images best."""
        tries = [[replace(rule, smallest_px=px) for px in self.smallest_px] for rule in rules]
        overlap = np.zeros((len(rules), len(self.smallest_px), 2))
        for image, labels in zip(data.images, data.labels, strict=True):
            filtered = Filtered(image)
            for i, row in enumerate(tries):
                for j, rule in enumerate(row):
                    found, wanted = rule.mask(filtered) & (labels != UNLABELLED), labels == rule.label
                    overlap[i, j] += (found & wanted).sum(), (found | wanted).sum()
        return [row[int(np.argmax(o[:, 0] / o[:, 1]))] for row, o in zip(tries, overlap, strict=True)]


@dataclass(frozen=True)
class WorkflowSegmenter:
    """Fitted workflow: rules painted one over the other on a ground."""

    ground: int  # class id where no rule applies
    rules: tuple[Rule, ...]

    def predict(self, image: np.ndarray) -> np.ndarray:
        """As `Segmenter.predict`."""
        filtered = Filtered(image)
        painted = np.full(image.shape, self.ground, dtype=np.uint8)
        for rule in self.rules:
            painted[rule.mask(filtered)] = rule.label
        return painted


def _best_band(scale: Scale, grey: np.ndarray, wanted: np.ndarray, found: np.ndarray) -> tuple[float, Step]:
    """The band of `grey` that gives the best IoU with `wanted` together with what was `found`; and that IoU."""
    inside = np.bincount(grey[wanted & ~found], minlength=LEVELS).cumsum()
    outside = np.bincount(grey[~wanted & ~found], minlength=LEVELS).cumsum()
    # Row: low, column: high; what a band holds is the difference of cumulated counts.
    hits, wrong = (np.subtract.outer(counts, np.r_[0, counts[:-1]]).T for counts in (inside, outside))
    union = wanted.sum() + wrong + (~wanted & found).sum()
    overlap = (hits + (wanted & found).sum()) / np.maximum(union, 1)
    overlap = np.triu(overlap)
    low, high = np.unravel_index(np.argmax(overlap), overlap.shape)
    best = overlap[low, high]
    # Levels that no training pixel has: half of them to the band, at the ends of the scale all of them.
    lows = low + np.flatnonzero(np.cumprod(overlap[low : high + 1, high] == best))
    low = lows[0] if lows[0] == 0 else lows[len(lows) // 2]
    highs = high + np.flatnonzero(np.cumprod(overlap[low, high:] == best))
    high = highs[-1] if highs[-1] == LEVELS - 1 else highs[(len(highs) - 1) // 2]
    return float(best), Step(scale, int(low), int(high))
