"""Pictures as tensors: random crops to train on, whole pictures to validate on."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import Dataset, get_worker_info

from sem_train.config import UNLABELLED, DataSettings
from sem_train.data.mixing import Draw
from sem_train.data.pictures import Picture, Read
from sem_train.transforms import Augmentation, normalise, resize_image, resize_labels, scaled_shape

Pair = tuple[torch.Tensor, torch.Tensor]  # image (1, H, W) float32 normalised; labels (H, W) uint8
Version = tuple[int, int] | None  # seed and epoch of a new micrograph; None: the stored one


class WholePictures(Dataset[Pair]):
    """Pictures normalised and scaled as the settings say.

    The first of them stay in memory, `cache_bytes` over all loader processes, each of which has its own.
    """

    def __init__(self, pictures: Sequence[Picture], data: DataSettings, cache_bytes: int = 4 * 1024**3):
        self.pictures, self.data, self.cache_bytes = list(pictures), data, cache_bytes
        self._cache: dict[int, tuple[Version, Pair]] = {}  # by position
        self._used = 0

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, position: int) -> Pair:
        return self._kept(position, None, self.pictures[position].read)

    def for_draw(self, position: int, draw: int, seed: int) -> Pair:
        """As `[position]`; where new micrographs are taken, that of the epoch which the draw is in.

        In an epoch as many pixels are drawn as the picture would have if all were of its size.
        """
        picture = self.pictures[position]
        if picture.new is None:
            return self[position]
        height, width = scaled_shape(picture.new.shape, picture.scale or self.data.scale)
        crops = max(1, height * width // self.data.crop_px**2)
        epoch = draw // (crops * len(self))
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2, position, epoch)))
        return self._kept(position, (seed, epoch), partial(picture.new.take, rng))

    def _kept(self, position: int, version: Version, read: Read) -> Pair:
        known = self._cache.get(position)
        if known and known[0] == version:
            return known[1]
        picture = self.pictures[position]
        image, labels = read()
        shape = scaled_shape(image.shape, picture.scale or self.data.scale)
        levels = normalise(image, self.data.normalisation, self.data.reference_levels)
        pair = (
            resize_image(torch.from_numpy(levels)[None], shape),
            resize_labels(torch.from_numpy(labels), shape),
        )
        size = sum(t.numel() * t.element_size() for t in pair)
        loader = get_worker_info()
        if known or self._used + size <= self.cache_bytes // (loader.num_workers if loader else 1):
            self._cache[position] = version, pair
            self._used += 0 if known else size
        return pair


class Crops(Dataset[Pair]):
    """A random, augmented crop for each draw: image (1, crop, crop) float32, labels (crop, crop) uint8.

    A draw's crop depends on the seed and its number alone, so it is the same in any loader process.
    Pictures smaller than a crop are extended; the added pixels are unlabelled.
    """

    def __init__(self, pictures: WholePictures, augment: Augmentation, crop_px: int, seed: int):
        self.pictures, self.augment, self.crop_px, self.seed = pictures, augment, crop_px, seed

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, draw: Draw) -> Pair:
        position, number = draw
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(1, number)))
        image, labels = pad_to(*self.pictures.for_draw(position, number, self.seed), self.crop_px)
        top, left = (int(rng.integers(size - self.crop_px + 1)) for size in labels.shape)
        window = (slice(top, top + self.crop_px), slice(left, left + self.crop_px))
        return self.augment(image[:, *window].clone(), labels[window].clone(), int(rng.integers(2**32)))


def pad_to(image: torch.Tensor, labels: torch.Tensor, size: int) -> Pair:
    """Extend (1, H, W) and (H, W) to at least `size` a side; added pixels repeat the border and are unlabelled."""
    rows, columns = (max(0, size - n) for n in labels.shape)
    if not rows and not columns:
        return image, labels
    around = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
    return F.pad(image[None], around, mode="replicate")[0], F.pad(labels, around, value=UNLABELLED)
