"""The detector's physics and its noise."""

from dataclasses import replace

import numpy as np
import pytest

from blender_gen import artefacts, detector
from blender_gen.artefacts import ArtefactSettings
from blender_gen.detector import Conditions
from blender_gen.passes import Passes
from blender_gen.phases import materials
from blender_gen.preparation import prepare
from blender_gen.recipe.imaging import Preparation

CLEAN = ArtefactSettings(shading=0, banding=0, resin_glow=0, line_jitter_px=0)
QUIET = Conditions(
    beam_kev=20, beam_current_na=1, dwell_us=1, collection=1, threshold_kev=2, probe_um=0.0, astigmatism=1,
    astigmatism_deg=0, boundary_contrast=0, read_noise=0, dark=0.1, bright=0.9, gamma=1, bits=8, artefacts=CLEAN,
)  # fmt: skip
NAMES = ("epoxy", "Fe2Al5", "void")


def passes_of(phase, **changes):
    phase = np.asarray(phase, dtype=np.uint8)
    up = np.broadcast_to(np.array([0, 0, 1], np.float32), (*phase.shape, 3))
    flat = Passes(phase=phase, instance=(phase == 2).astype(np.uint32), height_um=np.zeros(phase.shape, np.float32),
                  normal=up, wall=np.where(phase == 2, 1, phase).astype(np.uint8), path_um={})  # fmt: skip
    return replace(flat, **changes)


def test_dose():
    assert QUIET.electrons_per_pixel == pytest.approx(6242, abs=1)


def test_shot_noise_is_poisson():
    """Mean and variance within 4 standard errors of dose x yield x collection."""
    conditions = replace(QUIET, collection=0.3)
    yields = np.full((300, 300), 0.21)
    counts = detector.shot_noise(yields, conditions, np.random.default_rng(0))
    mean, n = 6241.5 * 0.21 * 0.3, counts.size
    assert abs(counts.mean() - mean) < 4 * np.sqrt(mean / n)
    assert abs(counts.var() - mean) < 4 * mean * np.sqrt(2 / n)


def test_signal_to_noise_of_the_textbook():
    """Goldstein 2018: 4000 pA, 64 µs, eta 0.38 gives 779."""
    conditions = replace(QUIET, beam_current_na=4, dwell_us=64)
    counts = detector.shot_noise(np.full((400, 400), 0.38), conditions, np.random.default_rng(1))
    assert counts.mean() / counts.std() == pytest.approx(779, rel=0.01)


def test_contrast_to_noise_of_feal_in_fe2al5():
    rng = np.random.default_rng(0)
    flat = [np.full((300, 300), materials()[name].backscatter_coefficient(20)) for name in ("Fe2Al5", "FeAl")]
    counts = [detector.shot_noise(yields, QUIET, rng) for yields in flat]
    assert counts[0].mean() / counts[0].std() == pytest.approx(36, rel=0.02)
    assert (counts[1].mean() - counts[0].mean()) / counts[0].std() == pytest.approx(4.9, rel=0.03)


def test_tilt_law():
    """Normalised Arnal: 1 at normal incidence; 0.325/0.1515 for aluminium and 0.484/0.2798 for iron at 60 degrees."""
    cosine = np.cos(np.radians(60))
    assert detector.tilt_factor(np.array(1.0), np.array(26.0)) == pytest.approx(1)
    assert detector.tilt_factor(cosine, 13.0) == pytest.approx(0.325 / 0.1515, rel=0.06)
    assert detector.tilt_factor(cosine, 26.0) == pytest.approx(0.484 / 0.2798, rel=0.05)


def test_flat_phases_have_their_yields():
    phase = np.zeros((8, 8), np.uint8)
    phase[4:] = 1
    ones = np.ones(phase.shape)
    yields = detector.surface(passes_of(phase), ones, NAMES, ones, phase == 2, QUIET).yields
    assert yields[0, 0] == pytest.approx(materials()["epoxy"].backscatter_coefficient(20))
    assert yields[-1, 0] == pytest.approx(materials()["Fe2Al5"].backscatter_coefficient(20))


def test_a_deep_open_pore_is_darker_than_one_filled_with_resin_and_a_shallow_one_brighter():
    phase = np.full((9, 9), 1)
    phase[3:6, 3:6] = 2
    dark = np.where(phase == 2, 0.02, 1).astype(np.float32)
    texture, none = np.ones(phase.shape), np.zeros(phase.shape, dtype=bool)
    bright = np.ones(phase.shape)
    deep = detector.surface(passes_of(phase), dark, NAMES, texture, none, QUIET).yields[4, 4]
    shallow = detector.surface(passes_of(phase), bright, NAMES, texture, none, QUIET).yields[4, 4]
    filled = detector.surface(passes_of(phase), bright, NAMES, texture, phase == 2, QUIET).yields[4, 4]
    assert deep < filled < shallow
    assert filled == pytest.approx(materials()["epoxy"].backscatter_coefficient(20))
    assert shallow == pytest.approx(materials()["Fe2Al5"].backscatter_coefficient(20))


