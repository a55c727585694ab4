"""Images too large to be segmented at once: block by block, each seen with what surrounds it."""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from sem_train.inference import TrainedModel
from sem_train.transforms import normaliser

LARGE_PX = 4096**2  # pixels beyond which an image is segmented in blocks: whole, it takes some 50 bytes a pixel
BLOCK_PX = 2048  # edge of a block, in pixels of the model's scale
MARGIN_PX = 160  # seen around it
LEVELS_PX = 2048  # rows and columns at most that the grey scale is taken from


class Pixels(Protocol):
    """An image that is read in parts."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """(h, w) uint8 or uint16 of these rows and columns."""


def predict_in_blocks(
    model: TrainedModel, image: Pixels, told: Callable[[float], None] = lambda share: None
) -> np.ndarray:
    """Class ids (H, W) uint8 of an image that is never in memory as a whole.

    Blocks are predicted with a margin, which is cut off, so seams show no more than windows do in a smaller image.
    `told` hears the share that is done.
    """
    height, width = image.shape
    scale = model.config.data.scale
    block, margin = round(BLOCK_PX / scale), round(MARGIN_PX / scale)
    data = model.config.data
    levels = normaliser(_sampled(image, block), data.normalisation, data.reference_levels)
    labels = np.zeros((height, width), dtype=np.uint8)
    blocks = list(_blocks(height, width, block))
    for done, (rows, columns) in enumerate(blocks, 1):
        seen = [slice(max(0, s.start - margin), s.stop + margin) for s in (rows, columns)]
        seen = [slice(s.start, min(s.stop, size)) for s, size in zip(seen, (height, width), strict=True)]
        inner = tuple(slice(s.start - w.start, s.stop - w.start) for s, w in zip((rows, columns), seen, strict=True))
        labels[rows, columns] = model.predict_normalised(levels(image.read(*seen))).labels[inner]
        told(done / len(blocks))
    return labels


def _blocks(height: int, width: int, block: int) -> Iterator[tuple[slice, slice]]:
    for top in range(0, height, block):
        for left in range(0, width, block):
            yield slice(top, min(top + block, height)), slice(left, min(left + block, width))


def _sampled(image: Pixels, block: int) -> np.ndarray:
    """Every n-th row and column of an image."""
    height, width = image.shape
    step = max(1, -(-max(height, width) // LEVELS_PX))
    out = []
    for top in range(0, height, step * max(1, block // step)):
        rows = slice(top, min(top + step * max(1, block // step), height))
        out.append(image.read(rows, slice(0, width))[::step, ::step])
    return np.concatenate(out)
