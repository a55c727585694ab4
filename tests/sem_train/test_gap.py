"""`sem-train gap`: distances with known answers, a classifier that sees what is there and nothing else, bad input."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from fake_data import write_folder, write_shard
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from scipy import ndimage

from sem_train.gap import GapSettings, GreyImage, ImageSet, measure_gap, read_image_set
from sem_train.gap.classifier import accuracy, fit, held_out_logits
from sem_train.gap.crops import draw_crops
from sem_train.gap.distances import grey_distance, grey_histogram, log_spectrum, spatial_frequencies, spectrum_distance
from sem_train.gap.image_sets import resized
from sem_train.gap.statistics import FAMILIES, statistics, statistics_table
from sem_train.gap.summary import explained, sentence, write_sheet
from semforge.errors import InputError

FAST = GapSettings(crop_px=64, crops=160)


def texture(seed, size=96, noise=6.0):
    """Random patches with grain: every image of its own grey levels and coarseness."""
    rng = np.random.default_rng(seed)
    patches = ndimage.gaussian_filter(rng.normal(size=(size, size)), rng.uniform(2, 5)) > 0
    greys = rng.uniform(60, 100), rng.uniform(140, 190)
    image = np.where(patches, *greys) + rng.normal(0, noise, patches.shape)
    return np.rint(image).clip(0, 255).astype(np.uint8)


def image_set(seeds, change=lambda image: image, name="set"):
    return ImageSet(name, tuple(GreyImage(f"i{s}", f"s{s}", change(texture(s))) for s in seeds))


def blurred(image):
    return np.rint(ndimage.gaussian_filter(image.astype(float), 0.7)).astype(np.uint8)


def sheet_quarters(path):
    """How many of the sheet's pixels are not white, by quarter."""
    with Image.open(path) as image:
        inked = np.asarray(image.convert("L")) < 250
    return [half.mean() for rows in np.array_split(inked, 2) for half in np.array_split(rows, 2, axis=1)]


def write_images(folder, count=3, size=48):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.fromarray(texture(i, size)).save(folder / f"i{i}.png")
    return folder


# Grey levels and spectra


def test_grey_distance_of_a_shift_is_the_shift():
    first = np.array([grey_histogram(np.full((4, 4), 100, np.uint8)), grey_histogram(np.full((9, 9), 50, np.uint8))])
    second = np.array([grey_histogram(np.full((5, 5), 87, np.uint8)), grey_histogram(np.full((5, 5), 37, np.uint8))])
    assert grey_distance(first, second) == pytest.approx(13)
    assert grey_distance(first, first) == 0


def test_normalised_greys_do_not_see_contrast_and_brightness():
    image = texture(0)
    dull = np.rint(image * 0.5 + 20).astype(np.uint8)
    raw = grey_distance(grey_histogram(image)[None], grey_histogram(dull)[None])
    stretched = grey_distance(grey_histogram(image, True)[None], grey_histogram(dull, True)[None])
    assert raw > 30
    assert stretched < 1.5  # rounding to whole levels, at half the contrast


def test_an_image_weighs_the_same_whatever_its_size():
    small, large = np.zeros((2, 2), np.uint8), np.full((50, 50), 100, np.uint8)
    both = np.array([grey_histogram(small), grey_histogram(large)])
    assert grey_distance(both, grey_histogram(small)[None]) == pytest.approx(50)


def test_white_noise_has_a_flat_spectrum_of_0_db():
    rng = np.random.default_rng(0)
    spectra = [log_spectrum(rng.normal(100, 10, (64, 64))) for _ in range(200)]
    # the mean logarithm of an average over few Fourier coefficients is below the logarithm of the mean
    assert np.mean(spectra, axis=0)[8:] == pytest.approx(0, abs=0.15)


def test_a_wave_stands_at_its_own_frequency():
    rows = np.arange(128)[:, None] + np.zeros((1, 128))
    spectrum = log_spectrum(100 + 20 * np.sin(2 * np.pi * rows * 16 / 128))
    assert spatial_frequencies(128)[np.argmax(spectrum)] == 16 / 128


