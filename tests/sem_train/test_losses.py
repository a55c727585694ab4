import math

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from fake_data import config, write_shard
from monai import losses as monai_losses
from pydantic import ValidationError

from sem_train.classes import ClassMap
from sem_train.config import UNLABELLED, LossSettings
from sem_train.losses import (
    LOSSES,
    BoundaryLoss,
    CrossEntropyLoss,
    FocalLoss,
    LossSum,
    LovaszSoftmaxLoss,
    SoftDiceLoss,
    TverskyLoss,
    build_loss,
    class_weights,
)
from sem_train.losses.boundary import signed_distances
from sem_train.training import fit

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
    loss = CrossEntropyLoss()(torch.zeros(1, 4, 2, 2), torch.tensor([[[0, 1], [2, 3]]]))
    assert loss.item() == pytest.approx(math.log(4))


def test_cross_entropy_weights_pixels_by_their_class():
    logits, labels = torch.zeros(1, 2, 1, 4), torch.tensor([[[0, 0, 0, 1]]])
    logits[:, 1] = math.log(3)  # p = 1/4, 3/4
    loss = CrossEntropyLoss(torch.tensor([1.0, 3.0]))(logits, labels)
    assert loss.item() == pytest.approx((3 * math.log(4) + 3 * math.log(4 / 3)) / 6)


def only(name, weights=None):
    """A loss by itself."""
    return LossSum(LossSettings(**{**dict.fromkeys(LOSSES, 0), name: 1}), weights)


