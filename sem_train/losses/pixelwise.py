"""Losses that are a mean over pixels, each with the weight of its true class."""

import torch
import torch.nn.functional as F
from torch import nn

from sem_train.config import UNLABELLED
from sem_train.losses.shared import Total, own, ratio


class CrossEntropyLoss(nn.Module):
    """Sparse categorical cross-entropy: weighted mean over labelled pixels.

    PyTorch's sum over pixels; only the division is ours, so that it comes after the sum over processes.
    Shapes and `total` as `LossSum`.
    """

    weights: torch.Tensor | None

    def __init__(self, weights: torch.Tensor | None = None):
        super().__init__()
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor, total: Total = own) -> torch.Tensor:
        entropy = F.cross_entropy(logits, labels, weight=self.weights, ignore_index=UNLABELLED, reduction="sum")
        return ratio(*total(torch.stack([entropy, _mass(labels, self.weights, entropy)])))


class FocalLoss(nn.Module):
    """Cross-entropy of a pixel times (1 - p)^gamma, p the probability of its true class; weighted mean over pixels.

    Lin et al. 2017, over a softmax. Ours: the library one of segmentation-models-pytorch has a sigmoid a class, MONAI's
    knows no unlabelled pixels; where there are none it gives the same. `gamma` at least 1. Shapes and `total`
    as `LossSum`.
    """

    weights: torch.Tensor | None

    def __init__(self, gamma: float = 2.0, weights: torch.Tensor | None = None):
        super().__init__()
        self.gamma = gamma
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor, total: Total = own) -> torch.Tensor:
        # 0 where unlabelled
        weighted = F.cross_entropy(logits, labels, weight=self.weights, ignore_index=UNLABELLED, reduction="none")
        wrong = -torch.expm1(-F.cross_entropy(logits, labels, ignore_index=UNLABELLED, reduction="none"))
        focal = (wrong**self.gamma * weighted).sum()
        return ratio(*total(torch.stack([focal, _mass(labels, self.weights, focal)])))


def _mass(labels: torch.Tensor, weights: torch.Tensor | None, like: torch.Tensor) -> torch.Tensor:
    known = labels[labels != UNLABELLED]
    return like.new_tensor(known.numel()) if weights is None else weights[known].sum()