def test_spectrum_of_a_gaussian_blur_is_its_transfer_function():
    """10 log10 of exp(-4 π² σ² f²) against the unblurred, up to the contrast that is standardised away."""
    rng, sigma = np.random.default_rng(0), 1.0
    noise = [rng.normal(size=(128, 128)) for _ in range(40)]
    sharp = np.mean([log_spectrum(x) for x in noise], axis=0)
    soft = np.mean([log_spectrum(ndimage.gaussian_filter(x, sigma, mode="wrap")) for x in noise], axis=0)
    f = spatial_frequencies(128)
    expected = -40 / math.log(10) * (math.pi * sigma * f) ** 2
    difference = (soft - sharp) - (soft - sharp)[:4].mean()
    below = f < 0.3  # beyond, the truncated kernel and the window's side lobes
    assert difference[below] == pytest.approx((expected - expected[:4].mean())[below], abs=0.35)


def test_spectrum_distance_is_the_rms_in_decibels():
    assert spectrum_distance(np.zeros((3, 4)), np.tile([3.0, -3.0, 3.0, -3.0], (2, 1))) == pytest.approx(3)


# Statistics and classifier


@settings(max_examples=25, deadline=None)
@given(hnp.arrays(np.uint8, (32, 32), elements=st.sampled_from([0, 1, 2, 100, 128, 255])))
def test_statistics_are_finite_and_named_once(crop):
    found = statistics(crop)
    assert all(math.isfinite(v) for v in found.values())
    assert len(found) == sum(len(family(crop)) for family in FAMILIES.values())


@pytest.mark.parametrize("grey", [0, 90, 255])
def test_a_flat_crop_has_statistics_and_a_spectrum(grey):
    crop = np.full((64, 64), grey, np.uint8)
    assert all(math.isfinite(v) for v in statistics(crop).values())
    assert np.isfinite(log_spectrum(crop)).all()


def test_noise_statistics_are_those_of_the_noise():
    rng = np.random.default_rng(0)
    white = np.rint(rng.normal(120, 8, (256, 256))).clip(0, 255).astype(np.uint8)
    found = statistics(white)
    # 1 - 2 g(0) + Σ g² of the variance is left, g the Gaussian of 2 px: g(0) = 1 / (8 π), Σ g² = 1 / (16 π)
    assert 2 ** found["noise, log sd"] == pytest.approx(8 * math.sqrt(1 - 2 / (8 * math.pi) + 1 / (16 * math.pi)), 0.03)
    assert abs(found["noise, correlation 1 px across"]) < 0.1
    assert statistics(blurred(white))["noise, correlation 1 px across"] > 0.3
    smeared = np.rint(ndimage.gaussian_filter1d(white.astype(float), 0.7, axis=1)).astype(np.uint8)
    found = statistics(smeared)
    assert found["noise, correlation 1 px across"] > 0.3 + found["noise, correlation 1 px down"]


def test_fit_separates_by_place_and_by_spread():
    rng = np.random.default_rng(0)
    second = np.repeat([False, True], 300)
    # the best that can be done: 97.7 % at 4 standard deviations; 90 % for Gaussians of sd 5 and 0.5
    for values, best in ((rng.normal(second * 4.0, 1), 0.977), (rng.normal(0, np.where(second, 5.0, 0.5)), 0.9)):
        right = (fit(values[:, None], second).logit(values[:, None]) > 0) == second
        assert right.mean() == pytest.approx(best, abs=0.04)


def test_held_out_accuracy_does_not_count_what_is_remembered():
    """Every specimen has its own value, which says nothing about another: 0.5, though training separates them."""
    rng = np.random.default_rng(0)
    groups = np.repeat([f"g{i}" for i in range(40)], 10)
    first, second = (rng.normal(size=(40, 3)).repeat(10, axis=0) for _ in range(2))
    logits = held_out_logits(first, second, groups, groups, seed=0)
    found = accuracy(*logits, groups, groups, seed=0)
    assert found.low <= 0.5 <= found.high
    assert found.high - found.low > 0.1  # 40 specimens, not 400 crops


def test_halves_of_one_set_are_not_told_apart():
    """Six random halves of 60 images: 0.5 in the mean, four standard errors wide; the 95 % interval holds 0.5 in most.

    The chance that two or more of six intervals of 95 % miss is 3 %, three or more 0.2 %.
    """
    crops = draw_crops(image_set(range(60)), 64, 180, np.random.default_rng(0))
    _, values = statistics_table(crops.grey)
    found = []
    for seed in range(6):
        first = np.isin(crops.specimen, np.random.default_rng(seed).permutation(np.unique(crops.specimen))[:30])
        groups = crops.specimen[first], crops.specimen[~first]
        found.append(accuracy(*held_out_logits(values[first], values[~first], *groups, seed), *groups, seed))
    assert sum(e.low <= 0.5 <= e.high for e in found) >= 4
    assert np.mean([e.value for e in found]) == pytest.approx(0.5, abs=0.08)


