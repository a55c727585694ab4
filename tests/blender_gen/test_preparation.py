"""What preparation leaves on a specimen."""

import numpy as np
import pytest
from targets import NAMES, passes_of, target_of

from blender_gen.imaging.preparation import prepare
from blender_gen.phases import materials, void_mask
from blender_gen.recipe.imaging import Preparation

SOLIDS = tuple(materials()[name] for name in ("epoxy", "Fe2Al5", "epoxy", "epoxy"))


def prepared(phase, seed=0, height=None, **settings):
    passes = passes_of(phase) if height is None else passes_of(phase, height_um=height)
    recipe = Preparation(**{"filled_pores": 0, **settings})
    return prepare(recipe, passes, void_mask(passes.phase, NAMES), SOLIDS, 0.2, np.random.default_rng(seed))


def test_resin_fills_connected_voids_together_and_the_wanted_share_of_them():
    phase = np.ones((400, 400))
    phase[::8, ::8] = phase[1::8, ::8] = 2
    found = prepared(phase, filled_pores=0.3)
    assert np.array_equal(found.filled[::8, ::8], found.filled[1::8, ::8])
    share = found.filled[::8, ::8].mean()
    assert abs(share - 0.3) < 3.29 * np.sqrt(0.3 * 0.7 / 2500)  # 99.9 % confidence
    assert not found.filled[phase != 2].any()
    assert np.all(found.seen[found.filled] == len(SOLIDS) - 1)
    assert np.all(found.factor == 1)


def test_preparation_that_is_off_leaves_the_specimen_as_it_is():
    phase = np.ones((40, 40))
    phase[10:20, 10:20] = 2
    depth = np.where(phase == 2, -1.5, 0).astype(np.float32)
    found = prepared(phase, height=depth)
    assert np.array_equal(found.height_um, depth)
    assert np.all(found.normal == [0, 0, 1])
    assert np.array_equal(found.open_void, phase == 2)
    assert np.all(found.seen == 1)


def test_scratches_change_the_signal_by_their_depth():
    factor = prepared(np.ones((200, 200)), scratches=20, scratch_depth=0.05).factor
    assert 0.03 < np.abs(factor - 1).max() < 0.05 * 20


def test_soft_phases_are_recessed_and_the_step_between_them_is_tilted():
    phase = np.ones((80, 80))
    phase[40:] = 0  # epoxy, softer than the aluminide
    found = prepared(phase, relief_um=0.3, relief_edge_um=0.6)
    assert found.height_um[5, 5] == pytest.approx(0, abs=1e-4)
    assert found.height_um[-5, 5] == pytest.approx(-0.3, abs=1e-4)
    # steepest where the Gaussian edge is: 0.3/(0.6 sqrt(2 pi)), facing down the picture
    slope = 0.3 / (0.6 * np.sqrt(2 * np.pi))
    normal = found.normal[40, 40]
    assert -normal[1] / normal[2] == pytest.approx(slope, rel=0.03)
    assert normal[0] == pytest.approx(0, abs=1e-6)


def test_pull_outs_are_pits_and_no_pores():
    phase = np.ones((200, 200))
    found = prepared(phase, pull_outs=12, pull_out_um=3.0)
    assert not found.open_void.any()
    assert 0.005 < (found.height_um < 0).mean() < 0.2
    assert -0.8 * 3.0 * 4 < found.height_um.min() < -0.8 * 3.0 / 2
    target = target_of(passes_of(phase), preparation=Preparation(filled_pores=0, pull_outs=12, pull_out_um=3.0))
    assert target.sky.min() < 0.8
    assert np.median(target.sky) > 0.99


def test_smeared_metal_covers_the_edge_of_a_pore_from_one_side():
    phase = np.ones((100, 100))
    phase[30:70, 30:70] = 2
    found = prepared(phase, smear_um=1.0)
    covered = (phase == 2) & ~found.open_void
    assert 0.02 < covered[30:70, 30:70].mean() < 0.6
    assert found.open_void[45:55, 45:55].mean() > 0.8
    assert np.all(found.seen[covered] == 1)
    assert np.all(found.height_um[covered] == 0)


def test_curtains_hang_below_pores():
    phase = np.ones((200, 200))
    phase[40:60, 80:120] = 2
    stripes = [prepared(phase, seed=seed, curtaining=0.1, curtain_um=6).factor - 1 for seed in range(40)]
    rms = np.sqrt(np.mean(np.square(stripes), axis=0))
    above, below, far = rms[10:35, 80:120].mean(), rms[61:70, 80:120].mean(), rms[180:, 80:120].mean()
    assert below > 2 * above
    assert far == pytest.approx(above, rel=0.3)
    assert np.abs(np.diff(stripes[0], axis=0)[100:]).max() < np.abs(np.diff(stripes[0], axis=1)[100:]).max() / 3
