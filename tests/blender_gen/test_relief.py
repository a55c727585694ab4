"""Sky visibility against closed forms."""

import numpy as np
import pytest
from targets import hemispheres

from blender_gen.imaging import relief
from blender_gen.imaging.relief import openness, sky_visibility

PIXEL = 0.1


@pytest.fixture(params=["everywhere", "one by one"])
def way(request, monkeypatch):
    """Both ways to look up horizons."""
    monkeypatch.setattr(relief, "FEW", 0.0 if request.param == "everywhere" else 1.0)


def everywhere(height):
    return np.ones(height.shape, dtype=bool)


def level(height):
    return np.broadcast_to(np.array([0, 0, 1], np.float32), (*height.shape, 3))


def test_a_plane_sees_the_whole_sky(way):
    height = np.zeros((60, 70))
    sky, quadrants = openness(height, level(height), everywhere(height), PIXEL)
    assert np.all(sky == 1)
    assert quadrants == pytest.approx(0.25, abs=1e-6)


def test_anywhere_in_a_hemispherical_cavity_half_of_the_sky_is_seen(way):
    height, _, _, inside = hemispheres((5.0,), side=128, sign=-1)
    sky = sky_visibility(height, inside, PIXEL)
    middle = height < -0.5 * 5.0
    assert sky[middle].mean() == pytest.approx(0.5, abs=0.03)
    assert sky[middle].std() < 0.03
    assert np.all(sky[~inside] == 1)


@pytest.mark.parametrize("depth", [1.0, 2.0, 4.0])
def test_the_middle_of_a_long_trench(way, depth):
    """Half-width a, depth D: the visible share is a/sqrt(a^2 + D^2)."""
    height = np.zeros((401, 101), np.float32)
    height[:, 31:71] = -depth
    seen = sky_visibility(height, everywhere(height), PIXEL)[200, 50:52].mean()
    assert seen == pytest.approx(2 / np.hypot(2, depth), rel=0.05)


@pytest.mark.parametrize("distance_px", [3, 9, 20])
def test_the_foot_of_a_long_step(way, distance_px):
    """At the distance x from a wall of height H half of the sky is free, of the other x/sqrt(x^2 + H^2)."""
    height = np.zeros((401, 120), np.float32)
    height[:, 60:] = 1.5
    x = (distance_px - 0.5) * PIXEL
    seen = sky_visibility(height, everywhere(height), PIXEL)[200, 60 - distance_px]
    assert seen == pytest.approx(0.5 + 0.5 * x / np.hypot(x, 1.5), abs=0.03)


def test_the_top_of_a_step_sees_the_whole_sky_up_to_its_edge():
    height = np.zeros((64, 64), np.float32)
    height[:, 33:] = 5.0
    assert np.all(sky_visibility(height, everywhere(height), PIXEL)[:, 33:] == 1)


@pytest.mark.parametrize("tilt_deg", [10, 35, 60])
def test_a_tilted_plane_sees_what_is_above_it(way, tilt_deg):
    """(1 + cos b)/2 in all; the left half of the sky gets more, upper and lower half the same."""
    slope = np.tan(np.radians(tilt_deg))
    height = np.tile(np.arange(161) * PIXEL * slope, (161, 1)).astype(np.float32)  # falls to the left
    normal = np.zeros((161, 161, 3), np.float32)
    normal[..., 0], normal[..., 2] = -np.sin(np.radians(tilt_deg)), np.cos(np.radians(tilt_deg))
    where = np.zeros(height.shape, bool)
    where[80:82, 80:82] = True
    if relief.FEW == 0:
        where[:] = True
    _, quadrants = openness(height, normal, where, PIXEL)
    upper_right, upper_left, lower_left, lower_right = quadrants[:, 80, 80]
    assert quadrants[:, 80, 80].sum() == pytest.approx((1 + np.cos(np.radians(tilt_deg))) / 2, abs=0.01)
    assert upper_left == pytest.approx(lower_left, rel=0.02)
    difference = (upper_left + lower_left) - (upper_right + lower_right)
    assert difference == pytest.approx(_left_less_right(tilt_deg), abs=0.01)


def _left_less_right(tilt_deg):
    """(1/pi) times the integral of max(0, n.w) over the left half of the sky less that over the right, by sums."""
    b = np.radians(tilt_deg)
    polar, azimuth = (np.arange(400) + 0.5) / 400 * np.pi / 2, (np.arange(720) + 0.5) / 720 * 2 * np.pi
    t, f = np.meshgrid(polar, azimuth, indexing="ij")
    facing = np.clip(-np.sin(b) * np.sin(t) * np.cos(f) + np.cos(b) * np.cos(t), 0, None)
    weight = facing * np.sin(t) * (np.pi / 800) * (2 * np.pi / 720) / np.pi
    return -(weight * np.sign(np.cos(f))).sum()
