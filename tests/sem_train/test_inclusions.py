"""Porosity, sizes and cracks against discs and bars of known size."""

import numpy as np
import pytest
from coatings import CLASSES, CRACK, FE2AL5, PORE, PRECIPITATE, STEEL, put_disc, section

from sem_train.measure import measure_label_map

SHAPE = (400, 512)


def test_discs_of_known_size():
    labels = section(SHAPE, 100, 300)
    for column in range(40, 500, 60):
        put_disc(labels, 200, column, 10, PORE)
    pore = measure_label_map(labels, CLASSES, 0.5).inclusions["pore"]
    assert pore.count == 8
    assert pore.area_percent == pytest.approx(100 * 8 * np.pi * 100 / (200 * 512), rel=0.02)
    assert pore.ecd_mean == pytest.approx(10.0, rel=0.01)  # 20 px of 0.5 µm
    assert pore.ecd_median == pytest.approx(10.0, rel=0.01)
    assert pore.number_density == pytest.approx(8 / (100 * 256))


def test_cut_pores_count_for_area_and_by_half_for_number_but_not_for_size():
    labels = section(SHAPE, 100, 300)
    put_disc(labels, 200, 0, 20, PORE)
    put_disc(labels, 200, 250, 5, PORE)
    pore = measure_label_map(labels, CLASSES, None).inclusions["pore"]
    assert pore.count == 2
    assert pore.number_density == pytest.approx(1.5 / (200 * 512))
    assert len(pore.ecd) == 1
    assert pore.ecd_mean == pytest.approx(10, rel=0.05)
    assert pore.area_percent == pytest.approx(100 * np.count_nonzero(labels == PORE) / (200 * 512))


def test_classes_are_counted_apart():
    labels = section(SHAPE, 100, 300)
    put_disc(labels, 200, 100, 10, PORE)
    put_disc(labels, 200, 300, 5, PRECIPITATE)
    found = measure_label_map(labels, CLASSES, None).inclusions
    assert found["pore"].area_percent == pytest.approx(4 * found["precipitate"].area_percent, rel=0.1)


def test_pores_outside_their_host_are_left_out():
    labels = section(SHAPE, 100, 300)
    put_disc(labels, 360, 200, 10, PORE)
    pore = measure_label_map(labels, CLASSES, None).inclusions["pore"]
    assert pore.area_percent == 0.0
    assert pore.count == 0
    assert pore.ecd_mean is None


def test_specks_count_for_area_only():
    labels = section(SHAPE, 100, 300)
    labels[150, 10:500:20] = PORE
    pore = measure_label_map(labels, CLASSES, None).inclusions["pore"]
    assert pore.count == 0
    assert pore.area_percent > 0


def test_no_host_no_percent():
    labels = np.full(SHAPE, STEEL, dtype=np.uint8)
    assert measure_label_map(labels, CLASSES, None).inclusions["pore"].area_percent is None


@pytest.mark.parametrize("lean", [0.0, 0.3, 1.0])
def test_crack_length_and_opening(lean):
    labels = section(SHAPE, 100, 300)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    opening, length = 5.0, 160 * np.hypot(1, lean)
    across = (columns - 150 - lean * (rows - 120)) / np.hypot(1, lean)
    labels[(np.abs(across) < opening / 2) & (rows >= 120) & (rows < 280)] = CRACK
    crack = measure_label_map(labels, CLASSES, 0.1).cracks["crack"]
    assert crack.count == 1
    assert crack.total_length == pytest.approx(0.1 * length, rel=0.035)
    assert crack.mean_opening == pytest.approx(0.1 * opening, rel=0.05)


def test_no_crack():
    crack = measure_label_map(section(SHAPE, 100, 300), CLASSES, None).cracks["crack"]
    assert (crack.count, crack.total_length, crack.mean_opening) == (0, 0.0, None)


def test_inclusions_belong_to_the_layer_area():
    labels = section(SHAPE, 100, 300)
    put_disc(labels, 100, 200, 30, PORE, only=FE2AL5)  # open towards the resin
    assert measure_label_map(labels, CLASSES, None).layers["Fe2Al5"].area == 200 * 512


