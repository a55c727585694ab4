"""Textures: specks cover what they are asked to, fabrics have their contrast and direction, appearances are shared."""

import numpy as np
import pytest

import blender_gen.texture as texture_module
from blender_gen.recipe.common import Appearance
from blender_gen.specimen import View
from blender_gen.texture import texture

SIZE = 256
VIEW = View((0.0, 0.0), 0.0, SIZE, SIZE, 0.1)
EVERYWHERE = np.zeros((SIZE, SIZE), dtype=np.uint8)


def factor(view: View = VIEW, seed: int = 0, **look: object) -> np.ndarray:
    return texture({0: Appearance.model_validate(look)}, view, EVERYWHERE, np.random.default_rng(seed))


def test_nothing_asked_changes_nothing():
    np.testing.assert_array_equal(factor(), 1.0)


def test_specks_cover_their_area():
    """Over twelve pictures; specks of 0.8 µm, 8 pixels, so that their edges do not matter. Overlap hides some."""
    covered = [np.mean(factor(seed=seed, speckles=[{"size_um": 0.8, "area_percent": 10, "contrast": -1}]) < 0.75)
               for seed in range(12)]  # fmt: skip
    standard_error = np.std(covered, ddof=1) / np.sqrt(len(covered))
    assert np.mean(covered) == pytest.approx(1 - np.exp(-0.1), abs=4 * standard_error + 0.004)


def test_specks_do_not_depend_on_how_many_are_drawn_at_once(monkeypatch):
    look = {"speckles": [{"size_um": 0.6, "area_percent": 20, "contrast": -0.5, "aspect": 4}]}
    at_once = factor(**look)
    monkeypatch.setattr(texture_module, "MAX_WINDOWS", 1e4)
    np.testing.assert_array_equal(factor(**look), at_once)


def test_dark_specks_darken_and_bright_ones_brighten():
    dark = factor(speckles=[{"size_um": 0.5, "area_percent": 5, "contrast": -0.5}])
    bright = factor(speckles=[{"size_um": 0.5, "area_percent": 5, "contrast": 0.8}])
    assert dark.max() == 1 and 0.49 < dark.min() < 0.6
    assert bright.min() == 1 and 1.6 < bright.max() < 1.81


def test_bands_gather_specks_at_their_depth():
    speckle = {"size_um": 0.2, "area_percent": 5, "contrast": -1, "bands": 1, "depth_fraction": 0.25,
               "band_half_width": 0.02}  # fmt: skip
    rows = (1 - factor(speckles=[speckle])).sum(axis=1)
    middle = np.average(np.arange(SIZE), weights=rows)
    assert middle == pytest.approx(0.25 * SIZE, abs=2)
    assert rows[int(0.15 * SIZE) : int(0.35 * SIZE)].sum() > 0.98 * rows.sum()


@pytest.mark.parametrize("tilt", [0.0, 30.0, -50.0])
def test_platelets_lie_along_the_layers_and_have_their_contrast(tilt):
    """The structure tensor of the fabric is steepest across the plates."""
    view = View((0.0, 0.0), tilt, SIZE, SIZE, 0.1)
    plates = {"length_um": 2, "thickness_um": 0.3, "spread_deg": 8, "contrast": 0.1}
    fabric = factor(view, platelets=plates)
    assert fabric.mean() == pytest.approx(1, abs=1e-6)
    assert fabric.std() == pytest.approx(0.1, rel=0.02)
    gy, gx = np.gradient(fabric)
    steepest = 0.5 * np.degrees(np.arctan2(2 * np.mean(gx * gy), np.mean(gx**2 - gy**2)))  # from right, downwards
    across = steepest - 90 if steepest > 0 else steepest + 90
    assert (across - tilt + 90) % 180 - 90 == pytest.approx(0, abs=6)


def test_equal_appearances_are_one_surface():
    look = Appearance.model_validate({"brightness": {"uniform": {"low": 0.5, "high": 1.5}}})
    wall = np.zeros((SIZE, SIZE), dtype=np.uint8)
    wall[:, SIZE // 2 :] = 1
    drawn = texture({0: look, 1: look}, VIEW, wall, np.random.default_rng(0))
    assert np.ptp(drawn) == 0


@pytest.mark.parametrize("correlation_um", [0.3, 2.0])
def test_mottle_has_its_strength_and_correlation(correlation_um: float):
    """Fine mottle is drawn pixel by pixel, slow mottle on a coarser grid; correlation falls to 1/e at its length."""
    view = View((5.0, -3.0), 20.0, SIZE, SIZE, 0.1)
    lag = round(correlation_um / 0.1)
    variances, correlations = [], []
    for seed in range(10):
        field = factor(view, seed, mottle={"rms": 0.05, "correlation_um": correlation_um}) - 1
        variances.append(np.mean(field**2))
        correlations.append(np.mean(field[:, lag:] * field[:, :-lag]))
    assert np.sqrt(np.mean(variances)) == pytest.approx(0.05, rel=0.1)
    assert np.mean(correlations) / np.mean(variances) == pytest.approx(np.exp(-1), abs=0.12)
