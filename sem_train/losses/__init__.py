"""Segmentation losses by name, blind to unlabelled pixels: a run's loss is a sum of them with stated factors."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from sem_train.classes import ClassMap
from sem_train.config import LossSettings
from sem_train.losses.boundary import BoundaryLoss
from sem_train.losses.frequencies import class_weights
from sem_train.losses.overlap import LovaszSoftmaxLoss, SoftDiceLoss, TverskyLoss
from sem_train.losses.pixelwise import CrossEntropyLoss, FocalLoss
from sem_train.losses.shared import Total, own

__all__ = [
    "LOSSES", "BoundaryLoss", "CrossEntropyLoss", "FocalLoss", "LossSum", "LovaszSoftmaxLoss", "SoftDiceLoss", "Total",
    "TverskyLoss", "build_loss", "class_weights", "own",
]  # fmt: skip

LOSSES: dict[str, Callable[[LossSettings, torch.Tensor | None], nn.Module]] = {
    "dice": lambda settings, weights: SoftDiceLoss(weights),
    "cross_entropy": lambda settings, weights: CrossEntropyLoss(weights),
    "focal": lambda settings, weights: FocalLoss(settings.focal_gamma, weights),
    "tversky": lambda settings, weights: TverskyLoss(settings.tversky_alpha, settings.tversky_beta, weights),
    "lovasz": lambda settings, weights: LovaszSoftmaxLoss(weights),
    "boundary": lambda settings, weights: BoundaryLoss(weights),
}


class LossSum(nn.Module):
    """The losses that `settings` give a factor above 0, times their factors, with the same class weights (C,) in all.

    Shape: logits (N, C, H, W) float; labels (N, H, W) integer, `UNLABELLED` ignored; result a scalar. A batch
    without any labelled pixel gives 0. With `total` the result is that of the batch of all processes.
    """

    def __init__(self, settings: LossSettings, weights: torch.Tensor | None = None):
        super().__init__()
        self.factors = {name: getattr(settings, name) for name in LOSSES if getattr(settings, name) > 0}
        self.losses = nn.ModuleDict({name: LOSSES[name](settings, weights) for name in self.factors})

    def forward(self, logits: torch.Tensor, labels: torch.Tensor, total: Total = own) -> torch.Tensor:
        logits, labels = logits.float(), labels.long()
        return sum(factor * self.losses[name](logits, labels, total) for name, factor in self.factors.items())


def build_loss(settings: LossSettings, class_share: np.ndarray, classes: ClassMap) -> LossSum:
    """The loss that settings describe. `class_share` (C,) is each class's share of the training pixels."""
    weights = class_weights(settings, class_share, classes)
    return LossSum(settings, None if weights is None else torch.tensor(weights, dtype=torch.float32))
