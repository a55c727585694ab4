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
