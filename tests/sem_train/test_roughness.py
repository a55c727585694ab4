"""Roughness and waviness of interfaces against closed form."""

import numpy as np
import pytest
from coatings import CLASSES, FEAL, STEEL, section, slab

from sem_train.measure import measure_label_map
from sem_train.measure.layers.roughness import FINEST_PX, SIGMA_OF_CUTOFF, trace
from sem_train.measure.layers.smoothing import smoothed

WIDTH = 2000
X = np.arange(WIDTH)


def interfaces(labels, pixel_size_um=None, cutoff=None):
    return measure_label_map(labels, CLASSES, pixel_size_um, roughness_cutoff=cutoff).layers["Fe2Al5"].roughness


def wavy(amplitude, wavelength, thickness=100):
    """A layer with a sinusoid on its outer interface, symmetric about the middle so that its mean line is level."""
    return section((400, WIDTH), 150.3 + amplitude * np.cos(2 * np.pi * (X - 999.5) / wavelength), 150 + thickness)


@pytest.mark.parametrize(("amplitude", "wavelength"), [(4, 40), (6, 50), (10, 40), (15, 50)])
def test_sinusoid_shorter_than_the_cutoff_is_roughness(amplitude, wavelength):
    outer = interfaces(wavy(amplitude, wavelength), pixel_size_um=0.5, cutoff=0.5 * 200)["outer"]
    expected = 0.5 * amplitude
    assert outer.rq == pytest.approx(expected / np.sqrt(2), rel=0.03)
    assert outer.ra == pytest.approx(2 * expected / np.pi, rel=0.03)
    assert outer.rz == pytest.approx(2 * expected, abs=0.5)
    assert outer.wq < 0.1 * outer.rq
    assert outer.pq == pytest.approx(np.hypot(outer.rq, outer.wq), rel=0.02)
    assert outer.resolved


def test_sinusoid_longer_than_the_cutoff_is_waviness():
    outer = interfaces(wavy(10, 500), cutoff=60)["outer"]
    assert outer.wq == pytest.approx(10 / np.sqrt(2), rel=0.02)
    assert outer.wa == pytest.approx(20 / np.pi, rel=0.02)
    assert outer.rq < 0.4


def test_half_the_amplitude_passes_at_the_cutoff():
    outer = interfaces(wavy(10, 100), cutoff=100)["outer"]
    assert outer.rq == pytest.approx(5 / np.sqrt(2), rel=0.02)
    assert outer.wq == pytest.approx(5 / np.sqrt(2), rel=0.05)  # at the two ends more passes


def test_away_from_the_ends_it_is_the_gaussian_of_iso_16610_21():
    profile = np.cos(2 * np.pi * X / 80)
    for cutoff in (40, 80, 160):
        passed = smoothed(profile, np.ones(WIDTH, dtype=bool), SIGMA_OF_CUTOFF * cutoff)[300:-300]
        assert passed == pytest.approx(profile[300:-300] * 0.5 ** ((cutoff / 80) ** 2), abs=1e-3)


def test_a_straight_line_passes_whole_up_to_its_ends_and_beside_gaps():
    line = 3 + 0.4 * X
    known = (X < 500) | (X > 800)
    passed = smoothed(line, known, 60.0)
    assert passed[known] == pytest.approx(line[known], abs=1e-6)
    assert np.isnan(passed[~known]).all()


@pytest.mark.parametrize("tilt_deg", [-30, -20, -10, -5, -2, -1, -0.3, 0, 0.3, 1, 2, 5, 10, 20, 30])
def test_a_straight_interface_has_no_more_than_the_staircase_of_pixels(tilt_deg):
    """Rounding to whole pixels leaves up to 1/sqrt(12) = 0.29 px of Rq, most at slopes of a few per cent."""
    found = interfaces(slab((1300, WIDTH), 100, tilt_deg))
    for side in ("outer", "inner"):
        assert found[side].rq < 0.29
        assert found[side].pq < 0.30
        assert not found[side].resolved
        assert found[side].length == pytest.approx(WIDTH / np.cos(np.radians(tilt_deg)), rel=1e-3)
    if tilt_deg == 0:
        assert found["outer"].pq == pytest.approx(0, abs=1e-6)


