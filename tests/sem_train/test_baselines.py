import logging

import numpy as np
import pytest
from scipy import ndimage

from sem_train.baselines import BASELINES, AtScale, MultiOtsu, RandomForest, ThresholdWorkflow, WithContrast
from sem_train.baselines.features import tile_features
from sem_train.baselines.forest import balanced_pixels
from sem_train.baselines.grey import grey_levels, hats
from sem_train.baselines.interface import training_set
from sem_train.baselines.otsu import Smoothing
from sem_train.baselines.workflow import Rule, Step, WorkflowSegmenter
from sem_train.classes import ClassMap
from sem_train.config import UNLABELLED
from sem_train.metrics import confusion, iou
from semforge.errors import InputError

TWO = ClassMap.model_validate({"classes": [{"name": "dark"}, {"name": "bright"}]})
THREE = ClassMap.model_validate({"classes": [{"name": "a"}, {"name": "b"}, {"name": "c"}]})
SMALL_FOREST = RandomForest(trees=30, pixels_an_image=1000, tile_px=64)
QUICK = {**BASELINES, "random_forest": SMALL_FOREST, "random_forest_augmented": WithContrast(SMALL_FOREST, copies=1)}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noisy(labels: np.ndarray, levels: list[float], sd: float = 0.02, seed: int = 0) -> np.ndarray:
    """A float32 image in 0 to 1 with one grey level a class."""
    clean = np.asarray(levels)[labels]
    return np.clip(clean + rng(seed).normal(0, sd, labels.shape), 0, 1).astype(np.float32)


def layered(shape: tuple[int, int] = (96, 96), top: int = 30, bottom: int = 60) -> np.ndarray:
    """Class ids 0, 1, 0 from top to bottom."""
    labels = np.zeros(shape, dtype=np.uint8)
    labels[top:bottom] = 1
    return labels


def ious(segmenter, image: np.ndarray, truth: np.ndarray, n_classes: int = 2) -> np.ndarray:
    return iou(confusion(segmenter.predict(image), truth, n_classes))


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("levels", [[0.2, 0.8], [0.8, 0.2]], ids=["dark-bright-dark", "bright-dark-bright"])
def test_layer_between_two_halves_of_another_class_is_found(name, levels):
    train, test = layered(), layered(top=20, bottom=48)
    segmenter = QUICK[name].fit([noisy(train, levels)], [train], TWO)
    # a forest of neighbourhoods may be a pixel off at the two edges of the layer, of 28 rows
    least = 26 / 28 if "forest" in name else 1
    found = segmenter.predict(noisy(test, levels, seed=1))
    assert found.dtype == np.uint8
    assert iou(confusion(found, test, 2))[1] >= least


def test_a_forest_of_so_few_trees_that_some_pixels_have_no_vote_works_without_a_word():
    truth = layered()
    few = RandomForest(trees=2, pixels_an_image=500, tile_px=64)
    segmenter = few.fit([noisy(truth, [0.2, 0.8])], [truth], TWO)  # warnings are errors here
    assert ious(segmenter, noisy(truth, [0.2, 0.8], seed=1), truth)[1] > 0.9


def test_otsu_tells_two_noisy_grey_levels_exactly():
    truth = (rng().random((80, 90)) < 0.3).astype(np.uint8)
    image = noisy(truth, [0.3, 0.6])
    segmenter = MultiOtsu().fit([image], [truth], TWO)
    np.testing.assert_array_equal(segmenter.predict(image), truth)
    assert segmenter.smoothing.px == 0


def test_otsu_takes_classes_in_the_order_of_their_mean_grey_level():
    truth = rng().integers(0, 3, (60, 60)).astype(np.uint8)
    levels = [0.5, 0.9, 0.1]
    segmenter = MultiOtsu().fit([noisy(truth, levels)], [truth], THREE)
    assert segmenter.order == (2, 0, 1)
    darker = noisy(truth, [x / 2 for x in levels], sd=0.01, seed=1)  # thresholds are found anew
    np.testing.assert_array_equal(segmenter.predict(darker), truth)


def test_otsu_smooths_as_much_as_the_training_images_want():
    train, test = layered(), layered(top=16, bottom=50)
    segmenter = MultiOtsu().fit([noisy(train, [0.4, 0.6], sd=0.15)], [train], TWO)
    rough = MultiOtsu(smoothings=(Smoothing(),)).fit([noisy(train, [0.4, 0.6], sd=0.15)], [train], TWO)
    image = noisy(test, [0.4, 0.6], sd=0.15, seed=1)
    assert segmenter.smoothing.px > 0
    assert ious(segmenter, image, test)[1] > 0.9 > ious(rough, image, test)[1]


