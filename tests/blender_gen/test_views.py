"""What the beam sees of sections with open voids, and of bodies on a substrate, against closed form."""

from dataclasses import replace

import numpy as np
import pytest
from specimens import COATING, PORE, RESIN, SUBSTRATE, slab

from blender_gen.scene import RenderError
from blender_gen.section import cut
from blender_gen.solids import icosphere, sheet
from blender_gen.specimen import Body, View
from blender_gen.surfaces import height_and_normal
from blender_gen.views import flat_substrate, height_field, render_section, render_surfaces
from semforge.errors import RejectedSpecimen

VIEW = View((0.0, 0.0), 0.0, 160, 120, 0.25)


def sphere(x, y, z, radius, subdivisions=5):
    vertices, triangles = icosphere(subdivisions)
    return vertices * radius + [x, y, z], triangles


def distance(view, x, y):
    points = view.pixel_centres()
    return np.hypot(points[..., 0] - x, points[..., 1] - y)


def test_a_pore_that_opens_into_another_is_as_deep_as_both():
    specimen = slab(20.0, spheres=[(0, 10, 0, 4.0), (0, 10, -6, 4.0)])
    passes = render_section(cut(specimen))
    r = distance(specimen.view, 0, 10)
    deep, shallow = r < 2.5, (r > 2.75) & (r < 3.8)  # they meet in a ring of radius sqrt(7)
    assert passes.height_um[deep] == pytest.approx(-6 - np.sqrt(16 - r[deep] ** 2), abs=0.03)
    assert passes.height_um[shallow] == pytest.approx(-np.sqrt(16 - r[shallow] ** 2), abs=0.1)
    assert np.all(passes.instance[deep] == 1)
    assert np.all(passes.phase[deep] == PORE)


def test_the_wall_of_a_pore_is_the_layer_that_it_reaches():
    """The interface slopes away below the section: what is coating there is substrate further down."""
    specimen = slab(20.0, spheres=[(0, 4.0, 0, 3.5)])
    coating, substrate = specimen.strata[1:]
    rise = -2.0 * specimen.z_um[:, None] * np.ones_like(coating.inner_um)
    tilted = [
        specimen.strata[0],
        type(coating)(COATING, coating.outer_um + rise, coating.inner_um + rise),
        type(substrate)(SUBSTRATE, substrate.outer_um + rise, substrate.inner_um),
    ]
    tilted[0] = type(coating)(RESIN, specimen.strata[0].outer_um + rise, coating.outer_um + rise)
    section = cut(type(specimen)(**{**specimen.__dict__, "strata": tuple(tilted)}))
    passes = render_section(section)
    y = section.view.pixel_centres()[..., 1]
    void = passes.phase == PORE
    expected = np.where(y > -2.0 * passes.height_um, COATING, SUBSTRATE)
    near = np.abs(y + 2.0 * passes.height_um) < 1e-3
    assert {COATING, SUBSTRATE} == set(np.unique(passes.wall[void]))
    assert np.all((passes.wall == expected)[void & ~near])
    assert np.all(passes.wall[~void] == passes.phase[~void])


def test_an_open_crack_is_as_deep_as_its_sheet():
    z, y = np.linspace(-8, 1, 10), np.linspace(3, 17, 15)
    half_width = np.full((10, 15), 0.8)
    specimen = slab(20.0)
    crack = Body(PORE, COATING, sheet(y, z, -half_width, half_width, along="y"), clipped=True)
    passes = render_section(cut(type(specimen)(**{**specimen.__dict__, "bodies": (crack,)})))
    points = specimen.view.pixel_centres()
    inside = (np.abs(points[..., 0]) < 0.79) & (np.abs(points[..., 1] - 10) < 6.9)
    assert inside.sum() > 100
    assert np.all(passes.phase[inside] == PORE)
    assert passes.height_um[inside] == pytest.approx(-8, abs=1e-6)
    assert passes.normal[inside] == pytest.approx(np.tile([0, 0, 1], (inside.sum(), 1)), abs=1e-6)


@pytest.mark.parametrize("tilt", [0.0, 35.0])
def test_normals_of_a_pore_point_to_its_middle_in_the_picture(tilt):
    specimen = slab(20.0, spheres=[(0, 10, 0, 6.0)], tilt_deg=tilt)
    passes = render_section(cut(specimen))
    view = specimen.view
    local = (view.pixel_centres() - [0, 10]) @ view.axes.T
    inside = np.hypot(*np.moveaxis(local, -1, 0)) < 5
    assert passes.normal[inside][:, :2] == pytest.approx(-local[inside] / 6, abs=0.02)
    assert np.linalg.norm(passes.normal, axis=-1) == pytest.approx(1, abs=1e-5)


