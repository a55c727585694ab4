"""Calibration: temperatures, calibration errors, distances and thresholds that can be worked out otherwise."""

import numpy as np
import pytest
from fake_particles import config, write_shard
from scipy.special import softmax

from sem_train.classification.calibration import (
    SCORES,
    Calibration,
    Familiar,
    calibrated,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from sem_train.classification.checkpoint import load_classifier, read_classifier
from sem_train.classification.evaluation import evaluate_classifier
from sem_train.classification.training import fit_classifier


def drawn(n=40_000, k=4, seed=0):
    """Logits (n, k) and labels that are drawn by their very probabilities."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, k))
    return logits, (softmax(logits, axis=1).cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)


def test_probabilities_that_are_right_need_no_temperature():
    logits, labels = drawn()
    assert abs(fit_temperature(logits, labels) - 1) < 0.03
    assert expected_calibration_error(softmax(logits, axis=1), labels) < 0.01


@pytest.mark.parametrize("factor", [0.4, 3.0])
def test_temperature_undoes_logits_that_are_too_large_or_too_small(factor):
    logits, labels = drawn()
    temperature = fit_temperature(factor * logits, labels)
    assert abs(temperature / factor - 1) < 0.03
    before = expected_calibration_error(softmax(factor * logits, axis=1), labels)
    after = expected_calibration_error(softmax(factor * logits / temperature, axis=1), labels)
    assert before > 0.05 and after < 0.01


def test_a_prior_makes_up_for_training_as_if_classes_were_alike():
    """Two normal densities one apart with equal weights give the logits, the particles come nine to one."""
    rng = np.random.default_rng(5)
    labels = (rng.random(40_000) < 0.1).astype(int)
    x = rng.normal(labels, 1.0)
    logits = np.stack([np.zeros_like(x), x - 0.5], axis=1)  # of equal weights, by Bayes
    own = np.log([0.9, 0.1])
    weighed = calibrated(2 * logits, logits, labels, None, "energy", 0.05, own)
    assert abs(weighed.temperature / 2 - 1) < 0.1
    assert weighed.ece_after < 0.01 < 0.1 < weighed.ece_before
    again = Calibration.from_stored(Calibration("energy", 0.05, {"both": weighed}).stored())
    right = lambda c: (c.probabilities(2 * logits, "both").argmax(axis=1) == labels).mean()
    assert right(again) > 0.89 > 0.75 > right(Calibration())


def test_calibration_error_of_answers_that_are_always_sure():
    labels = np.array([0] * 7 + [1] * 3)
    sure = np.tile([1.0, 0.0], (10, 1))
    assert expected_calibration_error(sure, labels) == pytest.approx(0.3)
    half = np.tile([0.7, 0.3], (10, 1))
    assert expected_calibration_error(half, labels) == pytest.approx(0)
    assert reliability(half, labels) == [(pytest.approx(0.7), pytest.approx(0.7), 1.0)]


def test_distances_to_known_particles_are_those_of_their_spread():
    rng = np.random.default_rng(1)
    spread = np.array([[4.0, 1.0], [1.0, 1.0]])
    means = np.array([[0.0, 0.0], [20.0, 0.0]])
    labels = np.arange(20_000) % 2
    features = means[labels] + rng.multivariate_normal([0, 0], spread, len(labels))
    familiar = Familiar.of(features, labels, 2)
    np.testing.assert_allclose(familiar.means, means, atol=0.05)
    off = np.array([[2.0, 0.0], [20.0, 2.0], [10.0, 0.0]])
    expected = [np.array(d) @ np.linalg.inv(spread) @ np.array(d) for d in ([2, 0], [0, 2], [10, 0])]
    np.testing.assert_allclose(familiar.distances(off), expected, rtol=0.05)


def test_relative_distance_leaves_out_what_is_spread_in_all_classes_alike():
    """Classes differ along the first axis; along the second all spread alike, so it says nothing of a class."""
    rng = np.random.default_rng(4)
    labels = np.arange(40_000) % 2
    features = np.stack([10.0 * labels, np.zeros(len(labels))], axis=1) + rng.normal(size=(len(labels), 2)) * [1, 5]
    familiar = Familiar.of(features, labels, 2)
    along, across = familiar.relative(np.array([[0.0, 15.0], [4.0, 0.0]])) - familiar.relative(np.zeros((1, 2)))
    assert abs(along) < 0.1
    # 16 to the nearest class; 5² less 1² of variance 26 to the middle
    assert across == pytest.approx(16 - (1 - 25) / 26, rel=0.03)


@pytest.mark.parametrize("reject", list(SCORES))
def test_the_threshold_rejects_the_stated_share_of_known_particles(reject):
    rng = np.random.default_rng(2)
    logits, labels = drawn(4000)
    features = np.eye(4)[labels] * 8 + rng.normal(size=(4000, 4))
    familiar = Familiar.of(features[:2000], labels[:2000], 4)
    mode = calibrated(logits[:2000], features[:2000], labels[:2000], familiar, reject, 0.1)
    own = Calibration(reject, 0.1, {"both": mode})
    assert abs(own.rejected(logits[2000:], features[2000:], "both").mean() - 0.1) < 0.03
    again = Calibration.from_stored(own.stored())
    assert np.array_equal(again.rejected(logits, features, "both"), own.rejected(logits, features, "both"))


def test_what_lies_far_off_is_rejected_by_its_distance_however_sure_the_network_is():
    rng = np.random.default_rng(3)
    labels = np.arange(2000) % 2
    features = np.eye(2)[labels] * 8 + rng.normal(size=(2000, 2))
    familiar = Familiar.of(features, labels, 2)
    mode = calibrated(features, features, labels, familiar, "mahalanobis", 0.05)
    far = np.array([[30.0, 0.0], [8.0, 0.0]])
    assert Calibration("mahalanobis", 0.05, {"image": mode}).rejected(far, far, "image").tolist() == [True, False]


def test_without_calibration_nothing_is_changed_or_rejected():
    logits, _ = drawn(10)
    none = Calibration()
    np.testing.assert_allclose(none.probabilities(logits, "both"), softmax(logits, axis=1))
    assert not none.rejected(logits, logits, "both").any()


@pytest.mark.usefixtures("one_thread")
def test_a_run_rejects_a_population_that_it_has_never_seen(tmp_path):
    """Rings are as bright as no other kind and have a line of their own; known ones are mostly named."""
    path = write_shard(tmp_path / "a.h5", 14)
    settings = config(tmp_path / "run", {"synthetic": [{"path": path, "held_out": 6}]}, steps=80, val_every=80,
                      learning_rate=5e-3)  # fmt: skip
    fit_classifier(settings)
    calibration = read_classifier(tmp_path / "run").calibration
    assert set(calibration.modes) == {"both", "image", "spectrum"}
    assert all(mode.particles == 36 for mode in calibration.modes.values())
    others = write_shard(tmp_path / "b.h5", 6, first=50, kinds=("disc", "square", "bar", "ring"))
    result = evaluate_classifier(tmp_path / "run", others, unknown=["ring"]).results[0]
    assert result.rejected_share(unknown=True) >= 0.9
    assert result.rejected_share(unknown=False) <= 0.25
    assert result.accuracy >= 0.95
    assert load_classifier(tmp_path / "run").calibration.reject == "relative_mahalanobis"


@pytest.mark.usefixtures("one_thread")
def test_nothing_is_calibrated_where_nothing_is_held_out(tmp_path):
    fit_classifier(config(tmp_path / "run", {"synthetic": [{"path": write_shard(tmp_path / "a.h5", 4)}]}))
    assert read_classifier(tmp_path / "run").calibration.modes == {}
