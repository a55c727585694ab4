"""Layered micrographs drawn in an instant, to train on where only speed is asked for, but so that a loss can fall."""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from sem_train.transforms import normalise

Batch = tuple[torch.Tensor, torch.Tensor]  # images (N, 1, H, W) float32; labels (N, H, W) uint8

GREYS = (60.0, 190.0)  # of the first and the last layer; those between lie between
PORE_GREY = 25.0


def layered_picture(rng: np.random.Generator, size: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Micrograph and class ids (size, size) uint8: wavy layers from the top down, the last class pores in them.

    With two classes there are two layers and no pores.
    """
    n_layers = max(2, n_classes - 1)
    labels = np.zeros((size, size), np.uint8)
    rows = np.arange(size)[:, None]
    for edge in np.linspace(0, 1, n_layers + 1)[1:-1] + rng.normal(0, 0.2 / n_layers, n_layers - 1):
        wave = gaussian_filter1d(rng.normal(size=size), size / 16, mode="wrap") * size * rng.uniform(0.05, 0.3)
        labels += rows >= edge * size + wave
    grey = np.linspace(*GREYS, n_layers)[labels] + rng.normal(0, 12)
    if n_classes > 2:
        spots = gaussian_filter(rng.normal(size=(size, size)), 2.5)
        pores = (spots > 2 * spots.std()) & (labels > 0)
        labels[pores] = n_classes - 1
        grey[pores] = PORE_GREY
    texture = gaussian_filter(rng.normal(size=(size, size)), 1.5) * 40
    grey = gaussian_filter(grey, 0.7) + texture + rng.normal(0, 10, (size, size))
    return np.clip(grey, 0, 255).astype(np.uint8), labels


def layered_batches(count: int, batch: int, size: int, n_classes: int, seed: int) -> list[Batch]:
    """The same batches for the same arguments, normalised as in training."""
    rng = np.random.default_rng(seed)
    return [_batch([layered_picture(rng, size, n_classes) for _ in range(batch)]) for _ in range(count)]


def _batch(pictures: list[tuple[np.ndarray, np.ndarray]]) -> Batch:
    images = [torch.from_numpy(normalise(image, "percentile"))[None] for image, _ in pictures]
    return torch.stack(images), torch.stack([torch.from_numpy(labels) for _, labels in pictures])
