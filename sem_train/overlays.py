"""Label maps over micrographs, for looking at."""

from pathlib import Path

import numpy as np
from PIL import Image

from sem_train.classes import ClassMap
from sem_train.colours import COLOURS, is_tinted
from sem_train.config import UNLABELLED
from sem_train.transforms import normalise
from semforge.files import whole_file

__all__ = ["COLOURS", "is_tinted", "overlay", "write_overlay"]

OPACITY = 0.45


def overlay(image: np.ndarray, labels: np.ndarray, classes: ClassMap) -> np.ndarray:
    """Grey image (H, W) tinted by class: (H, W, 3) uint8. Background, outside and unlabelled pixels stay grey."""
    grey = ((normalise(image, "percentile").clip(-1, 1) + 1) * 127.5)[..., None].repeat(3, axis=-1)
    tints = np.zeros((UNLABELLED + 1, 4), dtype=np.float32)
    for i, kind in enumerate(classes.classes):
        if is_tinted(kind.role):
            tints[i] = (*COLOURS[i % len(COLOURS)], OPACITY)
    tint = tints[labels]
    opacity = tint[..., 3:]
    return np.rint(grey * (1 - opacity) + tint[..., :3] * opacity).astype(np.uint8)


def write_overlay(path: Path, image: np.ndarray, labels: np.ndarray, classes: ClassMap) -> None:
    """Write `overlay` as PNG."""
    with whole_file(path) as temporary:
        Image.fromarray(overlay(image, labels, classes)).save(temporary, format="PNG")
