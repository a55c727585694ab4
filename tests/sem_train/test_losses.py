import math

import numpy as np
import pytest
import torch

from sem_train.classes import ClassMap
from sem_train.config import UNLABELLED, LossSettings
from sem_train.losses import DiceCrossEntropy, SoftDiceLoss, class_weights

SURE = 100.0
CLASSES = ClassMap.model_validate({"classes": [{"name": "a"}, {"name": "b"}, {"name": "c"}]})


def certain(labels: list[int], n_classes: int = 2) -> torch.Tensor:
    """Logits (1, C, 1, W) of a model that is sure of these labels."""
    return SURE * torch.nn.functional.one_hot(torch.tensor([[labels]]), n_classes).movedim(-1, 1).float()


@pytest.mark.parametrize(
    ("predicted", "true", "dice_of_class_1"),
    [([0, 1, 1, 0], [0, 1, 1, 0], 1.0), ([0, 1, 1, 1], [0, 1, 0, 0], 0.5), ([0, 1, 0, 0], [0, 1, 1, 0], 2 / 3),
     ([0, 1, 1, 0], [1, 0, 0, 1], 0.0)],
)  # fmt: skip
def test_dice_loss_of_known_masks(predicted, true, dice_of_class_1):
    only_class_1 = SoftDiceLoss(torch.tensor([0.0, 1.0]))
    loss = only_class_1(certain(predicted), torch.tensor([[true]]))
    assert loss.item() == pytest.approx(1 - dice_of_class_1, abs=1e-6)


def test_dice_loss_of_an_undecided_model():
    # p = 1/2 everywhere, half of the pixels true: 2·(n/4) / (n/2 + n/2) = 1/2 for each class
    loss = SoftDiceLoss()(torch.zeros(1, 2, 1, 8), torch.tensor([[[0, 1] * 4]]))
    assert loss.item() == pytest.approx(0.5)


def test_class_that_the_batch_lacks_does_not_count():
    three = SoftDiceLoss()(certain([0, 1, 1, 0], 3), torch.tensor([[[0, 1, 0, 0]]]))
    two = SoftDiceLoss()(certain([0, 1, 1, 0], 2), torch.tensor([[[0, 1, 0, 0]]]))
    assert three.item() == pytest.approx(two.item())


def test_cross_entropy_of_an_undecided_model_is_log_of_classes():
    loss = DiceCrossEntropy(dice=0, cross_entropy=1)(torch.zeros(1, 4, 2, 2), torch.tensor([[[0, 1], [2, 3]]]))
    assert loss.item() == pytest.approx(math.log(4))


def test_cross_entropy_weights_pixels_by_their_class():
    logits, labels = torch.zeros(1, 2, 1, 4), torch.tensor([[[0, 0, 0, 1]]])
    logits[:, 1] = math.log(3)  # p = 1/4, 3/4
    loss = DiceCrossEntropy(0, 1, torch.tensor([1.0, 3.0]))(logits, labels)
    assert loss.item() == pytest.approx((3 * math.log(4) + 3 * math.log(4 / 3)) / 6)


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 5.0])])
def test_unlabelled_pixels_change_nothing(weights):
    loss = DiceCrossEntropy(1, 1, weights)
    logits, labels = torch.randn(1, 2, 1, 6), torch.tensor([[[0, 1, 1, 0, 1, 0]]])
    padded = torch.cat([logits, torch.randn(1, 2, 1, 3)], dim=-1)
    unlabelled = torch.full((1, 1, 3), UNLABELLED)
    assert loss(padded, torch.cat([labels, unlabelled], dim=-1)).item() == pytest.approx(loss(logits, labels).item())


def test_batch_without_labels_gives_zero_and_finite_gradients():
    logits = torch.randn(1, 2, 4, 4, requires_grad=True)
    loss = DiceCrossEntropy(1, 1)(logits, torch.full((1, 4, 4), UNLABELLED, dtype=torch.uint8))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_class_weights_from_frequencies():
    share = np.array([0.8, 0.16, 0.04])
    weights = lambda how, cap: class_weights(LossSettings(class_weights=how, weight_cap=cap), share, CLASSES)
    np.testing.assert_allclose(weights("inverse_frequency", 100), [1, 5, 20])
    np.testing.assert_allclose(weights("inverse_frequency", 10), [1, 5, 10])
    np.testing.assert_allclose(weights("median_frequency", 100), [0.2, 1, 4])
    np.testing.assert_allclose(weights("median_frequency", 2), [0.5, 1, 2])
    np.testing.assert_allclose(weights((1.0, 2.0, 3.0), 2), [1, 2, 3])
    assert weights("none", 2) is None


@pytest.mark.parametrize(("how", "expected"), [("inverse_frequency", [1, 9, 9]), ("median_frequency", [5 / 9, 5, 5])])
def test_class_that_training_never_shows_counts_like_the_rarest_and_is_named(how, expected, caplog):
    found = class_weights(LossSettings(class_weights=how), np.array([0.9, 0.0, 0.1]), CLASSES)
    np.testing.assert_allclose(found, expected)
    assert "shows b;" in caplog.text
