"""The pore line: found where it is, not where pores are merely many, large or clustered."""

import numpy as np
import pytest
from coatings import CLASSES, FE2AL5, PORE, porous_layer, put_disc, section

from sem_train.measure import measure_label_map


def line(labels):
    return measure_label_map(labels, CLASSES, None).lines["pore"]


def test_random_pores_are_no_line():
    rng = np.random.default_rng(20)
    false = sum(line(porous_layer(rng)[0]).present for _ in range(60))
    assert false <= 4  # 1.2 expected; five or more has a chance below 1 %


def test_lines_are_found_at_their_depth():
    rng = np.random.default_rng(21)
    cases = [porous_layer(rng, line_coverage=rng.uniform(0.35, 0.7)) for _ in range(40)]
    found = [(line(labels), depth) for labels, depth in cases]
    hits = [(f.depth_fraction, depth) for f, depth in found if f.present]
    assert len(hits) >= 35
    measured, true = np.array(hits).T
    assert np.abs(measured - true).mean() < 0.02


def test_depth_and_coverage_of_a_plain_line():
    labels = section((400, 512), 100, 300)
    for column in range(16, 512, 32):
        put_disc(labels, 180, column, 8, PORE)
    found = measure_label_map(labels, CLASSES, 0.5).lines["pore"]
    assert found.present
    assert found.depth == pytest.approx(40.0, abs=0.5)  # 80 px
    assert found.depth_fraction == pytest.approx(0.4, abs=0.01)
    assert found.linear_coverage == pytest.approx(0.5, abs=0.05)


def test_line_follows_a_tilted_layer():
    x = np.arange(512)
    labels = section((512, 512), 100 + 0.3 * x, 260 + 0.3 * x)
    for column in range(16, 512, 32):
        put_disc(labels, 100 + 0.3 * column + 96, column, 7, PORE, only=FE2AL5)
    found = line(labels)
    assert found.present
    assert found.depth_fraction == pytest.approx(0.6, abs=0.02)


def test_one_large_pore_is_no_line():
    labels = section((400, 512), 100, 300)
    put_disc(labels, 200, 250, 60, PORE)
    assert not line(labels).present


def test_pores_along_the_interface_are_no_line():
    labels = section((400, 512), 100, 300)
    for column in range(16, 512, 32):
        put_disc(labels, 300, column, 8, PORE, only=FE2AL5)
    assert not line(labels).present


def test_no_pores_and_no_layer():
    assert not line(section((400, 512), 100, 300)).present
    assert not line(np.zeros((400, 512), dtype=np.uint8)).present
