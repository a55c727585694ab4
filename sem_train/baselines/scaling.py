"""Baselines that see images resized, as networks do that are trained at a scale."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from skimage.transform import resize

from sem_train.baselines.grey import unit_range
from sem_train.baselines.interface import Baseline, Segmenter
from sem_train.classes import ClassMap


@dataclass(frozen=True)
class AtScale:
    """A baseline that is fitted to and predicts images resized by `scale`; its label maps are of the image's size."""

    baseline: Baseline
    scale: float  # above 0, at most 1; 1 changes nothing

    def fit(
        self, images: Sequence[np.ndarray], labels: Sequence[np.ndarray], classes: ClassMap, seed: int = 0
    ) -> Segmenter:
        """As `Baseline.fit`."""
        if self.scale == 1:
            return self.baseline.fit(images, labels, classes, seed)
        small = [_resized_image(image, self.scale) for image in images]
        return ScaledSegmenter(
            self.baseline.fit(small, [_resized_labels(y, self.scale) for y in labels], classes, seed), self.scale
        )


@dataclass(frozen=True)
class ScaledSegmenter:
    """A segmenter of images resized by `scale`."""

    segmenter: Segmenter
    scale: float

    def predict(self, image: np.ndarray) -> np.ndarray:
        """As `Segmenter.predict`: each class is enlarged bilinearly, and the one with the largest share wins."""
        small = self.segmenter.predict(_resized_image(image, self.scale))
        shares = [resize((small == c).astype(np.float32), image.shape, order=1, mode="edge") for c in np.unique(small)]
        return np.unique(small)[np.argmax(shares, axis=0)].astype(np.uint8)


def _shape(shape: tuple[int, ...], scale: float) -> tuple[int, int]:
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _resized_image(image: np.ndarray, scale: float) -> np.ndarray:
    """Float32 in 0 to 1, low-passed."""
    return resize(unit_range(image), _shape(image.shape, scale), order=1, mode="edge", anti_aliasing=True).astype(
        np.float32
    )


def _resized_labels(labels: np.ndarray, scale: float) -> np.ndarray:
    """Each class id from the nearest pixel."""
    nearest = resize(
        labels, _shape(labels.shape, scale), order=0, mode="edge", preserve_range=True, anti_aliasing=False
    )
    return nearest.astype(np.uint8)
