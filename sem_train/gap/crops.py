"""Crops of equal size from a set of images, as many from each."""

from dataclasses import dataclass

import numpy as np

from sem_train.gap.image_sets import ImageSet
from semforge.errors import InputError


@dataclass(frozen=True)
class Crops:
    """Crops of one set."""

    grey: np.ndarray  # (n, crop, crop) uint8
    specimen: np.ndarray  # (n,) str
    image: np.ndarray  # (n,) int, position of the image in its set

    def __len__(self) -> int:
        return len(self.grey)


def draw_crops(images: ImageSet, crop_px: int, count: int, rng: np.random.Generator) -> Crops:
    """At least `count` crops at random places, the same number from every image (one at least).

    Raises InputError if an image is smaller than a crop.
    """
    for image in images.images:
        if min(image.grey.shape) < crop_px:
            height, width = image.grey.shape
            raise InputError(
                f"{images.name}: {image.name} is {width} × {height} pixels after scaling, "
                f"a crop is {crop_px}; lower --crop-px, raise --scale or leave the image out"
            )
    each = -(-count // len(images.images))
    crops, owners = [], []
    for position, image in enumerate(images.images):
        for _ in range(each):
            top, left = (int(rng.integers(size - crop_px + 1)) for size in image.grey.shape)
            crops.append(image.grey[top : top + crop_px, left : left + crop_px])
            owners.append(position)
    specimens = np.array([image.specimen for image in images.images])
    return Crops(np.stack(crops), specimens[owners], np.array(owners))
