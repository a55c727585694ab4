"""Grey levels from file to model, in training and in prediction alike."""

from pathlib import Path

import numpy as np
import pytest
from fake_data import CLASSES, coating, config, write_folder, write_shard
from hypothesis import given
from hypothesis import strategies as st

from sem_train.classes import ClassMap
from sem_train.config import DataSettings, SyntheticData
from sem_train.data import gather, settled
from sem_train.inference import load_run
from sem_train.micrographs import read_micrograph
from sem_train.training import fit
from sem_train.transforms import databar_rows, normalise, quantiles

RAMP = tuple(np.linspace(-1, 1, 65))
WAYS = ["percentile", "standard", "none", "clahe", "reference"]


def picture(seed=0, size=96):
    return coating(seed, size)[0]


def with_bar(image, rows=12, paper=255, ink=0):
    """The image with an information bar below it: paper with letters on a third of it."""
    bar = np.full((rows, image.shape[1]), paper, image.dtype)
    bar[3:-3, ::3] = ink
    return np.concatenate([image, bar])


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float64])
def test_every_way_gives_finite_levels_of_the_same_shape(how, dtype):
    image = picture()[:70].astype(dtype) / (255 if dtype is np.float64 else 1)
    levels = normalise(image, how, RAMP)
    assert levels.shape == image.shape and levels.dtype == np.float32 and np.isfinite(levels).all()


@pytest.mark.parametrize("how", ["percentile", "standard", "clahe", "reference"])
def test_a_flat_image_becomes_nothing(how):
    np.testing.assert_array_equal(normalise(np.full((40, 40), 9, np.uint8), how, RAMP), 0)


@pytest.mark.parametrize("bar", [0, 20])
def test_percentiles_are_those_of_earlier_versions_to_the_last_bit(bar):
    image = with_bar(picture(), bar) if bar else picture()
    x = image.astype(np.float32) / 255
    low, high = np.percentile(x, (0.5, 99.5))
    before = ((x - (low + high) / 2) / ((high - low) / 2)).astype(np.float32)
    np.testing.assert_array_equal(normalise(image, "percentile"), before)


@given(st.floats(0.3, 3), st.integers(0, 40), st.integers(0, 5))
def test_a_reference_undoes_any_rising_change_of_levels(gamma, offset, seed):
    image = picture(seed).astype(np.uint16) * 200
    changed = np.rint(65000 * (image / 65000) ** gamma * 0.9).astype(np.uint16) + offset
    if len(np.unique(changed)) < len(np.unique(image)):
        return  # levels that have become equal cannot be told apart again
    np.testing.assert_allclose(normalise(image, "reference", RAMP), normalise(changed, "reference", RAMP), atol=1e-6)


def test_a_reference_gives_its_own_levels():
    rng = np.random.default_rng(0)
    other = np.clip(rng.gamma(2, 20, (200, 200)), 0, 255).astype(np.uint8)
    wanted = quantiles(other)
    found = np.quantile(normalise((rng.uniform(size=(300, 300)) * 65535).astype(np.uint16), "reference", wanted),
                        np.linspace(0, 1, 65))  # fmt: skip
    np.testing.assert_allclose(found, wanted, atol=0.02)


def test_contrast_is_equalised_where_the_ground_is_uneven():
    rows, columns = np.mgrid[:256, :256]
    discs = ((rows % 64 - 32) ** 2 + (columns % 64 - 32) ** 2 < 100).astype(float)
    shaded = (20 + 180 * columns / 256 + 20 * discs * (1 + columns / 256)).astype(np.uint8)
    left, right = columns < 64, columns >= 192

    def unevenness(levels):
        grounds = [levels[side & (discs == 0)].mean() for side in (left, right)]
        contrast = np.mean([levels[side & (discs == 1)].mean() - levels[side & (discs == 0)].mean()
                            for side in (left, right)])  # fmt: skip
        return abs(grounds[1] - grounds[0]) / contrast

    assert unevenness(normalise(shaded, "clahe")) < 0.7 * unevenness(normalise(shaded, "percentile"))


@pytest.mark.parametrize(("paper", "ink"), [(255, 0), (0, 255), (30, 255)])
def test_a_databar_is_found_and_leaves_the_levels_of_the_specimen_alone(paper, ink):
    image = (picture() // 2 + 60).astype(np.uint8)
    barred = with_bar(image, 12, paper, ink)
    assert databar_rows(barred) == 12
    np.testing.assert_array_equal(quantiles(barred), quantiles(image))
    np.testing.assert_array_equal(normalise(barred, "reference", RAMP)[:96], normalise(image, "reference", RAMP))
    assert np.abs(normalise(barred, "percentile")[:96] - normalise(image, "percentile")).max() > 0.2


def test_what_is_no_databar_is_not_taken_for_one():
    assert databar_rows(picture()) == 0
    assert databar_rows(np.zeros((64, 64), np.uint8)) == 0
    saturated = picture()
    saturated[60:] = 255  # more of the picture than a databar has
    assert databar_rows(saturated) == 0
    assert databar_rows(with_bar(picture(), 4)) == 0


def test_the_databar_of_an_instrument_is_found():
    path = Path(__file__).parents[3] / "shared/real/instrument/micrograph_BSE.tif"
    if not path.exists():
        pytest.skip("the instrument's files are not at hand")
    image = read_micrograph(path).image
    assert databar_rows(image) == 70


def test_reference_levels_come_from_real_images_where_there_are_any(tmp_path):
    classes = ClassMap.model_validate({"classes": CLASSES})
    both = {"synthetic": [{"path": write_shard(tmp_path / "s.h5")}],
            "real": [{"root": write_folder(tmp_path / "real", ["a", "b"])}], "normalisation": "reference"}  # fmt: skip
    plan = config(tmp_path / "run", both)
    gathered = gather(plan.data, classes)
    levels = settled(plan, gathered).data.reference_levels
    np.testing.assert_allclose(levels, np.mean([quantiles(p.read()[0]) for p in gathered.real], axis=0))
    assert settled(settled(plan, gathered), gathered).data.reference_levels == levels
    plain = config(tmp_path / "run", both | {"normalisation": "clahe"})
    assert settled(plain, gathered) is plain


@pytest.mark.parametrize("how", ["clahe", "reference"])
def test_a_model_predicts_with_the_normalisation_it_was_trained_with(tmp_path, how):
    data = {"synthetic": [{"path": write_shard(tmp_path / "s.h5")}], "normalisation": how}
    fit(config(tmp_path / "run", data))
    assert "was finished before" in fit(config(tmp_path / "run", data)).summary()
    model = load_run(tmp_path / "run")
    assert model.config.data.normalisation == how
    assert len(model.config.data.reference_levels) == (65 if how == "reference" else 0)
    image = picture(9, 64)
    seen = model.predict(image).probabilities
    assert np.isfinite(seen).all()
    if how == "reference":  # the order of an image's levels counts, and nothing else
        wide = image.astype(np.uint16) * 100 + 3000
        np.testing.assert_allclose(model.predict(wide).probabilities, seen, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"reference_levels": [0, 1]}, "are for normalisation reference, found percentile"),
     ({"normalisation": "reference", "reference_levels": [1, 0]}, "rising order"),
     ({"normalisation": "reference", "reference_levels": [1]}, "two or more")],
)  # fmt: skip
def test_reference_levels_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        DataSettings(synthetic=[SyntheticData(path="s.h5")], **changes)