def test_boundary_of_fe2al5_and_feal():
    """Monte Carlo at 20 kV: 0.225 far, 0.208 near | 0.266 near, 0.249 far; the model to 4 % of it."""
    pixel = 0.02
    side = 400
    light, heavy = materials()["Fe2Al5"], materials()["FeAl"]
    left = np.arange(side) < side // 2
    yields = np.tile(np.where(left, 0.225, 0.249), (9, 1))
    log_density = np.log(np.tile(np.where(left, light.density_g_cm3, heavy.density_g_cm3), (9, 1)))
    conditions = replace(QUIET, boundary_contrast=0.4)
    profile = detector.boundary_profile(yields, log_density, light.range_um(20), pixel, conditions)[4]
    core = int(0.12 / pixel)
    assert profile[0] == pytest.approx(0.225, rel=0.01)
    assert profile[-1] == pytest.approx(0.249, rel=0.01)
    assert profile[side // 2 - core] == pytest.approx(0.208, rel=0.04)
    assert profile[side // 2 + core] == pytest.approx(0.266, rel=0.04)


@pytest.mark.parametrize(("ratio", "angle"), [(1.0, 0), (1.8, 0), (1.8, 35)])
def test_blur_keeps_the_mean_and_has_its_widths(ratio, angle):
    impulse = np.zeros((101, 101))
    impulse[50, 50] = 1
    spread = detector.elliptical_blur(impulse, 3.0, ratio, angle)
    assert spread.sum() == pytest.approx(1, abs=1e-6)
    y, x = np.mgrid[-50:51, -50:51]
    a = np.radians(angle)
    along, across = x * np.cos(a) + y * np.sin(a), y * np.cos(a) - x * np.sin(a)
    assert np.sqrt((spread * along**2).sum()) == pytest.approx(3 * np.sqrt(ratio), rel=0.01)
    assert np.sqrt((spread * across**2).sum()) == pytest.approx(3 / np.sqrt(ratio), rel=0.01)


def test_blur_leaves_a_flat_picture_flat():
    assert detector.elliptical_blur(np.full((40, 30), 0.3), 2.5, 1.5, 20) == pytest.approx(0.3)


@pytest.mark.parametrize(("bits", "dtype", "top"), [(8, np.uint8, 255), (16, np.uint16, 65535)])
def test_greys_put_the_percentiles_where_the_operator_set_them(bits, dtype, top):
    ramp = np.linspace(0.1, 0.4, 10000).reshape(100, 100)
    greys = detector.to_greys(ramp, ramp, replace(QUIET, bits=bits), np.random.default_rng(0))
    assert greys.dtype == dtype
    assert np.percentile(greys, [1, 99]) / top == pytest.approx([0.1, 0.9], abs=0.01)


def test_micrograph_is_reproducible_and_ordered_by_atomic_number():
    phase = np.zeros((64, 64), np.uint8)
    phase[32:] = 1
    texture, filled = np.ones(phase.shape), np.zeros(phase.shape, dtype=bool)
    args = passes_of(phase), texture, NAMES, texture, filled, 0.2, replace(QUIET, collection=0.2, dwell_us=10)
    first, again = (detector.image(*args, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, again)
    assert first[40:].mean() > first[:24].mean() + 100


def test_artefacts_that_are_off_change_nothing():
    yields = np.random.default_rng(0).uniform(0.1, 0.4, size=(50, 60))
    resin = np.zeros(yields.shape, dtype=bool)
    resin[:20] = True
    rng = np.random.default_rng(1)
    assert np.array_equal(artefacts.before_noise(yields, resin, CLEAN, rng), yields)
    assert np.array_equal(artefacts.shift_lines(yields, artefacts.line_shifts(50, CLEAN, rng)), yields)
    assert np.array_equal(artefacts.after_noise(yields, CLEAN, rng), yields)


def test_resin_glows_away_from_the_coating_only():
    resin = np.zeros((120, 60), dtype=bool)
    resin[:80] = True
    settings = replace(CLEAN, resin_glow=2.0)
    glowing = artefacts.before_noise(np.ones(resin.shape), resin, settings, np.random.default_rng(0))
    assert np.all(glowing[80:] == 1)
    assert glowing[5].mean() > glowing[70].mean() > 1


def test_line_jitter_has_its_spread():
    ramp = np.tile(np.arange(200.0), (4000, 1))
    drawn = artefacts.line_shifts(len(ramp), replace(CLEAN, line_jitter_px=0.4), np.random.default_rng(0))
    shifts = (artefacts.shift_lines(ramp, drawn) - ramp)[:, 100]
    assert shifts == pytest.approx(drawn, abs=1e-6)
    assert shifts.std() == pytest.approx(0.4, rel=0.1)
    assert np.corrcoef(shifts[1:], shifts[:-1])[0, 1] == pytest.approx(0.6, abs=0.06)


def test_resin_fills_connected_voids_together_and_the_wanted_share_of_them():
    void = np.zeros((400, 400), dtype=bool)
    void[::8, ::8] = void[1::8, ::8] = True
    recipe = Preparation(filled_pores=0.3)
    prepared = prepare(recipe, void, np.random.default_rng(0))
    assert np.array_equal(prepared.filled[::8, ::8], prepared.filled[1::8, ::8])
    share = prepared.filled[::8, ::8].mean()
    assert abs(share - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 2500)
    assert not prepared.filled[~void].any()
    assert np.all(prepared.factor == 1)


def test_scratches_change_the_signal_by_their_depth():
    recipe = Preparation(scratches=20, scratch_depth=0.05)
    factor = prepare(recipe, np.zeros((200, 200), dtype=bool), np.random.default_rng(0)).factor
    assert 0.03 < np.abs(factor - 1).max() < 0.05 * 20
