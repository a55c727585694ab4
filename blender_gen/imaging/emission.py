"""What a detector receives, before the noise: the common form in which all detectors hand on their signal."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


def _sum_of(channels: list[np.ndarray]) -> np.ndarray:
    return channels[0]


@dataclass(frozen=True)
class Emission:
    """Expected electrons a beam electron in each channel of a detector, and how they become one picture."""

    channels: tuple[np.ndarray, ...]  # (H, W) float32
    gain: np.ndarray | None = None  # (H, W) mean signal of one electron; None: 1
    noise_factor: float = 1.0  # variance over mean of the detected number
    combine: Callable[[list[np.ndarray]], np.ndarray] = _sum_of
