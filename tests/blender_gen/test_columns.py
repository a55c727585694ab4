"""Crossings of the beam's columns with closed meshes, against closed form."""

import numpy as np
import pytest

from blender_gen.columns import crossings, facing_up, floors, thickness_um
from blender_gen.solids import blob, icosphere, sheet
from blender_gen.specimen import View
from blender_gen.surfaces import bodies_as_facets

VIEW = View((3.0, -2.0), 20.0, 120, 90, 0.25)


def sphere(x, y, z, radius, subdivisions=5):
    vertices, triangles = icosphere(subdivisions)
    return vertices * radius + [x, y, z], triangles


def box(x, y, z):
    return sheet(np.array(x), np.array(z), np.full((2, 2), y[0]), np.full((2, 2), y[1]))


def both(*meshes):
    return bodies_as_facets([(0, 0, mesh) for mesh in meshes]).mesh


def distance(x, y):
    points = VIEW.pixel_centres()
    return np.hypot(points[..., 0] - x, points[..., 1] - y)


def test_pixel_centres_are_whole_numbers_in_the_picture():
    rows, columns = np.indices((90, 120))
    assert VIEW.to_picture(VIEW.pixel_centres()) == pytest.approx(np.stack([columns, rows], axis=-1), abs=1e-9)


def test_a_sphere_is_as_thick_as_its_chords():
    thick = thickness_um(VIEW, sphere(4.0, -1.0, 50.0, 6.0))
    r = distance(4.0, -1.0)
    chord = 2 * np.sqrt(np.maximum(36 - r**2, 0))
    assert thick[r < 5.5] == pytest.approx(chord[r < 5.5], abs=0.02)
    assert not thick[r > 6].any()
    assert thick.sum() * 0.25**2 == pytest.approx(4 / 3 * np.pi * 6**3, rel=5e-3)


def test_a_box_on_the_pixel_grid_is_the_same_everywhere():
    view = View((0.0, 0.0), 0.0, 40, 40, 1.0)
    thick = thickness_um(view, box((-8, 7), (-5, 10), (0, 3.5)))
    assert thick[10:25, 12:27] == pytest.approx(3.5, abs=1e-12)
    assert (thick > 0).sum() == 15 * 15


def test_thicknesses_add_and_do_not_depend_on_height():
    one, other = sphere(0, 0, 4, 3.0, 3), sphere(2, 1, -20, 3.0, 3)
    total = thickness_um(VIEW, both(one, other))
    assert total == pytest.approx(thickness_um(VIEW, one) + thickness_um(VIEW, other), abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_every_column_leaves_a_closed_mesh_as_often_as_it_enters(seed):
    """Also where edges and vertices lie exactly on pixel centres."""
    rng = np.random.default_rng(seed)
    view = View((0.0, 0.0), 0.0, 64, 64, 1.0)
    vertices, triangles = blob(rng, np.array([25.0, 14.0, 9.0]), np.eye(3), 0.3, 4)
    mesh = np.round(vertices * 2) / 2, triangles
    found = crossings(view, mesh)
    sign = np.where(facing_up(mesh)[found.triangle], 1, -1)
    assert len(found.pixel) > 1000
    assert not np.bincount(found.pixel, weights=sign, minlength=64 * 64).any()


def test_the_floor_of_a_pore():
    mesh = sphere(4.0, -1.0, 2.0, 6.0)
    floor = floors(VIEW, mesh)
    disc = np.sqrt(36 - 4)
    r = distance(4.0, -1.0)
    assert np.all(floor[r < disc - 0.05] >= 0)
    assert np.all(floor[r > disc + 0.05] == -1)
    depth = mesh[0][mesh[1][floor[r < 4]], 2].mean(axis=1)
    assert depth == pytest.approx(2 - np.sqrt(36 - r[r < 4] ** 2), abs=0.15)


def test_overlapping_pores_are_one():
    """Through the upper one into the lower one, but not across solid into a third."""
    meshes = sphere(4, -1, 0, 3.0), sphere(4, -1, -4, 3.0), sphere(4, -1, -20, 3.0)
    mesh = both(*meshes)
    floor = floors(VIEW, mesh)
    r = distance(4, -1)
    body = floor // len(meshes[0][1])
    assert np.all(body[r < 2.1] == 1)  # the lens that the first two share ends at sqrt(5)
    assert np.all(body[(r > 2.35) & (r < 2.9)] == 0)
    assert np.all(floor[r > 3.05] == -1)
    swapped = floors(VIEW, both(*meshes[::-1])) // len(meshes[0][1])
    assert np.array_equal(np.where(swapped >= 0, 2 - swapped, -1), body)


def test_a_picture_without_bodies():
    assert np.all(floors(VIEW, both()) == -1)
    assert not thickness_um(VIEW, both()).any()
