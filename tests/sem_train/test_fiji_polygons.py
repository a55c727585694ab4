"""Masks to outlines and back, by the centres of pixels as ImageJ does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from scipy import ndimage

from sem_train.fiji.polygons import inside, outlines


@st.composite
def masks(draw):
    """Blobs of any coarseness, some of them at the frame; without holes."""
    shape = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    noise = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).normal(size=shape)
    coarse = ndimage.gaussian_filter(noise, draw(st.floats(0, 4)))
    return ndimage.binary_fill_holes(coarse > draw(st.floats(-0.5, 0.5)) * coarse.std())


@settings(max_examples=100, deadline=None)
@given(masks())
def test_outlines_enclose_the_mask_pixel_for_pixel(mask):
    found = outlines(mask)
    assert len(found) == ndimage.label(mask, np.ones((3, 3)))[1]
    drawn = [inside([polygon], mask.shape) for polygon in found]
    assert np.array_equal(np.sum(drawn, axis=0) if drawn else np.zeros(mask.shape, int), mask)


@settings(max_examples=50, deadline=None)
@given(masks(), st.floats(-0.009, 0.009), st.floats(-0.009, 0.009))
def test_outlines_keep_off_the_centres_of_pixels(mask, x, y):
    for polygon in outlines(mask):
        where = inside([polygon], mask.shape)
        assert np.array_equal(inside([(polygon + np.array([x, y])).astype(np.float32)], mask.shape), where)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-5, 25), st.floats(-5, 25)), min_size=3, max_size=3, unique=True))
def test_a_triangle_has_the_pixels_whose_centres_it_contains(corners):
    polygon = np.array(corners)
    centres = np.stack(np.meshgrid(np.arange(20), np.arange(18)), axis=-1).reshape(-1, 2)
    apart = min(
        np.abs(np.cross(q - p, centres - p) / max(np.hypot(*(q - p)), 1e-9)).min()
        for p, q in zip(polygon, np.roll(polygon, -1, axis=0), strict=True)
    )
    if apart > 1e-6:  # no centre on an edge
        assert np.array_equal(inside([polygon], (18, 20)).ravel(), Outline(polygon).contains_points(centres))


def test_centres_on_a_boundary_go_as_in_imagej():
    # checked with ImageJ 1.53t: new PolygonRoi({1.5f, 4.5f, 4.5f, 1.5f}, {1.5f, 1.5f, 3.5f, 3.5f}, POLYGON).getMask()
    square = np.array([[1.0, 1.0], [4.0, 1.0], [4.0, 3.0], [1.0, 3.0]])
    assert np.argwhere(inside([square], (6, 6))).tolist() == [[2, 2], [2, 3], [2, 4], [3, 2], [3, 3], [3, 4]]


def test_neighbours_share_no_pixel_and_leave_none():
    left, right = (np.array([[a, -0.5], [b, -0.5], [b, 9.5], [a, 9.5]]) for a, b in ((-0.5, 4.0), (4.0, 9.5)))
    both = inside([left], (10, 10)).astype(int) + inside([right], (10, 10))
    assert (both == 1).all()


def test_a_polygon_in_another_is_a_hole():
    ring = [np.array([[0, 0], [9, 0], [9, 9], [0, 9]]) - 0.5, np.array([[3, 3], [6, 3], [6, 6], [3, 6]]) - 0.5]
    mask = inside(ring, (9, 9))
    assert mask.sum() == 81 - 9 and not mask[3:6, 3:6].any()


def test_what_lies_outside_the_image_is_cut_off():
    huge = np.array([[-1e6, -1e6], [1e6, -1e6], [1e6, 1e6], [-1e6, 1e6]])
    assert inside([huge], (5, 7)).all()
    assert not inside([huge + 3e6], (5, 7)).any()


@pytest.mark.parametrize("slope", [0.0, 0.1, 0.37])
def test_straight_interfaces_get_two_corners_a_step(slope):
    rows, columns = np.mgrid[:260, :400]
    (polygon,) = outlines((rows - slope * columns > 20) & (rows - slope * columns < 60))
    steps = 2 * slope * 400  # of the pixel staircase, both sides
    assert len(polygon) <= 2 * steps + 8
