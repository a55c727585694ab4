"""Boundary loss: probabilities weighed by how far they lie from the true boundary."""

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import nn

from sem_train.config import UNLABELLED
from sem_train.losses.shared import Total, own, ratio


class BoundaryLoss(nn.Module):
    """Mean over labelled pixels of each class's probability times its signed distance (Kervadec et al. 2019).

    Classes count with their weights. Distances are in pixels, negative inside, so the loss of a good model is below
    0; by itself it has a weak gradient near the boundary and is meant as an addition to another loss, with a factor
    of about 0.01. Where all is labelled, MONAI's gives the same; that one takes no class weights and would see
    a boundary where labels end. Shapes and `total` as `LossSum`.
    """

    weights: torch.Tensor | None

    def __init__(self, weights: torch.Tensor | None = None):
        super().__init__()
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor, total: Total = own) -> torch.Tensor:
        maps = torch.from_numpy(signed_distances(labels.cpu().numpy(), logits.shape[1])).to(logits.device)
        by_class = (logits.float().softmax(dim=1) * maps).sum(dim=(0, 2, 3))
        weighed = by_class.mean() if self.weights is None else (by_class * self.weights).sum() / self.weights.sum()
        return ratio(*total(torch.stack([weighed, (labels != UNLABELLED).sum().to(weighed)])))


def signed_distances(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Distance in pixels (N, C, H, W) float32 of every pixel of labels (N, H, W) to the boundary of every class.

    Outside of a class it is that to the nearest pixel of the class; inside, 1 less than that to the nearest of another,
    negative. 0 for a class without a boundary in the image, and for unlabelled pixels, which bound nothing.
    """
    distances = np.zeros((labels.shape[0], n_classes, *labels.shape[1:]), dtype=np.float32)
    for image, maps in zip(labels, distances, strict=True):
        known = image != UNLABELLED
        for index in np.unique(image[known]):
            inside = image == index
            others = known & ~inside
            if others.any():
                depth = distance_transform_edt(~others)
                maps[index] = np.where(inside, 1 - depth, distance_transform_edt(~inside)) * known
    return distances
