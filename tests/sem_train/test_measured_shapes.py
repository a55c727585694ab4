"""Sizes and shapes against closed form, and against scikit-image where it defines the same."""

from dataclasses import fields

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import regionprops

from sem_train.measure.bodies import bands
from sem_train.measure.bodies.shapes import SHAPE_PX, Shapes, measure_shapes

SIZE = 320
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE]


def rotated(turned_deg, row=160.3, column=158.8):
    turned = np.deg2rad(turned_deg)
    along = (COLUMNS - column) * np.cos(turned) + (ROWS - row) * np.sin(turned)
    return along, (ROWS - row) * np.cos(turned) - (COLUMNS - column) * np.sin(turned)


def rectangle(long, short, turned_deg):
    along, across = rotated(turned_deg)
    return ((np.abs(along) < long / 2) & (np.abs(across) < short / 2)).astype(np.int32)


def ellipse(long, short, turned_deg):
    along, across = rotated(turned_deg)
    return ((2 * along / long) ** 2 + (2 * across / short) ** 2 < 1).astype(np.int32)


@pytest.mark.parametrize("diameter", [14, 30, 60, 200])
def test_disc(diameter):
    found = measure_shapes(ellipse(diameter, diameter, 0))
    assert found.ecd[0] == pytest.approx(diameter, rel=0.01)
    assert found.circularity_iso[0] == pytest.approx(1.0, abs=0.01)
    assert found.circularity_imagej[0] == pytest.approx(1.0, abs=0.02)
    # corners of pixels stick out of the disc, by less than half a pixel's diagonal on either side
    assert 0 <= found.feret_max[0] - diameter <= 1.42
    assert -0.5 <= found.feret_min[0] - diameter <= 1.42
    assert found.solidity[0] == pytest.approx(1.0, abs=2 / diameter)
    assert found.compactness[0] == pytest.approx(1.0, abs=1.5 / diameter)
    np.testing.assert_allclose(found.centroid[0], [160.3, 158.8], atol=0.15)


def test_square_on_the_raster_is_exact_but_for_its_perimeter():
    square = np.zeros((SIZE, SIZE), dtype=np.int32)
    square[40:240, 50:250] = 1
    found = measure_shapes(square)
    assert found.area[0] == 200**2
    assert found.feret_max[0] == pytest.approx(200 * np.sqrt(2))
    assert found.feret_min[0] == pytest.approx(200)
    assert found.solidity[0] == 1
    assert found.aspect[0] == pytest.approx(np.sqrt(0.5))
    assert found.compactness[0] == pytest.approx(np.sqrt(2 / np.pi))
    assert found.perimeter[0] == pytest.approx(800, rel=0.017)
    np.testing.assert_array_equal(found.centroid[0], [139.5, 149.5])
    np.testing.assert_array_equal(found.window[0], [40, 50, 200, 200])


def test_square_in_all_directions():
    """ISO's circularity of a square is sqrt(pi)/2 = 0.886, ImageJ's pi/4 = 0.785."""
    found = [measure_shapes(rectangle(200, 200, turned)) for turned in range(0, 90, 6)]
    iso = np.array([f.circularity_iso[0] for f in found])
    assert iso.mean() == pytest.approx(np.sqrt(np.pi) / 2, abs=0.004)
    np.testing.assert_allclose(iso, np.sqrt(np.pi) / 2, atol=0.016)
    assert np.mean([f.circularity_imagej[0] for f in found]) == pytest.approx(np.pi / 4, abs=0.008)


@pytest.mark.parametrize("turned_deg", [0, 13, 45, 60])
@pytest.mark.parametrize(("long", "short"), [(120, 60), (200, 40)])
def test_ellipse(long, short, turned_deg):
    found = measure_shapes(ellipse(long, short, turned_deg))
    assert found.feret_max[0] == pytest.approx(long, abs=1.42)
    assert found.feret_min[0] == pytest.approx(short, abs=1.42)
    assert found.aspect[0] == pytest.approx(short / long, abs=0.02)
    a, b = long / 2, short / 2
    ramanujan = np.pi * (3 * (a + b) - np.sqrt((3 * a + b) * (a + 3 * b)))
    assert found.perimeter[0] == pytest.approx(ramanujan, rel=0.015)
    assert found.circularity_iso[0] == pytest.approx(np.sqrt(4 * np.pi**2 * a * b) / ramanujan, rel=0.015)


