"""Touching discs are parted, one body is not: whatever its size, shape and place on the raster."""

import numpy as np
import pytest
from scipy import ndimage

from sem_train.measure.bodies import bands, instances
from sem_train.measure.bodies.instances import NECK, in_raster_order, split_touching, whole_numbers

SHAPE = (240, 320)
ROWS, COLUMNS = np.mgrid[: SHAPE[0], : SHAPE[1]]


def disc(row, column, radius):
    return (ROWS - row) ** 2 + (COLUMNS - column) ** 2 < radius**2


def ellipse(row, column, long, short, turned_deg):
    turned = np.deg2rad(turned_deg)
    along = (COLUMNS - column) * np.cos(turned) + (ROWS - row) * np.sin(turned)
    across = (ROWS - row) * np.cos(turned) - (COLUMNS - column) * np.sin(turned)
    return (along / long) ** 2 + (across / short) ** 2 < 1


@pytest.mark.parametrize("turned_deg", [0, 17, 45, 63, 90])
@pytest.mark.parametrize(("one", "other"), [(40, 40), (40, 15), (12, 12), (9, 6), (60, 8)])
def test_touching_discs_are_two(one, other, turned_deg):
    turned = np.deg2rad(turned_deg)
    apart = one + other - 0.5
    mask = disc(120.3, 130.2, one)
    mask |= disc(120.3 + apart * np.sin(turned), 130.2 + apart * np.cos(turned), other)
    _, together = ndimage.label(mask, np.ones((3, 3)))
    found = split_touching(mask)
    assert together == 1
    assert found.max() == 2
    areas = np.sort(np.bincount(found.ravel())[1:])
    np.testing.assert_allclose(areas, np.sort(np.pi * np.array([one, other]) ** 2), rtol=0.06)


@pytest.mark.parametrize("turned_deg", [0, 10, 30, 45, 77])
@pytest.mark.parametrize(("long", "short"), [(20, 20), (60, 20), (80, 8), (90, 4), (6, 5)])
def test_one_ellipse_is_one(long, short, turned_deg):
    found = split_touching(ellipse(120.4, 160.7, long, short, turned_deg))
    assert found.max() == 1


def test_one_square_and_one_ring_are_one():
    square = (np.abs(ROWS - 100) < 40) & (np.abs(COLUMNS - 100) < 40)
    assert split_touching(square).max() == 1
    ring = disc(120, 160, 60) & ~disc(120, 160, 40)
    assert split_touching(ring).max() == 1


@pytest.mark.parametrize("neck", [0.15, NECK, 0.5])
def test_the_neck_decides(neck):
    """Two discs of radius 40 overlap; the neck's half height is known in closed form."""
    limit = np.exp(-neck)
    for share, expected in ((limit - 0.04, 2), (limit + 0.04, 1)):
        apart = 2 * 40 * np.sqrt(1 - share**2)
        mask = disc(120.3, 120.2, 40) | disc(120.3, 120.2 + apart, 40)
        assert split_touching(mask, neck).max() == expected


def test_the_frame_is_no_edge():
    """Two halves of one disc that the frame cuts are not narrow there; a disc cut in its middle is one."""
    assert split_touching(disc(0, 160, 60)).max() == 1
    assert split_touching(disc(120, 319, 30)).max() == 1


def test_nothing_is_added_or_lost():
    rng = np.random.default_rng(3)
    mask = ndimage.gaussian_filter(rng.normal(size=SHAPE), 4) > 0.02
    found = split_touching(mask)
    np.testing.assert_array_equal(found > 0, mask)
    np.testing.assert_array_equal(split_touching(mask.copy()), found)
    np.testing.assert_array_equal(np.unique(found), np.arange(found.max() + 1))


def test_numbers_follow_the_raster():
    mask = disc(60, 250, 20) | disc(100, 60, 20)
    found = split_touching(mask)
    assert found[60, 250] == 1
    assert found[100, 60] == 2
    np.testing.assert_array_equal(in_raster_order(np.array([[0, 7, 7], [3, 0, 9]])), [[0, 1, 1], [2, 0, 3]])


def test_empty_and_full():
    assert split_touching(np.zeros(SHAPE, dtype=bool)).max() == 0
    assert (split_touching(np.ones(SHAPE, dtype=bool)) == 1).all()


def test_instance_numbers_without_gaps():
    given = np.array([[0, 900, 900], [5, 0, 65535]], dtype=np.uint16)
    np.testing.assert_array_equal(whole_numbers(given), [[0, 2, 2], [1, 0, 3]])
    huge = given.astype(np.int64) * 10**9
    np.testing.assert_array_equal(whole_numbers(huge), [[0, 2, 2], [1, 0, 3]])
    np.testing.assert_array_equal(whole_numbers(huge + 10**12 * (huge == 0)), [[3, 2, 2], [1, 3, 4]])


def test_large_masks_give_the_same(monkeypatch):
    """Piece by piece and band by band, as masks are that would fill the memory."""
    rng = np.random.default_rng(4)
    mask = ndimage.gaussian_filter(rng.normal(size=SHAPE), 5) > 0.03
    at_once = split_touching(mask)
    monkeypatch.setattr(instances, "WHOLE_PX", 0)
    monkeypatch.setattr(bands, "BAND_PX", 1000)
    in_parts = split_touching(mask)
    assert at_once.max() > 20
    np.testing.assert_array_equal(in_parts, at_once)
