"""Baselines that are fitted to images in changed contrast too, as networks are that are trained with augmentation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sem_train.baselines.grey import unit_range
from sem_train.baselines.interface import Baseline, Segmenter
from sem_train.classes import ClassMap


@dataclass(frozen=True)
class WithContrast:
    """A baseline that is fitted to each image and to `copies` of it, grey levels raised to a random power.

    The power is drawn by the seed, its logarithm uniform, from 1 / `gamma` to `gamma`.
    """

    baseline: Baseline
    copies: int = 2
    gamma: float = 2.0

    def fit(
        self, images: Sequence[np.ndarray], labels: Sequence[np.ndarray], classes: ClassMap, seed: int = 0
    ) -> Segmenter:
        """As `Baseline.fit`."""
        rng = np.random.default_rng(seed)
        powers = self.gamma ** rng.uniform(-1, 1, (self.copies, len(images)))
        changed = [
            np.clip(unit_range(image), 0, 1) ** np.float32(power)
            for row in powers for image, power in zip(images, row, strict=True)
        ]  # fmt: skip
        return self.baseline.fit([*images, *changed], [*labels] * (1 + self.copies), classes, seed)
