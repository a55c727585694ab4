"""Spectrum images of any size to maps of phases, part by part."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from sem_train.spectra.named import UNCLASSIFIED, Method
from sem_train.spectra.scenes import BLOCK_BYTES, SpectralImage, binned
from semforge.spectra import EnergyAxis, is_empty, rebinned

T = TypeVar("T")


@dataclass(frozen=True)
class PhaseMap:
    """What a method says of the squares of `binning` pixels of a spectrum image, (H, W) of them."""

    classes: tuple[str, ...]
    labels: np.ndarray  # (H, W) int16, UNCLASSIFIED where there is no name
    scores: np.ndarray  # (H, W, K) float32
    unmixed: bool  # whether the scores are shares of classes in the counts
    distance: np.ndarray | None  # (H, W) float32, above 1 like none of the classes
    counts: np.ndarray  # (H, W) counts of each square
    binning: int
    shape: tuple[int, int]  # of the image, in pixels

    @property
    def confidence(self) -> np.ndarray:
        """(H, W) score of the best class."""
        return self.scores.max(-1)

    def in_pixels(self, squares: np.ndarray) -> np.ndarray:
        """Values of squares (H, W, ...) as those of the image's pixels."""
        if self.binning == 1:
            return squares
        wide = squares.repeat(self.binning, axis=0).repeat(self.binning, axis=1)
        return wide[: self.shape[0], : self.shape[1]]


def map_image(
    method: Method, classes: tuple[str, ...], image: SpectralImage, axis: EnergyAxis, binning: int = 1,
    block_bytes: int = BLOCK_BYTES, told: Callable[[float], None] = lambda share: None,
    seen: Callable[[np.ndarray, np.ndarray], None] = lambda squares, labels: None,
) -> PhaseMap:  # fmt: skip
    """Name every square of `binning` pixels of an image by its own counts, which are in memory in parts alone.

    `axis` is what the method reads. The map does not depend on the parts; `told` hears the share that is done,
    `seen` the counts (h, w, C) of each part's squares on the image's axis and their labels (h · w,).
    Raises InputError if the image's axis cannot be rebinned to `axis`.
    """
    height, width = image.shape
    size = -(-height // binning), -(-width // binning)
    labels, counted = np.zeros(size, np.int16), np.zeros(size, np.int64)
    scores = np.zeros((*size, len(classes)), np.float32)
    distance = np.zeros(size, np.float32)
    unmixed, measured = False, False
    for rows, columns, counts in _ahead(image.blocks(binning, block_bytes)):
        squares = binned(counts, binning)
        where = _in_squares(rows, binning), _in_squares(columns, binning)
        flat = rebinned(squares, image.axis, axis, image.beam_kev).reshape(-1, axis.channels)
        named = method.named(flat)
        shape = squares.shape[:2]
        if image.axis != axis:  # on the method's own axis the method has looked
            named.labels[is_empty(squares, image.axis).ravel()] = UNCLASSIFIED
        seen(squares, named.labels)
        labels[where], scores[where] = named.labels.reshape(shape), named.scores.reshape(*shape, -1)
        counted[where] = flat.sum(-1, dtype=np.float64).reshape(shape)
        unmixed = named.shares is not None
        measured = named.distance is not None
        if named.distance is not None:
            distance[where] = named.distance.reshape(shape)
        told(rows.stop * columns.stop / (height * width))
    return PhaseMap(classes, labels, scores, unmixed, distance if measured else None, counted, binning, (height, width))


def _ahead(parts: Iterator[T]) -> Iterator[T]:
    """The same parts, the next one read while one is worked on."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, parts, None)
        while (part := coming.result()) is not None:
            coming = pool.submit(next, parts, None)
            yield part


def _in_squares(pixels: slice, binning: int) -> slice:
    return slice(pixels.start // binning, -(-pixels.stop // binning))
