"""What all losses have in common."""

from collections.abc import Callable

import torch
import torch.nn.functional as F

from sem_train.config import UNLABELLED

Total = Callable[[torch.Tensor], torch.Tensor]  # sums over all processes that share a batch


def own(part: torch.Tensor) -> torch.Tensor:
    """The `Total` of a batch that one process has for itself."""
    return part


def ratio(over: torch.Tensor, under: torch.Tensor) -> torch.Tensor:
    """Quotient of sums; 0 where both are 0."""
    return over / under.clamp_min(torch.finfo(under.dtype).tiny)


def one_hot(labels: torch.Tensor, n_classes: int) -> torch.Tensor:
    """Truth (N, C, H, W) bool of labels (N, H, W) int64; an unlabelled pixel is of no class."""
    known = labels != UNLABELLED
    return F.one_hot(labels.where(known, 0), n_classes).movedim(-1, 1).bool() & known.unsqueeze(1)
