import numpy as np
import pytest

from sem_train.config import UNLABELLED
from sem_train.metrics import confusion, dice, iou, mean_over_present


@pytest.mark.parametrize(
    ("predicted", "true", "expected_dice", "expected_iou"),
    [([0, 1, 1, 0], [0, 1, 1, 0], 1, 1), ([0, 1, 1, 1], [0, 1, 0, 0], 1 / 2, 1 / 3),
     ([0, 1, 0, 0], [0, 1, 1, 0], 2 / 3, 1 / 2), ([0, 1, 1, 0], [1, 0, 0, 1], 0, 0)],
)  # fmt: skip
def test_scores_of_known_masks(predicted, true, expected_dice, expected_iou):
    counts = confusion(np.array([predicted]), np.array([true]), 2)
    assert dice(counts)[1] == pytest.approx(expected_dice)
    assert iou(counts)[1] == pytest.approx(expected_iou)


def test_confusion_counts_true_by_row_and_leaves_out_unlabelled():
    counts = confusion(np.array([0, 1, 1, 2]), np.array([0, 0, 1, UNLABELLED]), 3)
    np.testing.assert_array_equal(counts, [[1, 1, 0], [0, 1, 0], [0, 0, 0]])


def test_absent_class_has_no_score_and_does_not_enter_the_mean():
    scores = dice(confusion(np.array([0, 1]), np.array([0, 1]), 3))
    assert np.isnan(scores[2])
    assert mean_over_present(scores) == 1
    assert np.isnan(mean_over_present(np.array([np.nan])))