def test_a_sphere_on_a_wafer():
    view = View((2.0, 1.0), 25.0, 160, 120, 0.25)
    passes = render_surfaces(view, [(3, sphere(4, 2, 5.0, 5.0))], flat_substrate(view, 1), paths=True)
    r = distance(view, 4, 2)
    on, off = r < 4.5, r > 5.01
    cap = np.sqrt(25 - r[on] ** 2)
    assert (set(passes.phase[on]), set(passes.phase[off])) == ({3}, {1})
    assert (set(passes.instance[on]), set(passes.instance[off])) == ({1}, {0})
    assert passes.height_um[on] == pytest.approx(5 + cap, abs=0.02)
    assert not passes.height_um[off].any()
    assert passes.normal[on][:, 2] == pytest.approx(cap / 5, abs=0.02)
    assert passes.path_um[3][on] == pytest.approx(2 * cap, abs=0.03)
    assert set(passes.path_um) == {3}


def test_the_higher_body_hides_the_lower_one():
    bodies = [(1, sphere(0, 0, 2, 2.0)), (1, sphere(1, 0, 8, 2.0)), (2, sphere(-1, 0, 5, 2.0))]
    passes = render_surfaces(VIEW, bodies, flat_substrate(VIEW, 0))
    upper, middle, lower = distance(VIEW, 1, 0) < 1.99, distance(VIEW, -1, 0) < 1.99, distance(VIEW, 0, 0) < 1.99
    assert np.all(passes.instance[upper] == 2)
    assert np.all(passes.instance[middle & ~(distance(VIEW, 1, 0) < 2.01)] == 3)
    rest = lower & ~(distance(VIEW, 1, 0) < 2.01) & ~(distance(VIEW, -1, 0) < 2.01)
    assert np.all(passes.instance[rest] == 1)


def test_edges_of_a_cube_stay_sharp():
    flat = np.zeros((2, 2))
    cube = sheet(np.array([-5.0, 5.0]), np.array([0.0, 10.0]), flat - 5, flat + 5)
    passes = render_surfaces(VIEW, [(1, cube)], flat_substrate(VIEW, 0))
    assert passes.normal[passes.phase == 1] == pytest.approx(np.tile([0, 0, 1], (1600, 1)), abs=1e-6)
    assert np.all(passes.height_um[passes.phase == 1] == 10)


def test_a_substrate_of_heights():
    x, y = np.linspace(-25, 25, 51), np.linspace(-20, 20, 41)
    passes = render_surfaces(VIEW, [], height_field(2, x, y, 0.5 * x[None, :] + 0 * y[:, None]))
    assert passes.height_um == pytest.approx(0.5 * VIEW.pixel_centres()[..., 0], abs=1e-5)
    assert passes.normal[60, 80] == pytest.approx([-1 / np.sqrt(5), 0, 2 / np.sqrt(5)], abs=1e-5)
    assert np.all(passes.phase == 2)


def test_sixty_thousand_instances_are_told_apart():
    view = View((0.0, 0.0), 0.0, 245, 245, 1.0)
    vertices, triangles = icosphere(0)
    centres = view.pixel_centres().reshape(-1, 2)[:60_000]
    bodies = [(1, (vertices * 0.4 + [x, y, 1.0], triangles)) for x, y in centres]
    passes = render_surfaces(view, bodies, flat_substrate(view, 0))
    assert np.array_equal(passes.instance.ravel()[:60_000], np.arange(1, 60_001))
    assert not passes.instance.ravel()[60_000:].any()


def test_a_substrate_must_cover_the_frame():
    small = View((0.0, 0.0), 0.0, 40, 40, 0.25)
    with pytest.raises(RenderError, match="cover the frame"):
        render_surfaces(VIEW, [], flat_substrate(small, 0))


def test_a_point_outside_its_triangle_by_rounding_takes_the_edge():
    mesh = np.array([[0, 0, 1.0], [1, 0, 1], [0, 1, 2]]), np.array([[0, 1, 2]], dtype=np.uint32)
    z, _ = height_and_normal(mesh, np.array([0, 0]), np.array([[0.2, -1e-6], [0.0, 1.0]]))
    assert z == pytest.approx([1.0, 2.0], abs=1e-5)


def test_more_bodies_than_can_be_stacked_are_a_draw_that_is_rejected():
    section = cut(slab(20.0, spheres=[(0, 10, 0, 1.0)], subdivisions=1))
    with pytest.raises(RejectedSpecimen, match="40001 bodies"):
        render_section(replace(section, outlines=section.outlines * 40_001))