def test_a_set_against_itself_is_not_told_apart():
    gap = measure_gap(image_set(range(6)), image_set(range(6)), GapSettings(crop_px=32, crops=24))
    assert gap.figures.grey_raw.value == 0
    assert gap.figures.accuracy.low <= 0.5
    assert sentence(gap) == "The classifier does not tell these sets apart."


def test_a_blurred_set_is_told_apart_by_its_noise():
    gap = measure_gap(image_set(range(20)), image_set(range(20, 40), blurred), FAST)
    assert gap.figures.accuracy.value > 0.97
    assert gap.figures.accuracy.low > 0.9
    assert gap.figures.spectrum_db.value > 3 * gap.halves.spectrum_db.value
    assert gap.alone["noise"] > 0.95
    assert gap.alone["noise"] > gap.alone["grey levels"]
    assert "edge sharpness" in sentence(gap)
    assert any("correlation" in t.name for t in explained(gap.telling))


def test_a_set_of_other_greys_is_told_apart_by_them():
    gap = measure_gap(image_set(range(20)), image_set(range(20, 40), lambda i: (i * 0.6).astype(np.uint8)), FAST)
    assert gap.figures.accuracy.value > 0.95
    assert gap.figures.grey_raw.value > 3 * gap.halves.grey_raw.value
    assert gap.figures.grey_normalised.value < 0.5 * gap.figures.grey_raw.value


def test_the_same_seed_gives_the_same_figures():
    sets = image_set(range(6)), image_set(range(6, 12), blurred)
    small = GapSettings(crop_px=32, crops=24)
    assert measure_gap(*sets, small).to_json() == measure_gap(*sets, small).to_json()
    assert measure_gap(*sets, small).to_json() != measure_gap(*sets, GapSettings(32, 24, seed=1)).to_json()


def test_three_specimens_have_no_halves():
    gap = measure_gap(image_set(range(3)), image_set(range(6, 12)), GapSettings(crop_px=32, crops=16))
    assert gap.halves is None
    assert json.loads(gap.to_json())["halves"] is None


# Sets of images


def test_every_image_gives_the_same_number_of_crops():
    crops = draw_crops(image_set(range(3)), 32, 10, np.random.default_rng(0))
    assert crops.grey.shape == (12, 32, 32)
    assert np.bincount(crops.image).tolist() == [4, 4, 4]
    assert set(crops.specimen) == {"s0", "s1", "s2"}


def test_16_bits_and_colour_become_the_same_8_bits(tmp_path):
    grey = texture(0, 40)
    tifffile.imwrite(tmp_path / "a.tif", grey.astype(np.uint16) * 257)
    Image.fromarray(np.stack([grey] * 3, axis=-1)).save(tmp_path / "b.png")
    first, second = read_image_set(tmp_path).images
    assert (first.grey == grey).all()
    assert (second.grey == grey).all()


def test_resized_keeps_the_mean_and_takes_aliases_away():
    checked = (np.indices((64, 64)).sum(axis=0) % 2 * 200).astype(np.uint8)
    half = resized(checked, 0.5)
    assert half.shape == (32, 32)
    assert half[4:-4, 4:-4] == pytest.approx(100, abs=1)


def test_a_folder_is_searched_for_images_and_not_for_labels(tmp_path):
    write_images(tmp_path / "train" / "images")
    write_images(tmp_path / "train" / "masks")
    assert len(read_image_set(tmp_path).images) == 3
    assert len(read_image_set(tmp_path / "train" / "images").images) == 3
    assert len(read_image_set(tmp_path / "train" / "images" / "i[01].png").images) == 2


def test_real_data_is_found_below_the_data_root(tmp_path, monkeypatch):
    write_images(tmp_path / "lab" / "images")
    monkeypatch.setenv("SEMFORGE_DATA", str(tmp_path))
    assert len(read_image_set("lab").images) == 3
    assert len(read_image_set("lab/images/*.png").images) == 3


def test_specimens_come_from_the_index(tmp_path):
    write_folder(tmp_path, ["a", "a", "b"])
    assert read_image_set(tmp_path).specimens == ["a", "b"]
    (tmp_path / "index.csv").rename(tmp_path / "other.csv")
    assert len(read_image_set(tmp_path).specimens) == 3
    assert read_image_set(tmp_path, groups=tmp_path / "other.csv").specimens == ["a", "b"]


