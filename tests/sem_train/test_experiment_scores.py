import numpy as np
import pytest
from fake_experiment import CLASSES

from sem_train.classes import ClassMap
from sem_train.config import UNLABELLED
from sem_train.experiments.results import Measured
from sem_train.experiments.scores import boundary_distance_px, score
from semforge.errors import InputError

ROWS, COLUMNS = np.mgrid[:200, :240]
POROUS = ClassMap.model_validate({"classes": [
    {"name": "resin", "role": "outside"}, {"name": "coat", "role": "layer"},
    {"name": "pore", "role": "inclusion", "host": "coat"}, {"name": "steel", "role": "substrate"},
]})  # fmt: skip


def disc(radius, row=100, column=120):
    return np.hypot(ROWS - row, COLUMNS - column) <= radius


def slab(top=60, bottom=100, crack=None):
    """Oxide between two rows, a crack in a window of it."""
    labels = np.zeros(ROWS.shape, dtype=np.uint8)
    labels[top:bottom] = 1
    if crack is not None:
        labels[crack] = 2
    return labels


@pytest.mark.parametrize("shift", [0, 1, 7])
def test_outlines_of_half_planes_are_as_far_apart_as_the_planes(shift):
    upper, left = (lambda edge: edge > ROWS), (lambda edge: edge > COLUMNS)
    assert boundary_distance_px(upper(100), upper(100 + shift)) == pytest.approx(shift)
    assert boundary_distance_px(left(100), left(100 - shift)) == pytest.approx(shift)


def test_outlines_of_discs_in_each_other_are_as_far_apart_as_their_radii():
    # the nearest point of a staircase is nearer than the circle, by less than the stairs are deep
    assert 10 - 1 / np.sqrt(8) < boundary_distance_px(disc(70), disc(60)) < 10


def test_outlines_of_shifted_discs():
    # the nearest point of a circle of radius r, d aside, is |sqrt(r² + d² + 2rd cos φ) − r| away; mean over φ
    r, d = 60, 8
    phi = np.linspace(0, 2 * np.pi, 100_000)
    expected = np.abs(np.sqrt(r**2 + d**2 + 2 * r * d * np.cos(phi)) - r).mean()
    assert boundary_distance_px(disc(r), disc(r, column=120 + d)) == pytest.approx(expected, rel=0.03)


def test_a_crack_three_times_as_wide_is_one_pixel_off_on_both_sides():
    assert boundary_distance_px(ROWS == 50, abs(ROWS - 50) <= 1) == pytest.approx(1)


def test_both_ways_count_alike():
    # a stray speck far away costs only on its own way, so one way alone would not see it
    stray = disc(40) | disc(3, row=20, column=20)
    assert boundary_distance_px(stray, disc(40)) == boundary_distance_px(disc(40), stray) > 1


def test_no_outline_on_one_side_has_no_distance():
    whole, none = np.ones(ROWS.shape, dtype=bool), np.zeros(ROWS.shape, dtype=bool)
    assert boundary_distance_px(disc(20), none) is None
    assert boundary_distance_px(whole, disc(20)) is None  # the frame of the image is no outline


def test_outlines_without_labels_on_both_hands_do_not_count():
    truth = ROWS < 100
    predicted = truth.copy()
    predicted[:, 200:] = ROWS[:, 200:] < 140  # wrong by 40 where nobody knows
    assert boundary_distance_px(predicted, truth) > 1
    assert boundary_distance_px(predicted, truth, COLUMNS < 200) == 0


def test_score_of_a_slab_that_is_moved_and_thicker():
    found = score(slab(56, 100), slab(60, 100), CLASSES)
    width = ROWS.shape[1]
    assert found.counts == [[156 * width, 4 * width, 0], [0, 40 * width, 0], [0, 0, 0]]
    assert found.boundary_px["oxide"] == pytest.approx((0 + 4) / 2)
    assert found.boundary_px["crack"] is None
    assert found.thickness_px["oxide"].true == pytest.approx(40, abs=0.1)
    assert found.thickness_px["oxide"].error == pytest.approx(4, abs=0.1)


def test_area_of_cracks_is_their_share_of_the_layer():
    crack = (slice(70, 90), slice(100, 106))
    wide = (slice(70, 90), slice(100, 112))
    found = score(slab(crack=wide), slab(crack=crack), CLASSES)
    area = 40 * ROWS.shape[1]
    assert found.area_percent["crack"].true == pytest.approx(100 * 20 * 6 / area)
    assert found.area_percent["crack"].predicted == pytest.approx(100 * 20 * 12 / area)


def test_area_of_inclusions_is_their_share_of_the_layer():
    truth = np.zeros(ROWS.shape, dtype=np.uint8)
    truth[60:100], truth[100:] = 1, 3
    predicted = truth.copy()
    truth[70:80, 50:70], predicted[70:80, 50:60] = 2, 2
    found = score(predicted, truth, POROUS)
    assert found.area_percent["pore"].true == pytest.approx(100 * 200 / (40 * 240))
    assert found.area_percent["pore"].error == pytest.approx(-100 * 100 / (40 * 240))


def test_area_of_particles_is_their_share_of_the_labelled_image():
    classes = ClassMap.model_validate({"classes": [{"name": "film"}, {"name": "grain", "role": "particle"}]})
    truth, predicted = np.zeros((2, 50, 40), dtype=np.uint8)
    truth[10:20, 10:20], predicted[10:20, 10:16] = 1, 1
    found = score(predicted, truth, classes).area_percent["grain"]
    assert (found.true, found.predicted) == (pytest.approx(5.0), pytest.approx(3.0))
    truth[40:] = UNLABELLED
    assert score(predicted, truth, classes).area_percent["grain"].error == pytest.approx(-100 * 40 / 1600)


def test_a_layer_that_is_not_found_has_no_thickness():
    oxide = score(np.zeros(ROWS.shape, dtype=np.uint8), slab(), CLASSES).thickness_px["oxide"]
    assert oxide.true == pytest.approx(40, abs=0.1) and oxide.predicted is None


def test_unlabelled_pixels_do_not_count():
    truth, predicted = slab(), slab(58, 101)
    predicted[180:] = 1
    barred = truth.copy()
    barred[180:] = UNLABELLED
    assert score(predicted, barred, CLASSES) == score(predicted[:180], truth[:180], CLASSES)
    other = np.where(barred == UNLABELLED, 77, barred)
    assert score(predicted, other, CLASSES, unlabelled=77) == score(predicted, barred, CLASSES)


def test_gaps_in_the_labels_do_not_interrupt_a_layer():
    truth = slab()
    truth[55:105, 100:110] = UNLABELLED
    found = score(slab(), truth, CLASSES)
    assert found.thickness_px["oxide"].true == pytest.approx(40, abs=0.1)
    assert found.thickness_px["oxide"].error == pytest.approx(0, abs=0.1)


def test_maps_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match="predicted labels are"):
        score(slab()[:50], slab(), CLASSES)
    with pytest.raises(InputError, match="class id 7"):
        score(np.full(ROWS.shape, 7, dtype=np.uint8), slab(), CLASSES)


def test_nothing_labelled_scores_nothing():
    found = score(slab(), np.full(ROWS.shape, UNLABELLED, dtype=np.uint8), CLASSES)
    assert np.sum(found.counts) == 0
    assert found.thickness_px["oxide"] == found.area_percent["crack"] == Measured(None, None)
