"""Multi-level Otsu thresholds: no more than grey levels, found anew in every image."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from skimage.filters import threshold_multiotsu

from sem_train.baselines.grey import gaussian, grey_bytes, median
from sem_train.baselines.interface import score, training_set
from sem_train.classes import ClassMap
from sem_train.config import UNLABELLED
from semforge.errors import InputError

# The search over thresholds takes (256 >> bits) ** (levels - 1) steps: the lowest bits are dropped for many levels.
DROPPED_BITS = {2: 0, 3: 0, 4: 0, 5: 2, 6: 2, 7: 3, 8: 3}
MOST_CLASSES = max(DROPPED_BITS)


@dataclass(frozen=True)
class Smoothing:
    """A filter that comes before the thresholds."""

    kind: Literal["median", "gaussian"] = "median"
    px: int = 0  # radius of the median, sd of the Gaussian; 0: none

    def __call__(self, grey: np.ndarray) -> np.ndarray:
        return grey if not self.px else (median if self.kind == "median" else gaussian)(grey, self.px)


@dataclass(frozen=True)
class MultiOtsu:
    """As many grey levels as there are classes, by Otsu's criterion (Liao, Chen, Chung 2001) in each image by itself.

    The darkest level is the class that is darkest in the training images, and so on in the order of mean grey levels.
    Learned are this order and the smoothing that gives the best mean IoU on the training images; thresholds are not.
    So it assumes that an image shows every class, and it cannot tell classes of one grey level.
    """

    smoothings: tuple[Smoothing, ...] = (
        Smoothing(), Smoothing("gaussian", 1), Smoothing("gaussian", 2), Smoothing("gaussian", 4),
        Smoothing("median", 1), Smoothing("median", 2), Smoothing("median", 4),
    )  # fmt: skip
    search_images: int = 16  # that smoothing is chosen on, drawn by the seed

    def fit(
        self, images: Sequence[np.ndarray], labels: Sequence[np.ndarray], classes: ClassMap, seed: int = 0
    ) -> "OtsuSegmenter":
        """As `Baseline.fit`. Raises InputError also if more classes are there than thresholds can be found for."""
        data = training_set(images, labels, classes)
        if len(data.present) > MOST_CLASSES:
            raise InputError(f"Otsu: the images show {len(data.present)} classes, expected at most {MOST_CLASSES}")
        means = _mean_levels(data.images, data.labels, len(classes))
        order = tuple(sorted(data.present, key=lambda c: means[c]))
        some = data.some(self.search_images, np.random.default_rng(seed))
        make = partial(OtsuSegmenter, order, tuple(float(means[c]) for c in order))
        return max((make(smoothing) for smoothing in self.smoothings), key=lambda fitted: score(fitted, some))


@dataclass(frozen=True)
class OtsuSegmenter:
    """Fitted multi-level Otsu."""

    order: tuple[int, ...]  # class ids from dark to bright
    means: tuple[float, ...]  # their mean grey level in training, 0 to 255
    smoothing: Smoothing

    def predict(self, image: np.ndarray) -> np.ndarray:
        """As `Segmenter.predict`. An image of fewer grey levels than classes: the class of the nearest mean level."""
        grey = self.smoothing(grey_bytes(image))
        return np.asarray(self.order, dtype=np.uint8)[np.digitize(grey, self._thresholds(grey), right=True)]

    def _thresholds(self, grey: np.ndarray) -> np.ndarray:
        """Upper bounds, included, of all levels but the last."""
        if len(self.order) == 1:
            return np.array([])
        bits = DROPPED_BITS[len(self.order)]
        histogram = np.bincount(grey.ravel() >> bits, minlength=256 >> bits) / grey.size
        if np.count_nonzero(histogram) < len(self.order):
            return (np.array(self.means[1:]) + self.means[:-1]) / 2
        return ((threshold_multiotsu(hist=histogram, classes=len(self.order)) + 1) << bits) - 1


def _mean_levels(images: Sequence[np.ndarray], labels: Sequence[np.ndarray], n_classes: int) -> np.ndarray:
    """Mean grey level (C,) of each class over all its pixels, NaN where it has none."""
    sums, counts = np.zeros(UNLABELLED + 1), np.zeros(UNLABELLED + 1)
    for image, ids in zip(images, labels, strict=True):
        sums += np.bincount(ids.ravel(), weights=grey_bytes(image).ravel(), minlength=UNLABELLED + 1)
        counts += np.bincount(ids.ravel(), minlength=UNLABELLED + 1)
    return np.divide(sums, counts, out=np.full(UNLABELLED + 1, np.nan), where=counts > 0)[:n_classes]