@pytest.mark.parametrize("turned_deg", range(0, 90, 9))
def test_smallest_feret_of_a_needle_is_its_width(turned_deg):
    """It is the width that no grid of directions finds: half a degree off, a needle of 20:1 is 9 % wider."""
    found = measure_shapes(rectangle(200, 10, turned_deg))
    assert found.feret_min[0] == pytest.approx(10, abs=1.42)
    assert found.feret_max[0] == pytest.approx(np.hypot(200, 10), abs=1.42)


def test_shape_of_a_plus():
    plus = np.zeros((SIZE, SIZE), dtype=np.int32)
    plus[100:220, 140:180] = plus[140:180, 100:220] = 1
    found = measure_shapes(plus)
    hull = 120**2 - 2 * 40**2  # four corners of half a square each
    assert found.solidity[0] == pytest.approx((120 * 40 * 2 - 40**2) / hull)


def test_beside_scikit_image():
    rng = np.random.default_rng(5)
    objects = np.zeros((SIZE, SIZE), dtype=np.int32)
    for number, (row, column) in enumerate([(40, 50), (60, 200), (200, 80), (230, 240)], start=1):
        for _ in range(4):
            away = rng.normal(scale=8, size=2)
            radius = rng.uniform(8, 20)
            objects[(ROWS - row - away[0]) ** 2 + (COLUMNS - column - away[1]) ** 2 < radius**2] = number
    found = measure_shapes(objects)
    for i, region in enumerate(regionprops(objects)):
        assert found.area[i] == region.area
        np.testing.assert_allclose(found.centroid[i], region.centroid)
        assert found.ecd[i] == pytest.approx(region.equivalent_diameter_area)
        assert found.feret_max[i] == pytest.approx(region.feret_diameter_max, abs=0.75)  # middles of pixel sides there
        assert found.hull_area[i] == pytest.approx(region.area_convex, rel=0.02)  # pixels of the hull there
        assert found.perimeter[i] == pytest.approx(region.perimeter_crofton, rel=0.02)  # four directions there


def test_neighbours_that_touch_have_their_own_outlines():
    pair = np.zeros((SIZE, SIZE), dtype=np.int32)
    pair[100:150, 100:150], pair[100:150, 150:200] = 1, 2
    alone = measure_shapes((pair == 1).astype(np.int32))
    both = measure_shapes(pair)
    np.testing.assert_allclose(both.perimeter, alone.perimeter[0])
    np.testing.assert_allclose(both.feret_max, alone.feret_max[0])


def test_no_shape_of_small_and_cut_objects():
    objects = np.zeros((SIZE, SIZE), dtype=np.int32)
    objects[10:19, 10:21] = 1  # 99 pixels
    objects[100:110, 10:20] = 2  # 100 pixels
    objects[300:, 100:150] = 3  # cut
    found = measure_shapes(objects)
    assert SHAPE_PX == 100
    np.testing.assert_array_equal(found.shaped, [False, True, False])
    for values in (found.aspect, found.circularity_iso, found.circularity_imagej, found.solidity, found.compactness):
        np.testing.assert_array_equal(np.isfinite(values), found.shaped)
    np.testing.assert_array_equal(found.cut, [False, False, True])


def test_an_object_of_two_pieces_is_one():
    pieces = np.zeros((SIZE, SIZE), dtype=np.int32)
    pieces[50:60, 50:60] = pieces[50:60, 150:160] = 1
    found = measure_shapes(pieces)
    assert found.area[0] == 200
    assert found.feret_max[0] == pytest.approx(np.hypot(10, 110))


def test_nothing():
    found = measure_shapes(np.zeros((20, 30), dtype=np.int32))
    assert len(found.area) == len(found.perimeter) == len(found.aspect) == len(found.centroid) == 0


def test_band_by_band_is_the_same(monkeypatch):
    rng = np.random.default_rng(6)
    objects = ndimage.label(ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE)), 4) > 0.03)[0]
    at_once = measure_shapes(objects)
    monkeypatch.setattr(bands, "BAND_PX", 2000)
    in_bands = measure_shapes(objects)
    for field in fields(Shapes):
        np.testing.assert_allclose(getattr(in_bands, field.name), getattr(at_once, field.name))
