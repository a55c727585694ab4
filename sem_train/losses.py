"""Segmentation loss: weighted soft Dice plus weighted cross-entropy, blind to unlabelled pixels."""

import logging
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from sem_train.classes import ClassMap
from sem_train.config import UNLABELLED, LossSettings

log = logging.getLogger(__name__)

Total = Callable[[torch.Tensor], torch.Tensor]  # sums over all processes that share a batch


def own(part: torch.Tensor) -> torch.Tensor:
    """The `Total` of a batch that one process has for itself."""
    return part


class SoftDiceLoss(nn.Module):
    """One minus the soft Dice coefficient, averaged over the classes with their weights.

    For a class with probabilities p and truth g (0 or 1) over all labelled pixels of the batch:
    1 - 2 Σpg / (Σp + Σg) (Milletari et al. 2016, with plain sums). A class that the batch does not hold is left
    out of the mean: its coefficient is 0 whatever the model says, and cross-entropy already punishes
    seeing it. `total` adds up the sums of the processes that share the batch.

    Shape: logits (N, C, H, W) float; labels (N, H, W) integer, `UNLABELLED` ignored; result a scalar, 0 to 1.
    """

    def __init__(self, weights: torch.Tensor | None = None):
        super().__init__()
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor, total: Total = own) -> torch.Tensor:
        labels = labels.long()
        known = (labels != UNLABELLED).unsqueeze(1)
        n_classes = logits.shape[1]
        truth = F.one_hot(labels.where(known[:, 0], 0), n_classes).movedim(-1, 1) * known
        p = logits.float().softmax(dim=1) * known
        over = (0, *range(2, logits.ndim))
        overlap, both, pixels = total(torch.stack([(p * truth).sum(over), (p + truth).sum(over), truth.sum(over)]))
        present = pixels > 0
        weights = present.float() if self.weights is None else present * self.weights
        dice = 2 * overlap / both.clamp_min(torch.finfo(p.dtype).tiny)
        return (weights * (1 - dice)).sum() / weights.sum().clamp_min(torch.finfo(p.dtype).tiny)


class DiceCrossEntropy(nn.Module):
    """dice × soft Dice loss + cross_entropy × cross-entropy, with the same class weights in both.

    Cross-entropy is the weighted mean over labelled pixels, each pixel with the weight of its true class.
    A batch without any labelled pixel gives 0. Shapes and `total` as `SoftDiceLoss`.
    """

    def __init__(self, dice: float, cross_entropy: float, weights: torch.Tensor | None = None):
        super().__init__()
        self.dice, self.cross_entropy = dice, cross_entropy
        self.soft_dice = SoftDiceLoss(weights)
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor, total: Total = own) -> torch.Tensor:
        logits, labels = logits.float(), labels.long()
        entropy = F.cross_entropy(logits, labels, weight=self.weights, ignore_index=UNLABELLED, reduction="sum")
        known = labels[labels != UNLABELLED]
        mass = entropy.new_tensor(known.numel()) if self.weights is None else self.weights[known].sum()
        entropy, mass = total(torch.stack([entropy, mass]))
        mean = entropy / mass.clamp_min(torch.finfo(logits.dtype).tiny)
        return self.dice * self.soft_dice(logits, labels, total) + self.cross_entropy * mean


def build_loss(settings: LossSettings, class_share: np.ndarray, classes: ClassMap) -> DiceCrossEntropy:
    """The loss that settings describe. `class_share` (C,) is each class's share of the training pixels."""
    weights = class_weights(settings, class_share, classes)
    tensor = None if weights is None else torch.tensor(weights, dtype=torch.float32)
    return DiceCrossEntropy(settings.dice, settings.cross_entropy, tensor)


def class_weights(settings: LossSettings, class_share: np.ndarray, classes: ClassMap) -> np.ndarray | None:
    """Weight a class (C,) float64, or None where all count alike; only ratios between weights matter.

    `inverse_frequency`: 1 for the most frequent class, largest share / share for others, at most `weight_cap`.
    `median_frequency`: median share / share (Eigen & Fergus 2015), within 1/`weight_cap` and `weight_cap`.
    A class that the training data never shows counts like the rarest one that it shows, and is warned of:
    the model cannot learn it, but it may well learn the others.
    """
    if settings.class_weights == "none":
        return None
    if isinstance(settings.class_weights, tuple):
        return np.array(settings.class_weights, dtype=np.float64)
    shown = class_share > 0
    if not shown.all():
        unseen = ", ".join(name for name, there in zip(classes.names, shown, strict=True) if not there)
        log.warning("no pixel of the training data shows %s; the model will not learn it", unseen)
    rarest, median = class_share[shown].min(), np.median(class_share[shown])
    class_share = np.where(shown, class_share, rarest)
    if settings.class_weights == "inverse_frequency":
        return np.minimum(class_share.max() / class_share, settings.weight_cap)
    return np.clip(median / class_share, 1 / settings.weight_cap, settings.weight_cap)