def test_the_staircase_adds_in_squares():
    """On a sinusoid of 1 px, Rq is near 0.76 px instead of 0.71."""
    outer = interfaces(wavy(1, 64), cutoff=200)["outer"]
    assert outer.rq == pytest.approx(np.sqrt(1 / 2 + 1 / 12), rel=0.04)


def test_a_tilted_sinusoid_is_measured_across_its_mean_line():
    tilt = np.radians(15)
    y, x = np.mgrid[:1100, :WIDTH].astype(float)
    along = (x - WIDTH / 2) * np.cos(tilt) - (y - 550) * np.sin(tilt)
    depth = (y - 550) * np.cos(tilt) + (x - WIDTH / 2) * np.sin(tilt)
    edge = -60 + 6 * np.sin(2 * np.pi * along / 60)
    labels = np.select([depth < edge, depth < 60], [0, 1], 3).astype(np.uint8)
    found = interfaces(labels, cutoff=200)
    assert found["outer"].rq == pytest.approx(6 / np.sqrt(2), rel=0.03)
    assert found["inner"].rq < 0.29


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_whichever_side_is_up(quarter_turns):
    labels = wavy(6, 50)
    upright, turned = interfaces(labels), interfaces(np.rot90(labels, quarter_turns))
    for side in ("outer", "inner"):
        assert turned[side].rq == pytest.approx(upright[side].rq, abs=1e-6)


def test_inner_interface():
    labels = section((400, WIDTH), 100, 220.3 + 5 * np.sin(2 * np.pi * X / 40))
    found = interfaces(labels)
    assert found["inner"].rq == pytest.approx(5 / np.sqrt(2), rel=0.03)
    assert found["outer"].rq == pytest.approx(0, abs=1e-6)


def test_cutoff_is_the_mean_thickness_unless_stated():
    layer = measure_label_map(wavy(2, 40, 80), CLASSES, 0.5).layers["Fe2Al5"]
    assert layer.roughness["outer"].cutoff == pytest.approx(layer.mean)
    assert interfaces(wavy(2, 40, 80), 0.5, 30.0)["outer"].cutoff == pytest.approx(30.0)
    assert interfaces(wavy(1, 40, 12))["outer"].cutoff == 20  # too few pixels for a band of roughness otherwise
    assert interfaces(wavy(2, 40, 80), None, 12.0) == {}


def test_an_oblique_section_stretches_heights_too():
    plain, oblique = (
        measure_label_map(wavy(6, 50), CLASSES, 1.0, section_tilt_deg=tilt, roughness_cutoff=200).layers["Fe2Al5"]
        for tilt in (0.0, 60.0)
    )
    assert oblique.roughness["outer"].rq == pytest.approx(plain.roughness["outer"].rq / 2)
    assert oblique.roughness["outer"].length == pytest.approx(plain.roughness["outer"].length)


def test_gaps_and_what_is_not_in_the_frame_have_no_roughness():
    labels = section((400, WIDTH), 100, 220, 260)
    labels[:, 700:900] = np.where(labels[:, 700:900] == FEAL, STEEL, labels[:, 700:900])
    found = measure_label_map(labels, CLASSES, None).layers["FeAl"].roughness["outer"]
    assert found.length == pytest.approx(WIDTH - 200)
    assert found.pq == pytest.approx(0, abs=0.05)
    leaving = measure_label_map(section((400, WIDTH), 100, 500 - 0.15 * X), CLASSES, None).layers["Fe2Al5"].roughness
    assert leaving["outer"].length == pytest.approx(WIDTH)
    assert leaving["inner"].length == pytest.approx((WIDTH - 667) * np.hypot(1, 0.15), rel=0.01)


def test_short_pieces_have_none():
    assert interfaces(section((400, 100), 100, 300), cutoff=150) == {}


def test_an_interface_is_traced_to_a_part_of_a_pixel():
    mask = np.zeros((60, 50), dtype=bool)
    mask[20:] = True
    assert trace(mask) == pytest.approx(np.full(50, 19.5), abs=1e-6)
    assert np.isnan(trace(~mask)).all()
    assert 3.7 < FINEST_PX < 3.8
