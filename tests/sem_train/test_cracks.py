"""Cracks against bars of known length, opening, lean and place."""

import numpy as np
import pytest
from coatings import CLASSES, CRACK, section

from sem_train.measure import measure_label_map

SHAPE = (400, 512)
TOP = 100
BOTTOM = 300
rows_of_frame, columns_of_frame = np.mgrid[: SHAPE[0], : SHAPE[1]]


def put_crack(labels, column, opening, lean=0.0, first=TOP, last=BOTTOM):
    """A crack through (row 200, column), of an opening across itself, from row `first` to before row `last`."""
    across = (columns_of_frame - column - 0.3 - lean * (rows_of_frame - 200)) / np.hypot(1, lean)
    labels[(np.abs(across) < opening / 2) & (rows_of_frame >= first) & (rows_of_frame < last)] = CRACK


def cracks(labels, pixel=None):
    return measure_label_map(labels, CLASSES, pixel).cracks["crack"]


@pytest.mark.parametrize("lean", [0.0, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("opening", [1.5, 2, 3, 5, 8.5])
def test_one_crack(opening, lean):
    labels = section(SHAPE, TOP, BOTTOM)
    put_crack(labels, 250, opening, lean)
    found = cracks(labels, 0.1)
    (crack,) = found.cracks
    true = np.count_nonzero(labels == CRACK) / (200 * np.hypot(1, lean))  # on the raster, not as it was asked for
    assert found.total_length == pytest.approx(0.1 * 200 * np.hypot(1, lean), rel=0.03)
    assert found.mean_opening == pytest.approx(0.1 * true, rel=0.03)
    assert found.max_opening == pytest.approx(0.1 * true, abs=0.06)
    assert crack.orientation_deg == pytest.approx(np.degrees(np.arctan(lean)), abs=0.1)
    assert crack.through is True
    assert crack.along == pytest.approx(25.0, abs=0.15)
    np.testing.assert_allclose(crack.xy, (250.3, 199.5), atol=0.8)


def test_oblique_crack_two_pixels_wide_keeps_its_length():
    """Thinning by Zhang and Suen takes such a line away."""
    labels = section(SHAPE, TOP, BOTTOM)
    put_crack(labels, 250, 1.5, 1.0)
    assert cracks(labels).total_length == pytest.approx(200 * np.sqrt(2), rel=0.02)


def test_the_widest_place():
    labels = section(SHAPE, TOP, BOTTOM)
    put_crack(labels, 250, 4)
    labels[(rows_of_frame - 200) ** 2 + (columns_of_frame - 250) ** 2 < 12.3**2] = CRACK
    assert cracks(labels).max_opening == pytest.approx(24.6, abs=1.2)  # the raster's disc is a pixel smaller


@pytest.mark.parametrize(("first", "last", "through"), [
    (100, 300, 1), (102, 298, 1), (104, 300, 0), (100, 296, 0), (150, 250, 0),
])  # fmt: skip
def test_through_is_both_interfaces(first, last, through):
    labels = section(SHAPE, TOP, BOTTOM)
    put_crack(labels, 250, 4, first=first, last=last)
    found = cracks(labels)
    assert found.through == through
    assert found.cracks[0].through is bool(through)


def test_a_crack_into_the_substrate_and_an_open_one_go_through():
    labels = section(SHAPE, TOP, BOTTOM)
    put_crack(labels, 150, 4, last=340)
    put_crack(labels, 350, 6, first=80)
    assert cracks(labels).through == 2


def test_what_the_frame_cuts_is_not_known_to_end():
    labels = section(SHAPE, TOP, BOTTOM)
    labels[180:184, :100] = CRACK
    (crack,) = cracks(labels).cracks
    assert crack.cut
    assert crack.through is None
    assert crack.orientation_deg == pytest.approx(90, abs=0.5)


def test_density_and_spacing():
    labels = section(SHAPE, TOP, BOTTOM)
    for column in (60, 160, 220, 400):
        put_crack(labels, column, 3)
    put_crack(labels, 300, 3, first=150, last=250)  # not through
    found = cracks(labels, 0.5)
    assert found.count == 5
    assert found.through == 4
    assert found.length_density == pytest.approx(found.total_length / (100 * 256), rel=1e-3)
    assert found.per_length == pytest.approx(5 / 256, rel=0.01)
    np.testing.assert_allclose(found.spacings, (50, 30, 90), atol=0.1)
    assert found.spacing_mean == pytest.approx(170 / 3, abs=0.1)
    assert found.spacing_sd == pytest.approx(np.std([50, 30, 90], ddof=1), abs=0.1)
    assert found.orientation_deg == pytest.approx(0, abs=0.1)


def test_spacing_runs_along_a_tilted_layer():
    """Cracks along the normals of a layer that falls by 0.3: their distance is along the layer, their angle none."""
    slope = 0.3
    labels = section((512, 512), 100 + slope * np.arange(512), 260 + slope * np.arange(512))
    rows, columns = np.mgrid[:512, :512]
    for column in (150, 250, 350):
        middle = 180 + slope * column
        across = ((columns - column) + slope * (rows - middle)) / np.hypot(1, slope)
        depth = ((rows - middle) - slope * (columns - column)) / np.hypot(1, slope)
        labels[(np.abs(across) < 2) & (np.abs(depth) < 80 / np.hypot(1, slope))] = CRACK
    found = cracks(labels)
    assert found.count == 3
    assert found.through == 3
    assert found.orientation_deg == pytest.approx(0, abs=0.5)
    np.testing.assert_allclose(found.spacings, 100 * np.hypot(1, slope), rtol=0.01)


def test_no_crack_and_no_layer():
    found = cracks(section(SHAPE, TOP, BOTTOM))
    assert (found.count, found.total_length, found.mean_opening, found.through) == (0, 0.0, None, 0)
    assert found.length_density == 0.0
    assert found.spacings == ()
    lost = np.zeros(SHAPE, dtype=np.uint8)
    lost[100:200, 100:104] = CRACK
    (crack,) = cracks(lost).cracks
    assert crack.through is None
    assert crack.orientation_deg is None
    assert crack.length == pytest.approx(100, rel=0.03)
    assert cracks(lost).length_density is None