@pytest.fixture
def batch():
    """Logits (2, 3, 6, 7) and labels in which every image shows every class."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (2, 6, 7), generator=generator)
    labels[:, 0, :3] = torch.arange(3)
    return torch.randn(2, 3, 6, 7, generator=generator), labels


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 5.0, 2.0])])
@pytest.mark.parametrize("name", LOSSES)
def test_unlabelled_pixels_change_nothing(name, weights, batch):
    loss, (logits, labels) = only(name, weights), batch
    padded = torch.cat([logits, torch.randn(2, 3, 6, 4)], dim=-1)
    unlabelled = torch.full((2, 6, 4), UNLABELLED)
    assert loss(padded, torch.cat([labels, unlabelled], dim=-1)).item() == pytest.approx(loss(logits, labels).item())


@pytest.mark.parametrize("name", LOSSES)
def test_image_without_labels_changes_nothing_beside_others(name, batch):
    loss, (logits, labels) = only(name), batch
    more = torch.cat([torch.randn(1, 3, 6, 7), logits]), torch.cat([torch.full((1, 6, 7), UNLABELLED), labels])
    assert loss(*more).item() == pytest.approx(loss(logits, labels).item())


@pytest.mark.parametrize("name", LOSSES)
def test_batch_without_labels_gives_zero_and_finite_gradients(name):
    logits = torch.randn(1, 2, 4, 4, requires_grad=True)
    loss = only(name)(logits, torch.full((1, 4, 4), UNLABELLED, dtype=torch.uint8))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_of_a_model_that_is_sure_is_finite(name):
    logits = certain([0, 1, 1, 0, 1]).requires_grad_()
    only(name)(logits, torch.tensor([[[0, 1, 0, 1, 1]]])).backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_steps_lead_to_the_truth(name):
    labels = torch.tensor([[[0, 0, 1, 1, 1, 2, 2, UNLABELLED]]])
    logits = torch.zeros(1, 3, 1, 8, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.3)
    for _ in range(40):
        optimizer.zero_grad()
        only(name)(logits, labels).backward()
        optimizer.step()
    assert torch.equal(logits.argmax(1)[..., :7], labels[..., :7])


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 5.0, 2.0])])
@pytest.mark.parametrize("name", LOSSES)
def test_loss_of_two_processes_is_that_of_one(name, weights, batch):
    loss, (logits, labels) = only(name, weights), batch
    labels[0, 3:] = UNLABELLED  # one has fewer labelled pixels
    others: list[torch.Tensor] = []
    loss(logits[:1], labels[:1], lambda part: others.append(part) or part)
    assert len(others) == 1
    found = loss(logits[1:], labels[1:], lambda part: part + others[0])
    assert found.item() == pytest.approx(loss(logits, labels).item(), rel=1e-6)


def test_losses_add_up_with_their_factors(batch):
    every = LossSum(LossSettings(dice=0.5, cross_entropy=2, focal=3, tversky=0.25, lovasz=1.5, boundary=0.01))
    expected = sum(every.factors[name] * only(name)(*batch) for name in LOSSES)
    assert every(*batch).item() == pytest.approx(expected.item())
    assert every.factors == {
        "dice": 0.5, "cross_entropy": 2, "focal": 3, "tversky": 0.25, "lovasz": 1.5, "boundary": 0.01
    }  # fmt: skip


def test_default_is_dice_and_cross_entropy(batch):
    weights = torch.tensor([1.0, 5.0, 2.0])
    loss = build_loss(LossSettings(class_weights=(1, 5, 2)), np.ones(3) / 3, CLASSES)
    expected = SoftDiceLoss(weights)(*batch) + CrossEntropyLoss(weights)(*batch)
    assert loss(*batch).item() == pytest.approx(expected.item())


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"dice": 0, "cross_entropy": 0}, "are all 0, expected one above 0"), ({"focal_gamma": 0.5}, "focal_gamma"),
     ({"tversky_alpha": 0, "tversky_beta": 0}, "both 0"), ({"lovasz": -1}, "lovasz"), ({"focl": 1}, "focl")],
)  # fmt: skip
def test_settings_that_are_no_loss_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        LossSettings(**settings)


def test_focal_loss_of_known_probabilities():
    logits, labels = torch.zeros(1, 2, 1, 4), torch.tensor([[[0, 0, 0, 1]]])
    logits[:, 1] = math.log(3)  # p = 1/4, 3/4
    loss = FocalLoss(2, torch.tensor([1.0, 3.0]))(logits, labels)
    expected = (3 * (3 / 4) ** 2 * math.log(4) + 3 * (1 / 4) ** 2 * math.log(4 / 3)) / 6
    assert loss.item() == pytest.approx(expected)


def test_focal_loss_is_monais_over_a_softmax(batch):
    logits, labels = batch
    theirs = monai_losses.FocalLoss(to_onehot_y=True, use_softmax=True, gamma=3, reduction="sum")
    of_images = theirs(logits, labels[:, None]).item()  # each its mean over pixels
    assert FocalLoss(3)(*batch).item() == pytest.approx(of_images / len(labels))


@pytest.mark.parametrize(
    ("predicted", "true", "index"),
    # alpha 0.2 for false positives, beta 0.6 for false negatives; class 1
    [([0, 1, 1, 1], [0, 1, 0, 0], 1 / (1 + 0.2 * 2)), ([0, 1, 0, 0], [0, 1, 1, 1], 1 / (1 + 0.6 * 2)),
     ([1, 1, 0, 0], [0, 1, 1, 0], 1 / (1 + 0.2 + 0.6)), ([0, 1, 1, 0], [0, 1, 1, 0], 1.0)],
)  # fmt: skip
def test_tversky_loss_of_known_masks(predicted, true, index):
    loss = TverskyLoss(0.2, 0.6, torch.tensor([0.0, 1.0]))
    assert loss(certain(predicted), torch.tensor([[true]])).item() == pytest.approx(1 - index, abs=1e-6)


@pytest.mark.parametrize("weights", [None, [1.0, 5.0, 2.0]])
def test_dice_and_tversky_are_the_librarys_where_all_classes_are_there(weights, batch):
    batch[1][1, 4:] = UNLABELLED
    ours = None if weights is None else torch.tensor(weights)
    of_library = {"mode": "multiclass", "ignore_index": UNLABELLED, "class_weights": weights}
    tversky = smp.losses.TverskyLoss(alpha=0.3, beta=0.7, **of_library)
    assert TverskyLoss(0.3, 0.7, ours)(*batch).item() == pytest.approx(tversky(*batch).item(), rel=1e-5)
    dice = smp.losses.DiceLoss(**of_library)
    assert SoftDiceLoss(ours)(*batch).item() == pytest.approx(dice(*batch).item(), rel=1e-5)


@pytest.mark.parametrize(
    ("predicted", "true", "iou"),
    [([0, 1, 1, 1], [0, 1, 0, 0], 1 / 3), ([0, 1, 0, 0], [0, 1, 1, 0], 1 / 2), ([0, 1, 1, 0], [0, 1, 1, 0], 1.0)],
)
def test_lovasz_loss_of_a_model_that_is_sure_is_one_minus_the_iou(predicted, true, iou):
    only_class_1 = LovaszSoftmaxLoss(torch.tensor([0.0, 1.0]))
    assert only_class_1(certain(predicted), torch.tensor([[true]])).item() == pytest.approx(1 - iou, abs=1e-6)


def test_lovasz_loss_of_a_known_case():
    # class 1: p = 0.2 where it is, 0.6 where it is not: errors 0.8, 0.6. The pixel missed, the IoU is 0 already
    p = torch.tensor([[0.8, 0.4], [0.2, 0.6]])
    loss = LovaszSoftmaxLoss(torch.tensor([0.0, 1.0]))(p.log().reshape(1, 2, 1, 2), torch.tensor([[[1, 0]]]))
    assert loss.item() == pytest.approx(0.8)
    # errors swapped: 0.6 first as a false positive, which takes half of the IoU; then the pixel missed
    p = torch.tensor([[0.4, 0.2], [0.6, 0.8]])
    loss = LovaszSoftmaxLoss(torch.tensor([0.0, 1.0]))(p.log().reshape(1, 2, 1, 2), torch.tensor([[[1, 0]]]))
    assert loss.item() == pytest.approx(0.8 * 1 / 2 + 0.4 * 1 / 2)


def test_lovasz_loss_is_the_librarys(batch):
    theirs = smp.losses.LovaszLoss("multiclass", per_image=True, ignore_index=UNLABELLED)
    batch[1][1, 4:] = UNLABELLED
    assert LovaszSoftmaxLoss()(*batch).item() == pytest.approx(theirs(*batch).item(), rel=1e-5)


def test_distances_to_the_boundary_of_each_class():
    # 0 and 1 side by side, an unlabelled pixel, then 2
    found = signed_distances(np.array([[[0, 0, 1, 1, UNLABELLED, 2]]]), 4)[0, :, 0]
    np.testing.assert_array_equal(
        found, [[-1, 0, 1, 2, 0, 4], [2, 1, 0, -1, 0, 2], [5, 4, 3, 2, 0, -1], [0, 0, 0, 0, 0, 0]]
    )
    square = np.zeros((1, 5, 5), dtype=np.uint8)
    square[0, 1:4, 1:4] = 1
    found = signed_distances(square, 2)[0, 1]
    assert (found[2, 2], found[1, 1], found[0, 2], found[0, 0]) == pytest.approx((-1, 0, 1, math.sqrt(2)))
    assert not signed_distances(np.ones((1, 3, 3), dtype=np.uint8), 2).any()


def test_boundary_loss_of_a_known_case():
    # distances of class 0: -1, 0, 1; of class 1: 2, 1, 0. All taken for class 1: (2 + 1 + 0) / 3, for class 0: 0
    labels = torch.tensor([[[0, 0, 1]]])
    of_class = {0: torch.tensor([1.0, 0.0]), 1: torch.tensor([0.0, 1.0])}
    assert BoundaryLoss(of_class[1])(certain([1, 1, 1]), labels).item() == pytest.approx(1)
    assert BoundaryLoss(of_class[0])(certain([0, 0, 0]), labels).item() == pytest.approx(0)
    assert BoundaryLoss()(certain([0, 0, 1]), labels).item() == pytest.approx((-1 + 0) / 3 / 2)


def test_boundary_loss_is_monais_where_all_is_labelled(batch):
    logits, labels = batch
    theirs = monai_losses.BoundaryLoss(softmax=True, to_onehot_y=True)
    assert BoundaryLoss()(logits, labels).item() == pytest.approx(theirs(logits, labels[:, None]).item(), rel=1e-5)


def test_run_trains_and_validates_with_every_loss(tmp_path):
    data = {"synthetic": [{"path": write_shard(tmp_path / "s.h5"), "held_out": 1}]}
    settings = config(tmp_path / "run", data, steps=2)
    losses = LossSettings(focal=1, tversky=1, lovasz=1, boundary=0.01, class_weights="median_frequency")
    scores = fit(settings.model_copy(update={"loss": losses})).scores
    assert math.isfinite(scores["val_loss"]) and math.isfinite(scores["train_loss"])


def test_loss_if_not_told_is_dice_and_cross_entropy_by_frequency_within_two():
    settings = LossSettings()
    assert (settings.dice, settings.cross_entropy) == (1, 1)
    weights = class_weights(settings, np.array([0.75, 0.20, 0.05]), CLASSES)
    np.testing.assert_allclose(weights, [0.5, 1, 2])
    assert list(LossSum(settings).factors) == ["dice", "cross_entropy"]


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
    found = class_weights(LossSettings(class_weights=how, weight_cap=10), np.array([0.9, 0.0, 0.1]), CLASSES)
    np.testing.assert_allclose(found, expected)
    assert "shows b;" in caplog.text