def test_mean_free_path_of_squares():
    labels = section(SHAPE, 100, 300)
    for row in range(110, 290, 30):
        for column in range(15, 500, 40):
            labels[row : row + 10, column : column + 10] = PORE
    pore = measure_label_map(labels, CLASSES, 0.5).inclusions["pore"]
    number, side = 6 * 13, 10
    assert pore.count == number
    assert pore.mean_free_path == pytest.approx(0.5 * (200 * 512 - number * side**2) / (number * side))


def test_without_pores_no_path_and_no_sizes():
    pore = measure_label_map(section(SHAPE, 100, 300), CLASSES, None).inclusions["pore"]
    assert pore.mean_free_path is None
    assert pore.sizes is None
    assert pore.to_outer.counts == (0,) * 10
    assert pore.to_outer.mean is None


def test_distances_to_both_interfaces():
    labels = section(SHAPE, 100, 300)
    depths = (30, 30, 70, 150)
    for column, depth in zip((60, 160, 260, 360), depths, strict=True):
        put_disc(labels, 99.5 + depth, column, 8, PORE)
    pore = measure_label_map(labels, CLASSES, 0.5).inclusions["pore"]
    order = np.argsort(pore.objects.xy[:, 0])
    np.testing.assert_allclose(pore.objects.to_outer[order], 0.5 * np.array(depths), atol=0.2)
    np.testing.assert_allclose(pore.objects.to_inner[order], 0.5 * (200 - np.array(depths)), atol=0.2)
    np.testing.assert_allclose(pore.to_outer.edges, np.arange(0, 101, 10), rtol=0.01)
    assert pore.to_outer.counts == (0, 2, 0, 1, 0, 0, 0, 1, 0, 0)
    assert pore.to_inner.counts == (0, 0, 1, 0, 0, 0, 1, 0, 2, 0)
    assert pore.to_outer.mean == pytest.approx(35, abs=0.2)


def test_distance_in_a_tilted_layer_is_the_shortest_one():
    slope, x = 0.4, np.arange(512)
    labels = section((512, 512), 80 + slope * x, 240 + slope * x)
    put_disc(labels, 80 + slope * 250 + 60, 250, 8, PORE)
    pore = measure_label_map(labels, CLASSES, None).inclusions["pore"]
    assert pore.objects.to_outer[0] == pytest.approx((60 + 0.31 + 0.5 - slope * 0.17) / np.hypot(1, slope), abs=0.5)
    assert pore.objects.to_inner[0] == pytest.approx((100 - 0.81 + slope * 0.17) / np.hypot(1, slope), abs=0.5)


def test_distance_is_not_measured_where_the_interface_lies_beyond_the_frame():
    """Of a layer that falls steeply the corner pore's nearest piece of the outer interface is not in the picture."""
    slope, x = 0.8, np.arange(512)
    labels = section((700, 512), 20 + slope * x, 260 + slope * x)
    put_disc(labels, 20 + 200, 14, 8, PORE)
    put_disc(labels, 20 + slope * 300 + 100, 300, 8, PORE)
    pore = measure_label_map(labels, CLASSES, None).inclusions["pore"]
    corner, middle = np.argsort(pore.objects.xy[:, 0])
    assert np.isfinite(pore.objects.to_outer[middle])
    assert np.isfinite(pore.objects.to_inner[middle])
    # the foot of the corner pore's way outward is at x = 14 + 200 · 0.8 / (1 + 0.8²) within the frame, inward it is not
    assert np.isfinite(pore.objects.to_outer[corner])
    assert np.isnan(pore.objects.to_inner[corner])


def test_sizes_by_number_and_by_area():
    labels = section(SHAPE, 100, 300)
    for column in range(30, 500, 60):
        put_disc(labels, 150, column, 5, PORE)
    put_disc(labels, 240, 250, 20, PORE)
    sizes = measure_label_map(labels, CLASSES, None).inclusions["pore"].sizes
    assert sizes.by_number[50] == pytest.approx(10, rel=0.02)
    assert sizes.by_area[90] == pytest.approx(40, rel=0.02)  # eight small ones have half the area of the large one
    assert sizes.mean == pytest.approx((8 * 10 + 40) / 9, rel=0.02)
    assert sizes.sd == pytest.approx(np.std([10] * 8 + [40], ddof=1), rel=0.02)
