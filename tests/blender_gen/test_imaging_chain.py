"""Noise, scan, charging, electronics, publication: the chain behind the detector."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from scipy.stats import norm
from targets import balls_on, conditions_of, imaging_of, passes_of, target_of

from blender_gen.imaging import beam, charging, publication, scan, shading
from blender_gen.imaging.bse import relative_energy
from blender_gen.imaging.conditions import schedule
from blender_gen.imaging.greys import quantised, to_greys
from blender_gen.imaging.micrograph import take
from blender_gen.imaging.noise import counts
from blender_gen.phases import materials

SURE = norm.isf(0.0005)  # two-sided confidence of 99.9 %: a right program fails one test in a thousand seeds


def striped(side=64):
    phase = np.zeros((side, side), np.uint8)
    phase[side // 2 :] = 1
    return target_of(passes_of(phase))


def shot(target, seed=0, **settings):
    return take(target, conditions_of(**settings), np.random.default_rng(seed))


# noise


def test_dose():
    assert conditions_of().electrons_per_pixel == pytest.approx(6242, abs=1)


@pytest.mark.parametrize(("mean", "factor"), [(393.2, 1.0), (4.0, 1.0), (250.0, 1.3), (12.0, 1.5)])
def test_counting_noise_has_its_mean_and_variance_and_no_correlation(mean, factor):
    """z-tests at 99.9 % confidence: mean, variance (with the kurtosis of Poisson), neighbours along and across."""
    found = counts(np.full((400, 400), mean), factor, np.random.default_rng(0)).astype(float)
    n, variance = found.size, factor * mean
    assert abs(found.mean() - mean) < SURE * np.sqrt(variance / n)
    spread = variance * np.sqrt((2 + factor / mean) / n)  # fourth moment of bunches: 3 var^2 + factor^2 var
    assert abs(found.var() - variance) < SURE * spread
    centred = (found - found.mean()) / found.std()
    for a, b in ((centred[1:], centred[:-1]), (centred[:, 1:], centred[:, :-1])):
        assert abs((a * b).mean()) < SURE / np.sqrt(a.size)


def test_signal_to_noise_of_the_textbook():
    """Goldstein 2018: 4000 pA, 64 µs, eta 0.38 gives 779."""
    dose = conditions_of(beam_current_na=4, dwell_us=64).electrons_per_pixel
    found = counts(np.full((400, 400), 0.38 * dose), 1.0, np.random.default_rng(1))
    assert found.mean() / found.std() == pytest.approx(779, rel=0.01)


def test_contrast_to_noise_of_feal_in_fe2al5():
    rng, dose = np.random.default_rng(0), conditions_of().electrons_per_pixel
    yields = [materials()[name].backscatter_coefficient(20) for name in ("Fe2Al5", "FeAl")]
    light, heavy = (counts(np.full((300, 300), one * dose), 1.0, rng) for one in yields)
    assert light.mean() / light.std() == pytest.approx(36, rel=0.02)
    assert (heavy.mean() - light.mean()) / light.std() == pytest.approx(4.9, rel=0.03)


@pytest.mark.parametrize(("kind", "factor"), [("bse", 1.0), ("se", 1.3)])
def test_noise_of_a_finished_micrograph(kind, factor):
    """Grey variance of a flat phase against F mean/dose, scaled by the contrast of two phases; 99.9 % confidence."""
    target = target_of(passes_of(np.repeat([0, 1], 200)[:, None] * np.ones(400)))
    settings = {"kind": kind, "collection": 0.3, "dwell_us": 50, "greys": {"bits": 16, "dark": 0.2, "bright": 0.8}}
    image = shot(target, **settings).image / 65535
    resin, iron = materials()["epoxy"], materials()["Fe2Al5"]
    if kind == "bse":
        yields = [one.backscatter_coefficient(20) for one in (resin, iron)]
        gains = [relative_energy(one, 20, 2) for one in (resin, iron)]
    else:
        yields, gains = [one.secondary_yield(20) for one in (resin, iron)], [1.0, 1.0]
    contrast = (image[250:].mean() - image[:150].mean()) / (yields[1] * gains[1] - yields[0] * gains[0])
    expected = factor * yields[1] / (conditions_of(**settings).electrons_per_pixel * 0.3) * (gains[1] * contrast) ** 2
    ratio = image[250:].var() / expected
    # variance of the variance, and of the contrast that it is compared with
    assert abs(ratio - 1) < SURE * np.hypot(np.sqrt(2 / image[250:].size), 2 * 0.001)


# beam


@pytest.mark.parametrize(("ratio", "angle"), [(1.0, 0), (1.8, 0), (1.8, 35)])
def test_blur_keeps_the_mean_and_has_its_widths(ratio, angle):
    impulse = np.zeros((101, 101))
    impulse[50, 50] = 1
    spread = beam.blur(impulse, 3.0, ratio, angle)
    assert spread.sum() == pytest.approx(1, abs=1e-5)
    y, x = np.mgrid[-50:51, -50:51]
    a = np.radians(angle)
    along, across = x * np.cos(a) + y * np.sin(a), y * np.cos(a) - x * np.sin(a)
    assert np.sqrt((spread * along**2).sum()) == pytest.approx(3 * np.sqrt(ratio), rel=0.01)
    assert np.sqrt((spread * across**2).sum()) == pytest.approx(3 / np.sqrt(ratio), rel=0.01)


@pytest.mark.parametrize("sigma", [2.5, 30.0, 3000.0])
def test_blur_leaves_a_flat_picture_flat(sigma):
    assert beam.blur(np.full((40, 30), 0.3), sigma) == pytest.approx(0.3, rel=1e-5)


def test_a_wide_blur_of_a_step_is_an_error_function():
    step = np.zeros((20, 400), np.float32)
    step[:, 200:] = 1
    x = np.arange(400) - 199.5
    assert beam.blur(step, 40.0)[10] == pytest.approx(norm.cdf(x / 40), abs=5e-3)


def test_detectors_do_not_depend_on_the_threads_of_linear_algebra():
    program = (
        "import hashlib, numpy as np; from blender_gen.imaging import beam, bse;"
        "v = np.random.default_rng(0).random((4, 731, 517), dtype=np.float32);"
        "print(hashlib.sha256(beam.blur(v[0], 40.0).tobytes() + bse.half(v, 33.0).tobytes()).hexdigest())"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], env=os.environ | {"OMP_NUM_THREADS": n}, capture_output=True,
                       text=True, check=True).stdout for n in ("1", "2")
    ]  # fmt: skip
    assert len(runs[0].strip()) == 64
    assert runs[0] == runs[1]


def test_what_lies_out_of_focus_is_blurred_by_its_distance():
    """Focus on the top: the ground, 10 µm below, sees a disc of standard deviation 10 µm x 20 mrad / 2 = 0.1 µm."""
    height = np.zeros((64, 256), np.float32)
    height[:, :128] = 10.0
    step = np.zeros_like(height)
    step[:, [64, 192]] = 1
    (seen,) = beam.focused([step], height, 1.0, 1.0, 0.0, 20.0, 1.0, 0.02)
    x = np.arange(-40, 41)
    widths = [np.sqrt((seen[32, c - 40 : c + 41] * x**2).sum() / seen[32, c - 40 : c + 41].sum()) for c in (64, 192)]
    assert widths == pytest.approx([1.0, np.hypot(1.0, 5.0)], rel=0.1)


# scan


def scan_path(artefacts, shape=(200, 100), **detector):
    return scan.path(shape, conditions_of(artefacts=artefacts, **detector), None, np.random.default_rng(0))


def test_a_still_stage_leaves_the_picture_alone():
    values = np.random.default_rng(0).random((50, 60)).astype(np.float32)
    assert scan.sampled(values, scan_path({}, values.shape)) is values


def test_drift_goes_as_far_as_it_says_and_is_centred():
    path = scan_path({"drift_px": 8})
    ends = np.array([[path.right[i, 0], path.down[i, 0]] for i in (0, -1)])
    assert np.hypot(*(ends[1] - ends[0])) == pytest.approx(8)
    assert ends.mean(axis=0) == pytest.approx([0, 0], abs=1e-9)


def test_random_walk_has_its_spread():
    """Displacement between first and last line over 400 seeds: standard deviation 3 along each axis."""
    conditions = conditions_of(artefacts={"drift_walk_px": 3})
    paths = [scan.path((50, 4), conditions, None, np.random.default_rng(seed)) for seed in range(400)]
    moved = np.array([[p.right[-1, 0] - p.right[0, 0], p.down[-1, 0] - p.down[0, 0]] for p in paths])
    expected = 3 * np.sqrt(49 / 50)
    assert abs(moved.std() / expected - 1) < SURE / np.sqrt(2 * moved.size)


def test_vibration_has_its_frequency_in_time():
    """50 Hz, 10 µs a pixel, 100 pixels and 1 ms of flyback: a line takes 2 ms, a period ten lines."""
    artefacts = {"vibration_px": 1.5, "vibration_hz": 50}
    path = scan_path(artefacts, dwell_us=10, flyback_us=1000)
    assert path.right.shape == (200, 100)
    assert path.right[10:] == pytest.approx(path.right[:-10], abs=1e-9)
    assert np.hypot(path.right, path.down).max() == pytest.approx(1.5, rel=0.01)


def test_line_jitter_has_its_spread_and_memory():
    ramp = np.tile(np.arange(200.0, dtype=np.float32), (4000, 1))
    path = scan_path({"line_jitter_px": 0.4}, ramp.shape)
    shifts = (scan.sampled(ramp, path) - ramp)[:, 100]
    assert shifts == pytest.approx(path.right[:, 0], abs=1e-4)
    assert shifts.std() == pytest.approx(0.4, rel=0.1)
    assert np.corrcoef(shifts[1:], shifts[:-1])[0, 1] == pytest.approx(0.6, abs=0.06)


def test_a_shifted_picture_is_the_picture_elsewhere():
    values = np.random.default_rng(0).random((50, 60)).astype(np.float32)
    moved = scan.sampled(values, scan.Path(np.full((50, 1), 2.0), np.full((50, 1), -3.0)))
    assert moved[3:, :-2] == pytest.approx(values[:-3, 2:], abs=1e-5)


# charging and shading


def test_resin_glows_away_from_the_coating_only():
    phase = np.ones((120, 60), np.uint8)
    phase[:80] = 0
    glow = charging.resin_glow(target_of(passes_of(phase)), np.random.default_rng(0))
    assert np.all(glow[80:] == 0)
    assert glow[5].mean() > glow[70].mean() > 0


def test_charge_builds_up_and_leaks_along_the_line():
    """A bright rise on the insulator and a dark tail behind it, both with the length of the tail; nothing before."""
    insulator = np.zeros((400, 300), dtype=bool)
    insulator[:, 100:150] = True
    factor = charging.tails(insulator, 0.2, 20.0, np.random.default_rng(0)).mean(axis=0)
    assert np.all(factor[:100] == 1)
    assert np.all(np.diff(factor[100:150]) > 0)
    assert np.all(np.diff(factor[150:]) > 0)
    assert factor[150] < 0.9 < 0.99 < factor[299]
    assert (factor[120] - 1) / (factor[149] - 1) == pytest.approx(
        (1 - np.exp(-21 / 20)) / (1 - np.exp(-50 / 20)), rel=0.01
    )


def test_a_halo_surrounds_an_insulator():
    insulator = np.zeros((100, 100), dtype=bool)
    insulator[40:60, 40:60] = True
    halo = charging.halo(insulator)
    assert np.all(halo[insulator] == 0)
    assert halo[50, 61] > halo[50, 66] > halo[50, 80]
    assert halo[5, 5] < 1e-3


def test_shading_has_its_strength():
    rng = np.random.default_rng(0)
    slow = shading.slow_surface((60, 80), rng)
    assert abs(slow.mean()) < 1e-4
    assert np.abs(slow).max() == pytest.approx(1)
    corners = shading.corners((60, 80), rng)
    assert corners.max() == 1
    assert corners[30, 40] < 0.1
    box = shading.earlier_scan((200, 200), rng)
    assert box.max() == pytest.approx(1, abs=0.01)
    assert 0.02 < (box > 0.5).mean() < 0.4


# greys


@pytest.mark.parametrize(("bits", "dtype", "top"), [(8, np.uint8, 255), (16, np.uint16, 65535)])
def test_greys_put_the_percentiles_where_the_operator_set_them(bits, dtype, top):
    ramp = np.linspace(0.1, 0.4, 10000, dtype=np.float32).reshape(100, 100)
    conditions = conditions_of(greys={"bits": bits})
    greys = quantised(to_greys(ramp, ramp, conditions, np.random.default_rng(0)), bits)
    assert greys.dtype == dtype
    assert np.percentile(greys, [1, 99]) / top == pytest.approx([0.1, 0.9], abs=0.01)


def test_a_negative_is_the_reverse_of_the_positive():
    target = striped()
    positive, negative = (shot(target, greys={"inverted": p}).image for p in (0, 1))
    assert np.all(np.abs(positive.astype(int) + negative - 255) <= 1)


# publication


def test_a_scale_bar_has_its_length():
    target = target_of(passes_of(np.zeros((300, 400))), pixel_um=0.05)
    for seed in range(8):
        plain, lettered = (shot(target, seed, lettering={"scale_bar": p}) for p in (0, 1))
        left, top, right, bottom = lettered.record["scale_bar_px"]
        changed = plain.image != lettered.image
        changed[top:bottom, left:right] = False
        assert not changed.any()
    assert publication.length_text(0.2) == "200 nm"
    assert publication.length_text(5) == "5 µm"
    assert publication.length_text(2000) == "2 mm"


def test_a_drawn_bar_is_as_long_as_its_label_says():
    for seed in range(10):
        picture = Image.fromarray(np.full((400, 600), 40, np.uint8))
        left, top, right, bottom = publication.draw_scale_bar(picture, 0.01, 0, np.random.default_rng(seed))
        part = np.asarray(picture)[top:bottom, left:right]
        ground = part[0, 0]
        longest = max(_longest_run(row != ground) for row in part)
        lengths = [n * 10.0**e / 0.01 for n in (1, 2, 5) for e in (-1, 0)]
        assert min(abs(longest - length) for length in lengths) <= 2


def _longest_run(row):
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
    return max((edges[1::2] - edges[::2]), default=0)


def test_a_databar_tells_where_it_is():
    target = striped(300)
    plain, barred = (shot(target, lettering={"databar": p}) for p in (0, 1))
    rows = barred.record["databar_px"]
    assert plain.record["databar_px"] == 0
    assert 10 <= rows <= 30
    assert np.array_equal(plain.image[:-rows], barred.image[:-rows])
    bar = barred.image[-rows:]
    assert (bar == np.bincount(bar.ravel()).argmax()).mean() > 0.6


def test_jpeg_and_resampling_lose_detail_but_not_the_mean():
    target = striped(128)
    plain = shot(target).image.astype(float)
    for artefacts in ({"jpeg_quality": 30}, {"resampling": 3}):
        worse = shot(target, artefacts=artefacts).image.astype(float)
        assert worse.mean() == pytest.approx(plain.mean(), abs=2)
        assert np.abs(np.diff(worse[80:])).mean() < np.abs(np.diff(plain[80:])).mean()


# the whole


EVERYTHING = {
    "drift_px": 3, "drift_walk_px": 1, "vibration_px": 1, "line_jitter_px": 0.3, "resin_glow": 1, "charging": 0.5,
    "charging_halo": 0.3, "charging_shift_px": 1, "contamination": 0.2, "shading": 0.1, "vignette": 0.2,
    "banding": 0.01, "resampling": 1.5, "sharpening": 0.5, "jpeg_quality": 70,
}  # fmt: skip


@pytest.mark.parametrize("kind", ["bse", "se", "transmission"])
def test_a_micrograph_depends_on_its_generator_alone(kind):
    target = target_of(balls_on((3.0, 2.0), side=96), ("carbon", "SiO2"), 0.1)
    conditions = conditions_of(kind, artefacts=EVERYTHING, lettering={"scale_bar": 1, "panel_letter": 1})
    first, again, other = (take(target, conditions, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(first.image, again.image)
    assert first.record == again.record
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("kind", ["bse", "se", "transmission"])
def test_taking_a_micrograph_changes_nothing_in_the_specimen(kind):
    passes = balls_on((3.0, 2.0), side=96)
    before = [array.copy() for array in (passes.phase, passes.instance, passes.height_um, passes.normal)]
    target = target_of(passes, ("carbon", "SiO2"), 0.1)
    kept = [array.copy() for array in (target.seen, target.sky, target.quadrants, target.texture)]
    take(target, conditions_of(kind, artefacts=EVERYTHING, lettering={"databar": 1}), np.random.default_rng(0))
    for old, new in zip(before, (passes.phase, passes.instance, passes.height_um, passes.normal), strict=True):
        assert np.array_equal(old, new)
    for old, new in zip(kept, (target.seen, target.sky, target.quadrants, target.texture), strict=True):
        assert np.array_equal(old, new)


def test_phases_are_ordered_by_atomic_number():
    image = shot(striped(), collection=0.2, dwell_us=10).image
    assert image[40:].mean() > image[:24].mean() + 100


def test_detectors_of_one_scan_share_its_path_and_take_turns():
    both = imaging_of(artefacts={"drift_px": {"uniform": {"low": 2, "high": 8}}})
    both = type(both).model_validate(
        {**both.model_dump(mode="json", exclude_none=True), "images_per_specimen": 2,
         "detector": [{**both.detector[0].model_dump(mode="json", exclude_none=True), "kind": "bse"},
                      imaging_of("se").detector[0].model_dump(mode="json", exclude_none=True)]}
    )  # fmt: skip
    drawn = list(schedule(both, np.random.default_rng(0)))
    assert [c.detector.kind for c in drawn] == ["bse", "se", "bse", "se"]
    assert drawn[0].scan_seed == drawn[1].scan_seed != drawn[2].scan_seed
    assert drawn[0].artefacts == drawn[1].artefacts
    target = striped()
    distances = [take(target, c, np.random.default_rng(0)).record["farthest_px"] for c in drawn]
    assert distances[0] == distances[1] != distances[2]


def test_a_detector_may_have_its_own_greys_and_artefacts():
    own = conditions_of(greys={"dark": 0.3}, artefacts={"banding": 0.01})
    assert own.greys.dark == 0.3
    imaging = imaging_of()
    detector = imaging.detector[0].model_dump(mode="json", exclude_none=True)
    override = {**detector, "greys": {"dark": 0, "bright": 0.5}, "artefacts": {"banding": 0.02}}
    both = type(imaging).model_validate(
        {"detector": [detector, override], "greys": {"dark": 0.1, "bright": 0.9}, "artefacts": {"shading": 0.1}}
    )
    common, special = schedule(both, np.random.default_rng(0))
    assert (common.greys.bright, common.artefacts.banding, common.artefacts.shading) == (0.9, 0, 0.1)
    assert (special.greys.bright, special.artefacts.banding, special.artefacts.shading) == (0.5, 0.02, 0)


def test_a_record_is_plain_json():
    record = shot(striped(), artefacts=EVERYTHING, lettering={"databar": 1, "scale_bar": 1}).record
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["kind"] == "bse"
    assert record["artefacts"]["drift_px"] == 3


@pytest.mark.parametrize("share", [0.0, 0.002, 0.05])
def test_rare_particles_and_bare_substrates_do_not_saturate(share):
    rng = np.random.default_rng(1)
    expected = np.where(rng.uniform(size=(200, 200)) < share, 0.5, 0.2).astype(np.float32)
    signal = expected + rng.normal(scale=0.01, size=expected.shape).astype(np.float32)
    greys = to_greys(signal, expected, conditions_of(greys={"dark": 0.1, "bright": 0.9}), rng)
    assert np.mean((greys <= 0) | (greys >= 1)) < 0.001
    if share:
        assert np.median(greys[expected > 0.3]) == pytest.approx(0.9, abs=0.02)
        assert np.median(greys[expected < 0.3]) == pytest.approx(0.1, abs=0.02)