def test_micrographs_of_one_sample_are_one_specimen(tmp_path):
    found = read_image_set(write_shard(tmp_path / "dataset.h5", count=3, images=2))
    assert (len(found.images), len(found.specimens)) == (6, 3)
    assert read_image_set(tmp_path).specimens == found.specimens
    assert len(read_image_set(tmp_path, max_images=4).images) == 4


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda p: p.mkdir(), {}, "nor an image"),
        (lambda p: (p.mkdir(), (p / "dataset.h5").write_text("text")), {}, "not a whole HDF5 file"),
        (lambda p: None, {}, "no such folder"),
        (lambda p: write_images(p), {"scale": 0}, "scale is 0"),
        (lambda p: write_images(p), {"max_images": 1}, "expected 2 or more"),
        (lambda p: write_images(p), {"groups": "none.csv"}, "no such file"),
        (lambda p: (write_images(p), (p / "g.csv").write_text("a,b\n1,2\n")), {"groups": "g.csv"}, "no columns"),
        (lambda p: (write_images(p), (p / "g.csv").write_text("name,specimen\ni0,a\n")), {"groups": "g.csv"}, "'i1'"),
        (lambda p: (p.mkdir(), (p / "a.png").write_text("text")), {}, "cannot be read"),
    ],
)
def test_bad_sets_are_refused(tmp_path, make, options, message):
    make(tmp_path / "set")
    if "groups" in options:
        options = {**options, "groups": tmp_path / "set" / options["groups"]}
    with pytest.raises(InputError, match=message):
        read_image_set(tmp_path / "set", **options)


def test_a_pattern_without_images_is_refused(tmp_path):
    write_images(tmp_path)
    with pytest.raises(InputError, match="no such images"):
        read_image_set(tmp_path / "*.tif")
    with pytest.raises(InputError, match="one file"):
        read_image_set(tmp_path / "i0.png")


def test_one_image_is_no_set():
    with pytest.raises(InputError, match="of one specimen, expected two"):
        measure_gap(image_set([0]), image_set([1, 2]), FAST)


def test_images_smaller_than_a_crop_are_named():
    with pytest.raises(InputError, match=r"i0 is 96 × 96 pixels after scaling, a crop is 128; lower --crop-px"):
        measure_gap(image_set(range(3)), image_set(range(3)))


@pytest.mark.parametrize("bad", [GapSettings(crop_px=16), GapSettings(crops=1)])
def test_settings_without_sense_are_refused(bad):
    with pytest.raises(InputError, match="raise --crop"):
        measure_gap(image_set(range(3)), image_set(range(3)), bad)


# The command


def command(*arguments):
    return subprocess.run([sys.executable, "-m", "sem_train", *map(str, arguments)], capture_output=True, text=True)


def test_command_prints_json_and_writes_the_sheet(tmp_path):
    write_images(tmp_path / "real", 4)
    write_shard(tmp_path / "made" / "dataset.h5", count=4)
    done = command("gap", tmp_path / "real", tmp_path / "made", "--crop-px", 32, "--crops", 16, "--json",
                   "--pictures", tmp_path / "sheet.png")  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["figures"]["accuracy"]["value"] > 0.9
    assert set(found["halves"]) == set(found["figures"])
    assert found["real"]["images"] == 4
    assert (tmp_path / "sheet.png").stat().st_size > 0


def test_command_prints_a_table(tmp_path):
    write_images(tmp_path / "real", 4)
    done = command("gap", tmp_path / "real", tmp_path / "real", "--crop-px", 32, "--crops", 16, "--explain")
    assert done.returncode == 0, done.stderr
    assert "halves" in done.stdout
    assert "told apart" in done.stdout


def test_command_says_in_one_line_what_is_wrong(tmp_path):
    done = command("gap", tmp_path / "nowhere", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("sem-train: ") and done.stderr.count("\n") == 1
    write_images(tmp_path / "real")
    done = command("gap", tmp_path / "real", tmp_path / "real", "--pictures", tmp_path / "sheet.gif")
    assert done.returncode == 2 and "expected .png" in done.stderr


def test_sheet_shows_an_image_once_a_quarter(tmp_path):
    gap = measure_gap(image_set(range(3)), image_set(range(6, 9)), GapSettings(crop_px=32, crops=16))
    write_sheet(tmp_path / "sheet.png", gap)
    # 3 images a set, so 3 crops of the 8 that a quarter has room for
    assert sheet_quarters(tmp_path / "sheet.png") == pytest.approx([0.28] * 4, abs=0.08)
