"""Plane cuts and volumes of meshes against closed form and against Manifold."""

import numpy as np
import pytest

from blender_gen.slicing import area_um2, rings, volume_um3
from blender_gen.solids import blob, icosphere, sheet, to_manifold
from semforge.errors import RejectedSpecimen

BOX = sheet(np.array([0.0, 2.0]), np.array([-1.0, 3.0]), np.zeros((2, 2)), np.full((2, 2), 5.0))


def test_a_box_is_cut_to_a_rectangle():
    (ring,) = rings(BOX)
    assert area_um2((ring,)) == pytest.approx(10.0)
    assert (ring.min(axis=0).tolist(), ring.max(axis=0).tolist()) == ([0, 0], [2, 5])


def test_a_plane_that_misses_cuts_nothing():
    assert rings(BOX, 3.5) == rings(BOX, -1.5) == ()


def test_vertices_in_the_plane_leave_no_doubled_points():
    vertices, triangles = icosphere(2)
    (ring,) = rings((np.round(vertices, 12) * 3.0, triangles))
    assert np.all(np.linalg.norm(ring - np.roll(ring, 1, axis=0), axis=1) > 0)
    assert area_um2((ring,)) == pytest.approx(np.pi * 9, rel=0.02)


@pytest.mark.parametrize("z", [-0.6, 0.0, 0.35])
def test_a_sphere_is_cut_to_an_inscribed_disc(z):
    vertices, triangles = icosphere(5)
    (ring,) = rings((vertices * 2.0, triangles), z)
    radius = np.sqrt(4 - z**2)
    assert np.hypot(*ring.T) == pytest.approx(np.full(len(ring), radius), rel=1e-3)
    assert area_um2((ring,)) == pytest.approx(np.pi * radius**2, rel=2e-3)


def test_a_shell_is_cut_to_a_ring_with_a_hole():
    vertices, triangles = icosphere(4)
    shell = np.concatenate([vertices * 3, vertices]), np.concatenate([triangles, triangles[:, ::-1] + len(vertices)])
    cut = rings(shell, 0.1)
    areas = sorted(area_um2((ring,)) for ring in cut)
    assert areas == pytest.approx([-np.pi * 0.99, np.pi * 8.99], rel=5e-3)


def test_polygons_are_those_of_manifold():
    rng = np.random.default_rng(4)
    for _ in range(30):
        vertices, triangles = blob(rng, np.array([5.0, 3.0, 2.0]), np.eye(3), 0.25)
        mesh = vertices + np.array([0, 0, rng.uniform(-1, 1)]), triangles
        region = to_manifold(mesh).slice(0.0)
        assert len(rings(mesh)) == len(region.to_polygons())
        assert area_um2(rings(mesh)) == pytest.approx(region.area(), rel=1e-5)
        assert volume_um3(mesh) == pytest.approx(to_manifold(mesh).volume(), rel=1e-5)


def test_an_open_mesh_is_refused():
    vertices, triangles = icosphere(1)
    with pytest.raises(RejectedSpecimen, match="no solid"):
        rings((vertices, triangles[vertices[triangles, 2].max(axis=1).argsort()][:-30]), 0.1)


def test_volume_of_an_ellipsoid():
    unit, triangles = icosphere(5)
    mesh = unit * [3.0, 2.0, 1.0], triangles
    assert volume_um3(mesh) == pytest.approx(4 / 3 * np.pi * 6, rel=2e-3)