def test_otsu_with_many_classes_finds_as_many_levels():
    seven = ClassMap.model_validate({"classes": [{"name": str(i)} for i in range(7)]})
    truth = (np.arange(70 * 20).reshape(70, 20) // 200).astype(np.uint8)
    image = (truth * 36 + 10).astype(np.uint8)
    segmenter = MultiOtsu(smoothings=(Smoothing(),)).fit([image], [truth], seven)
    np.testing.assert_array_equal(segmenter.predict(image), truth)


def test_otsu_refuses_more_classes_than_it_can_search():
    nine = ClassMap.model_validate({"classes": [{"name": str(i)} for i in range(9)]})
    with pytest.raises(InputError, match="9 classes, expected at most 8"):
        MultiOtsu().fit([np.zeros((3, 3), np.uint8)], [np.arange(9, dtype=np.uint8).reshape(3, 3)], nine)


def test_hats_enhance_what_is_narrow_and_leave_the_rest():
    grey = np.full((41, 41), 100, dtype=np.uint8)
    grey[10, 10], grey[30, 30] = 130, 80  # one bright speck, one dark
    enhanced = hats(grey, 3)
    assert enhanced[10, 10] == 160 and enhanced[30, 30] == 60
    assert (np.delete(enhanced.ravel(), [10 * 41 + 10, 30 * 41 + 30]) == 100).all()


def test_workflow_finds_fine_dark_lines_under_uneven_light_where_one_threshold_cannot():
    rows = np.arange(128)
    truth = np.zeros((128, 128), dtype=np.uint8)
    truth[:, 8::16] = 1
    shaded = np.linspace(0.3, 0.9, 128)[rows][:, None] - 0.15 * truth
    image = (shaded + rng().normal(0, 0.005, truth.shape)).astype(np.float32)
    workflow = ThresholdWorkflow().fit([image], [truth], TWO)
    threshold = ThresholdWorkflow(medians_px=(0,), hats_px=(0,)).fit([image], [truth], TWO)
    assert ious(workflow, image, truth)[1] > 2 * ious(threshold, image, truth)[1]


def test_workflow_merges_what_no_single_band_of_grey_levels_holds():
    truth = np.zeros((128, 128), dtype=np.uint8)
    truth[8:72, 8:72] = 1  # a bright body
    truth[90:120, 10:120:10] = 1  # dark lines
    levels = np.where(truth == 1, 0.2, 0.5)
    levels[8:72, 8:72] = 0.8
    image = (levels + rng().normal(0, 0.02, truth.shape)).astype(np.float32)
    merged = ThresholdWorkflow().fit([image], [truth], TWO)
    np.testing.assert_array_equal(merged.predict(image), truth)
    one = ThresholdWorkflow(most_steps=1).fit([image], [truth], TWO)
    assert ious(one, image, truth)[1] == pytest.approx(64 * 64 / truth.sum(), abs=0.02)  # the body alone


def test_workflow_rule_removes_specks_and_holes_and_paints_the_rarer_class_on_top():
    grey = np.zeros((40, 40), dtype=np.uint8)
    grey[10:30, 10:30] = 255
    grey[20, 20] = 0  # a hole
    grey[5, 5] = 255  # a speck
    square = np.zeros((40, 40), dtype=np.uint8)
    square[10:30, 10:30] = 1
    rule = Rule(1, (Step((0, 0), 200, 255),), smallest_px=4)
    np.testing.assert_array_equal(WorkflowSegmenter(0, (rule,)).predict(grey), square)
    on_top = Rule(2, (Step((0, 0), 0, 255),))
    assert (WorkflowSegmenter(0, (rule, on_top)).predict(grey) == 2).all()


def test_forest_tells_textures_that_differ_only_in_scale_and_otsu_does_not():
    truth = np.zeros((128, 128), dtype=np.uint8)
    truth[:, 64:] = 1

    def textured(seed: int) -> np.ndarray:
        fine, coarse = (
            ndimage.gaussian_filter(rng(seed + k).normal(size=truth.shape), s) for k, s in ((0, 0.7), (9, 3))
        )
        return (0.5 + 0.15 * np.where(truth == 1, coarse / coarse.std(), fine / fine.std())).astype(np.float32)

    train, test = textured(0), textured(100)
    forest, otsu = (baseline.fit([train], [truth], TWO) for baseline in (SMALL_FOREST, MultiOtsu()))
    assert ious(forest, test, truth).mean() > 0.85
    assert ious(otsu, test, truth).mean() < 0.5


@pytest.mark.parametrize("tile_px", [33, 64, 500])
def test_features_do_not_depend_on_the_tiling(tile_px):
    image = rng().random((150, 210)).astype(np.float32)
    whole = next(tile_features(image, 1000))[1]
    pasted = np.full_like(whole, np.nan)
    for window, features in tile_features(image, tile_px):
        pasted[window] = features
    np.testing.assert_array_equal(pasted, whole)


def test_forest_does_not_depend_on_the_tiling():
    truth = layered((150, 130))
    image = noisy(truth, [0.4, 0.6], sd=0.15)
    test = noisy(truth, [0.4, 0.6], sd=0.15, seed=1)
    small, large = (
        RandomForest(trees=20, pixels_an_image=600, tile_px=px).fit([image], [truth], TWO) for px in (50, 1000)
    )
    found = small.predict(test)
    assert 0 < found.mean() < 1
    np.testing.assert_array_equal(found, large.predict(test))


def test_forest_samples_classes_evenly_and_never_what_is_unlabelled():
    labels = np.full((50, 50), UNLABELLED, dtype=np.uint8)
    labels[:20], labels[20:22, :10] = 0, 1
    chosen = labels.ravel()[balanced_pixels(labels, [0, 1], 200, rng())]
    np.testing.assert_array_equal(np.bincount(chosen), [100, 20])  # there are no more than 20 of class 1


@pytest.mark.parametrize("name", BASELINES)
def test_unlabelled_pixels_have_no_say(name):
    """Most of the image has its classes swapped; with those labels taken away, what remains is learned."""
    truth = layered((96, 192))
    image = noisy(truth, [0.2, 0.8])
    wrong = truth.copy()
    wrong[:, 64:] = 1 - wrong[:, 64:]
    known = np.where(np.arange(192) < 64, wrong, UNLABELLED).astype(np.uint8)
    assert ious(QUICK[name].fit([image], [known], TWO), image, truth)[1] > 0.93
    assert ious(QUICK[name].fit([image], [wrong], TWO), image, truth)[1] < 0.93


@pytest.mark.parametrize("name", BASELINES)
def test_same_seed_gives_the_same_labels(name):
    truth = layered()
    images = [noisy(truth, [0.4, 0.6], sd=0.2, seed=seed) for seed in range(3)]
    fits = [QUICK[name].fit(images, [truth] * 3, TWO, seed=5) for _ in range(2)]
    found = [segmenter.predict(noisy(truth, [0.4, 0.6], sd=0.2, seed=9)) for segmenter in fits]
    np.testing.assert_array_equal(*found)


def test_another_seed_draws_other_pixels_for_the_forest():
    truth = layered()
    image = noisy(truth, [0.4, 0.6], sd=0.2)
    fits = [SMALL_FOREST.fit([image], [truth], TWO, seed=seed) for seed in (0, 1)]
    assert (fits[0].predict(image) != fits[1].predict(image)).any()


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_images_of_any_depth_mean_the_same(name, dtype):
    truth = layered()
    image = np.rint(noisy(truth, [0.2, 0.8]) * np.iinfo(dtype).max).astype(dtype)
    segmenter = QUICK[name].fit([image], [truth], TWO)
    assert ious(segmenter, noisy(truth, [0.2, 0.8], seed=1), truth)[1] > 0.93


@pytest.mark.parametrize("name", BASELINES)
def test_class_without_pixels_is_named_and_never_predicted(name, caplog):
    truth = 2 * layered()  # classes a and c
    image = noisy(truth, [0.2, 0.5, 0.8])
    with caplog.at_level(logging.WARNING):
        segmenter = QUICK[name].fit([image], [truth], THREE)
    assert caplog.messages == ["no pixel of the training images is labelled b: never predicted"]
    assert set(np.unique(segmenter.predict(image))) == {0, 2}
    assert ious(segmenter, image, truth, 3)[2] > 0.93


@pytest.mark.parametrize("name", BASELINES)
def test_one_class_alone_is_predicted_everywhere(name):
    truth = np.ones((40, 40), dtype=np.uint8)
    segmenter = QUICK[name].fit([rng().random((40, 40))], [truth], TWO)
    assert (segmenter.predict(rng(1).random((30, 50))) == 1).all()


@pytest.mark.parametrize("name", BASELINES)
def test_flat_image_is_predicted(name):
    truth = layered()
    segmenter = QUICK[name].fit([noisy(truth, [0.2, 0.8])], [truth], TWO)
    assert segmenter.predict(np.full((20, 30), 77, dtype=np.uint8)).shape == (20, 30)


@pytest.mark.parametrize("name", BASELINES)
def test_no_labelled_pixel_is_refused(name):
    for images, labels in (([], []), ([np.zeros((9, 9))], [np.full((9, 9), UNLABELLED, dtype=np.uint8)])):
        with pytest.raises(InputError, match="no pixel of the training images is labelled"):
            QUICK[name].fit(images, labels, TWO)


def test_unknown_class_id_is_refused():
    with pytest.raises(InputError, match="class id 2, expected 0 to 1"):
        training_set([np.zeros((2, 2))], [np.full((2, 2), 2, dtype=np.uint8)], TWO)


def test_drawn_images_show_every_class():
    """Nine images of class 0 and one of class 1: it is drawn whatever the seed."""
    labels = [np.full((4, 4), i == 3, dtype=np.uint8) for i in range(10)]
    data = training_set([np.zeros((4, 4))] * 10, labels, TWO)
    for seed in range(5):
        some = data.some(3, rng(seed))
        assert len(some.images) == 3
        np.testing.assert_array_equal(some.pixels, [32, 16])


def test_grey_levels_drop_brightness_and_contrast():
    image = rng().random((50, 50)).astype(np.float32)
    np.testing.assert_allclose(grey_levels(image), grey_levels(0.3 * image + 0.2), atol=1e-5)


def test_copies_in_another_contrast_help_where_contrast_differs():
    """Mid-grey goes from 0.5 to 0.25 between black and white, which no stretching of grey levels undoes."""
    train, test = (np.repeat(rng(seed).permutation(np.arange(9) % 3), 16)[:, None] for seed in (0, 1))
    train, test = (np.broadcast_to(y, (144, 96)).astype(np.uint8) for y in (train, test))
    image, darker = noisy(train, [0.1, 0.5, 0.9]), noisy(test, [0.1, 0.25, 0.9], seed=1)
    plain, augmented = (b.fit([image], [train], THREE) for b in (SMALL_FOREST, WithContrast(SMALL_FOREST, copies=6)))
    assert ious(augmented, darker, test, 3)[1] > ious(plain, darker, test, 3)[1] + 0.2


def test_copies_keep_image_labels_and_the_order_of_grey_levels():
    class Recorder:
        def fit(self, images, labels, classes, seed):
            self.images, self.labels = images, labels

    image, truth, recorder = np.arange(256, dtype=np.uint8).reshape(16, 16), layered((16, 16), 4, 8), Recorder()
    WithContrast(recorder, copies=3, gamma=2).fit([image], [truth], TWO)
    assert recorder.images[0] is image and len(recorder.images) == 4
    for changed, labels in zip(recorder.images[1:], recorder.labels[1:], strict=True):
        assert (np.diff(changed.ravel()) > 0).all() and changed.min() == 0 and changed.max() == 1
        assert 0.5**2 - 0.01 < changed.ravel()[128] < 0.5**0.5 + 0.01
        assert labels is truth


def test_workflow_stops_at_scales_that_add_nothing():
    truth = layered()
    segmenter = ThresholdWorkflow().fit([noisy(truth, [0.2, 0.8])], [truth], TWO)
    assert segmenter.rules[0].steps[0].scale == (0, 0) and len(segmenter.rules[0].steps) == 1


def test_at_scale_predicts_in_the_size_of_the_image():
    train, test = layered((101, 120)), layered((101, 120), top=20, bottom=50)
    segmenter = AtScale(MultiOtsu(), 0.5).fit([noisy(train, [0.2, 0.8])], [train], TWO)
    found = segmenter.predict(noisy(test, [0.2, 0.8], seed=1))
    assert found.shape == test.shape
    assert iou(confusion(found, test, 2))[1] >= 28 / 30  # an edge lies within a pixel of the full size
