"""Nearest neighbours: lattices in closed form, random points without the bias of the edge."""

import numpy as np
import pytest
from coatings import CLASSES, PORE, put_disc, section

from sem_train.measure import measure_label_map
from sem_train.measure.bodies.neighbours import Frame, Region, measure_neighbours

SHAPE = (300, 500)


def measured(points, room, pixel=1.0):
    return measure_neighbours(points, np.ones(len(points), dtype=bool), room, len(points) / room.area / pixel**2, pixel)


def test_square_lattice_is_twice_as_far_as_chance():
    rows, columns = np.mgrid[10:300:20, 10:500:20]
    found = measured(np.stack([rows.ravel(), columns.ravel()], axis=1).astype(float), Frame(SHAPE), 0.5)
    assert found.mean == pytest.approx(10.0)
    assert found.expected == pytest.approx(5.0, rel=0.01)
    assert found.ratio == pytest.approx(2.0, rel=0.01)
    assert found.used == 13 * 23  # those at the rim are 10 px from it and 20 px from each other


@pytest.mark.parametrize("number", [40, 300])
@pytest.mark.parametrize("kind", ["frame", "strip"])
def test_random_points_are_as_far_as_chance(number, kind):
    """Neither too near (near neighbours preferred) nor too far (neighbours beyond the edge missed)."""
    rng = np.random.default_rng(number)
    strip = np.zeros(SHAPE, dtype=bool)
    strip[100:190] = True
    room = Frame(SHAPE) if kind == "frame" else Region(strip)
    low, high = ((0, 0), SHAPE) if kind == "frame" else ((100, 0), (190, 500))
    ratios = [measured(rng.uniform(low, high, (number, 2)) - 0.5, room).ratio for _ in range(150)]
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.02 if number == 300 else 0.04)


def test_region_is_the_frame_where_it_fills_it():
    frame, region = Frame(SHAPE), Region(np.ones(SHAPE, dtype=bool))
    assert region.area == frame.area
    points = np.array([[0.0, 0.0], [10.0, 250.0], [150.0, 100.0], [299.0, 499.0]])
    np.testing.assert_allclose(region.distance(points), frame.distance(points))
    distance = np.array([0.0, 5.0, 60.0, 149.0, 151.0])
    np.testing.assert_allclose(region.area_further(distance), frame.area_further(distance), rtol=0.02, atol=500)
    np.testing.assert_array_equal(region.distance(np.array([[-5.0, 10.0], [400.0, 10.0]])), [0.0, 0.0])


def test_every_third_pixel_of_a_large_region_is_enough():
    rng = np.random.default_rng(2)
    strip = np.zeros(SHAPE, dtype=bool)
    strip[60:230, 20:480] = True
    fine, coarse = Region(strip), Region(strip, strip.sum() // 8)
    assert (fine.every, coarse.every) == (1, 3)
    assert coarse.area == pytest.approx(fine.area, rel=0.03)
    points = rng.uniform((60, 20), (229, 479), (200, 2))
    np.testing.assert_allclose(coarse.distance(points), fine.distance(points), atol=3)
    assert measured(points, coarse).mean == pytest.approx(measured(points, fine).mean, rel=0.02)


def test_cut_objects_are_neighbours_only():
    points = np.array([[50.0, 50.0], [50.0, 60.0], [150.0, 250.0], [150.0, 290.0]])
    whole = np.array([True, False, True, True])
    found = measure_neighbours(points, whole, Frame(SHAPE), 4 / 150_000, 1.0)
    assert found.used == 3
    assert 10 < found.mean < 40


def test_one_or_no_point():
    for number in (0, 1):
        points = np.full((number, 2), 50.0)
        found = measure_neighbours(points, np.ones(number, dtype=bool), Frame(SHAPE), None, 1.0)
        assert (found.mean, found.used, found.ratio) == (None, 0, None)


def test_pores_of_a_layer():
    labels = section((400, 512), 100, 300)
    for row in range(120, 300, 40):
        for column in range(26, 500, 40):
            put_disc(labels, row, column, 6, PORE)
    found = measure_label_map(labels, CLASSES, 0.25).inclusions["pore"].neighbours
    assert found.mean == pytest.approx(10.0, abs=0.02)
    assert found.ratio == pytest.approx(10.0 / (0.5 * np.sqrt(200 * 512 / 60) * 0.25), rel=0.01)
    assert found.used == 3 * 11  # 40 px or more from the interfaces and the frame
