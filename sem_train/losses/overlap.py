"""Losses of the overlap of each class, averaged over the classes with their weights.

A class that is not there is left out of the mean: its overlap is 0 whatever the model says. That, and the
sums over processes, is why these are ours: the Dice and Tversky losses of segmentation-models-pytorch keep it
in the denominator. Where all classes are there, they give the same.
"""

import torch
from torch import nn

from sem_train.losses.shared import Total, one_hot, own, ratio


class TverskyLoss(nn.Module):
    """One minus the Tversky index TP / (TP + alpha FP + beta FN) (Salehi et al. 2017).

    For a class with probabilities p and truth g (0 or 1) over all labelled pixels of the batch TP is Σpg,
    FP is Σp(1-g), FN is Σ(1-p)g. Shapes and `total` as `LossSum`; result 0 to 1.
    """

    weights: torch.Tensor | None

    def __init__(self, alpha: float, beta: float, weights: torch.Tensor | None = None):
        super().__init__()
        self.alpha, self.beta = alpha, beta
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor, total: Total = own) -> torch.Tensor:
        truth = one_hot(labels.long(), logits.shape[1])
        p = logits.float().softmax(dim=1) * truth.any(dim=1, keepdim=True)
        over = (0, *range(2, logits.ndim))
        both, seen, there = total(torch.stack([(p * truth).sum(over), p.sum(over), truth.sum(over)]))
        index = ratio(both, (1 - self.alpha - self.beta) * both + self.alpha * seen + self.beta * there)
        weights = _present(there > 0, self.weights)
        return ratio((weights * (1 - index)).sum(), weights.sum())


class SoftDiceLoss(TverskyLoss):
    """One minus the soft Dice coefficient 2 Σpg / (Σp + Σg) (Milletari et al. 2016, with plain sums).

    The Tversky loss that minds false positives and negatives alike.
    """

    def __init__(self, weights: torch.Tensor | None = None):
        super().__init__(0.5, 0.5, weights)


class LovaszSoftmaxLoss(nn.Module):
    """Lovász-softmax (Berman et al. 2018): the convex extension of one minus the IoU, mean over the images of a batch.

    Each image for itself, so that processes can add up what they have: the extension sorts all pixels, which
    processes could not share. The library's (segmentation-models-pytorch, `per_image`) fails on an image without
    labels and has no class weights; otherwise it gives the same. Shapes and `total` as `LossSum`; result 0 to 1.
    """

    weights: torch.Tensor | None

    def __init__(self, weights: torch.Tensor | None = None):
        super().__init__()
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor, total: Total = own) -> torch.Tensor:
        truth = one_hot(labels.long(), logits.shape[1])
        known = truth.any(dim=1)
        p = logits.float().softmax(dim=1)
        images = [self._of_image(p[i][:, known[i]], truth[i][:, known[i]]) for i in range(len(p)) if known[i].any()]
        count = p.new_tensor(len(images))
        return ratio(*total(torch.stack([torch.stack(images).sum() if images else 0 * p.sum(), count])))

    def _of_image(self, p: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """Loss of probabilities (C, P) of pixels with truth (C, P)."""
        errors, order = (p - truth.float()).abs().sort(dim=1, descending=True)
        weights = _present(truth.any(dim=1), self.weights)
        return ratio((weights * (errors * _steps(truth.gather(1, order))).sum(dim=1)).sum(), weights.sum())


def _steps(truth: torch.Tensor) -> torch.Tensor:
    """What each pixel adds to one minus the IoU when it is wrong and all before it in (C, P) are."""
    missed, false = truth.cumsum(dim=1), (~truth).cumsum(dim=1)
    there = missed[:, -1:]
    lost = 1 - (there - missed) / (there + false)
    return torch.diff(lost, dim=1, prepend=torch.zeros_like(lost[:, :1]))


def _present(there: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    return there.float() if weights is None else there * weights
