"""The thickness profile: what stands where along a layer, and that it lies on the image as it was given."""

import numpy as np
import pytest
from coatings import CLASSES, FEAL, STEEL, section

from sem_train.measure import measure_label_map

SHAPE = (300, 512)


def profile(labels, name="Fe2Al5", pixel_size_um=None):
    return measure_label_map(labels, CLASSES, pixel_size_um).layers[name].profile


def test_wedge_in_micrometres():
    x = np.arange(512)
    found = profile(section(SHAPE, 100 - 0.05 * x, 160 + 0.05 * x), pixel_size_um=0.5)
    assert np.all(np.diff(found.along) > 0)
    assert np.ptp(found.along) == pytest.approx(0.5 * 511, abs=1.0)
    slope, start = np.polyfit(found.along, found.thickness, 1)
    assert slope == pytest.approx(0.1, abs=0.001)
    assert start == pytest.approx(30.0, abs=0.3)


@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_ends_lie_on_the_boundaries_of_the_image_as_given(quarter_turns):
    upright = section(SHAPE, 90, 220, 240)
    found = profile(np.rot90(upright, quarter_turns))
    assert np.hypot(*(found.outer_xy - found.inner_xy).T) == pytest.approx(found.thickness)
    # Interfaces lie between two pixels, half a pixel above the first row of the lower class.
    row, column = 89.5, 219.5
    outer, inner = {
        0: (found.outer_xy[:, 1] - row, found.inner_xy[:, 1] - column),
        1: (found.outer_xy[:, 0] - row, found.inner_xy[:, 0] - column),
        2: (found.outer_xy[:, 1] - (299 - row), found.inner_xy[:, 1] - (299 - column)),
        3: (found.outer_xy[:, 0] - (299 - row), found.inner_xy[:, 0] - (299 - column)),
    }[quarter_turns]
    assert np.abs(outer).max() < 1e-4
    assert np.abs(inner).max() < 1e-4


def test_zero_where_the_layer_is_missing_nothing_where_a_boundary_is_not_in_the_frame():
    labels = section(SHAPE, 100, 220, 232)
    labels[:, 200:280] = np.where(labels[:, 200:280] == FEAL, STEEL, labels[:, 200:280])
    found = profile(labels, "FeAl")
    gap = found.thickness == 0
    assert gap.sum() == pytest.approx(80, abs=3)
    assert found.outer_xy[gap] == pytest.approx(found.inner_xy[gap])
    rounded = np.abs(found.thickness[~gap] - 12.0) > 1e-3  # within the smoothing's 3 px of the gap's ends
    assert rounded.sum() <= 6

    x = np.arange(512)
    leaving = profile(section(SHAPE, 100 - 0.5 * x, 180 - 0.2 * x))
    cut = np.isnan(leaving.thickness)
    assert 0.2 < cut.mean() < 0.8
    assert np.isnan(leaving.outer_xy[cut]).any(axis=1).all()
    assert np.isfinite(leaving.inner_xy[cut]).any()


def test_no_midline_no_profile():
    assert profile(section(SHAPE, 100, 220), "FeAl") is None
