"""Random changes of crops: what was made faster gives what it gave."""

import numpy as np
import pytest
import torch
from monai import transforms as mt

from sem_train import transforms
from sem_train.config import AugmentSettings
from sem_train.transforms import Augmentation


@pytest.mark.parametrize("shape", [(64, 64), (32, 96), (33, 47)])
@pytest.mark.parametrize(
    "changes",
    [
        {"rotate_degrees": 180, "zoom": 0.4},
        {"rotate_degrees": 5, "noise": 0.1, "blur_px": 1},
        {"zoom": 0.3, "levels": 6},
    ],
)
def test_affine_changes_are_those_of_monai_to_the_last_bit(monkeypatch, shape, changes):
    settings = AugmentSettings(flip="both", **changes)
    ours = Augmentation(settings)
    with monkeypatch.context() as patch:
        patch.setattr(transforms, "_RandAffined", mt.RandAffined)
        theirs = Augmentation(settings)
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.normal(size=(1, *shape)).astype(np.float32))
    labels = torch.from_numpy(rng.choice(np.array([0, 1, 2, 255], np.uint8), size=shape))
    for seed in range(8):
        for one, other in zip(ours(image, labels, seed), theirs(image, labels, seed), strict=True):
            assert torch.equal(one, other) and one.dtype == other.dtype
