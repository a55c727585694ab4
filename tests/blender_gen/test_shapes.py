"""Closed forms of projections, sizes asked for, poses, fractal agglomerates."""

import inspect

import numpy as np
import pytest

from blender_gen.shapes import (
    SHAPES,
    ecd_um,
    merged,
    particle,
    projected_area_um2,
    resting_rotation,
    strand,
    turned,
)
from blender_gen.shapes.compounds import aggregate, crusted_sausage
from blender_gen.shapes.meshes import about_z, centre_of_mass, random_rotation
from blender_gen.shapes.noise import roughness
from blender_gen.shapes.rasters import height_maps
from blender_gen.solids import icosphere, to_manifold

NAMES = sorted(SHAPES)


def box(x: float, y: float, z: float) -> tuple[np.ndarray, np.ndarray]:
    """Sharp box of edges x, y, z around the origin."""
    vertices, triangles = SHAPES["cube"].build(np.random.default_rng(0), rounding=0.0)
    vertices = vertices - (vertices.max(axis=0) + vertices.min(axis=0)) / 2
    return vertices / np.ptp(vertices, axis=0) * [x, y, z], triangles


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("detail_px", [12.0, 100.0])
def test_every_shape_is_a_solid_of_the_size_asked_for(name, detail_px):
    for seed in range(4):
        for pose in ("built", "resting", "random"):
            mesh = particle(name, np.random.default_rng(seed), 7.0, pose, detail_px=detail_px)
            solid = to_manifold(mesh)  # raises if it is not watertight
            assert solid.volume() > 0
            assert mesh[0].dtype == np.float64 and mesh[1].dtype == np.uint32
            assert ecd_um(mesh) == pytest.approx(7.0, rel=1e-5)
            low, high = mesh[0].min(axis=0), mesh[0].max(axis=0)
            assert low[2] == pytest.approx(0, abs=1e-9)
            np.testing.assert_allclose(low[:2] + high[:2], 0, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_seed_alone_decides(name):
    a, b = (particle(name, np.random.default_rng(5), 3.0) for _ in range(2))
    np.testing.assert_array_equal(a[0], b[0])
    np.testing.assert_array_equal(a[1], b[1])


@pytest.mark.parametrize("name", NAMES)
def test_signature_tells_what_a_shape_takes(name):
    names = list(inspect.signature(SHAPES[name]).parameters)
    assert names[:4] == ["rng", "ecd_um", "aspect", "detail_px"]
    SHAPES[name](np.random.default_rng(0), 2.0, 1.3, 20.0)


def test_projected_areas_of_a_box_follow_the_cosines():
    # A convex body's shadow is the sum over its faces of area times cosine, over two.
    edges = np.array([2.0, 3.0, 5.0])
    faces = np.array([15.0, 10.0, 6.0])
    rng = np.random.default_rng(1)
    for _ in range(20):
        rotation = random_rotation(rng)
        area = projected_area_um2(turned(box(*edges), rotation))
        assert area == pytest.approx(faces @ np.abs(rotation[2]), rel=1e-5)


def test_projected_area_of_an_ellipsoid():
    # Area of the shadow along unit vector u: pi abc sqrt(sum (u_i / a_i)^2).
    axes = np.array([3.0, 2.0, 1.0])
    ball, triangles = icosphere(5)
    rng = np.random.default_rng(2)
    for _ in range(10):
        rotation = random_rotation(rng)
        area = projected_area_um2(turned((ball * axes, triangles), rotation))
        exact = np.pi * axes.prod() * np.sqrt(((rotation[2] / axes) ** 2).sum())
        assert area == pytest.approx(exact, rel=1e-3)  # the mesh lies inside the ellipsoid


def test_projected_area_counts_overlap_once():
    ball, triangles = icosphere(5)
    both = merged([(ball, triangles), (ball + np.array([1.0, 0, 0]), triangles)])
    lens = 2 * np.arccos(0.5) - 0.5 * np.sqrt(3)
    assert projected_area_um2(both) == pytest.approx(2 * np.pi - lens, rel=1e-3)


def test_mean_shadow_of_a_convex_body_is_a_quarter_of_its_surface():
    # Cauchy's theorem; also shows that random poses are evenly distributed.
    rng = np.random.default_rng(3)
    mesh = box(1.0, 1.0, 4.0)
    areas = [projected_area_um2(turned(mesh, random_rotation(rng))) for _ in range(2000)]
    error = np.std(areas) / np.sqrt(len(areas))
    assert abs(np.mean(areas) - 18 / 4) < 4 * error


@pytest.mark.parametrize(("name", "options"), [("ellipsoid", {}), ("rod", {}), ("cube", {})])
def test_aspect_of_the_plan_view(name, options):
    for aspect in (1.0, 1.7, 4.0):
        mesh = SHAPES[name](np.random.default_rng(0), 5.0, aspect, 80.0, **options)
        length, width = np.ptp(mesh[0][:, :2], axis=0)
        assert length / width == pytest.approx(aspect, rel=0.01)


@pytest.mark.parametrize("name", ["rock", "rough_rock", "flake", "foil", "sausage", "pellet", "foam"])
def test_irregular_shapes_are_longer_for_a_larger_aspect(name):
    def mean_ratio(aspect: float) -> float:
        ratios = []
        for seed in range(12):
            vertices = SHAPES[name](np.random.default_rng(seed), 1.0, aspect, 40.0)[0][:, :2]
            spread = np.linalg.eigvalsh(np.cov(vertices.T))
            ratios.append(np.sqrt(spread[1] / spread[0]))
        return float(np.mean(ratios))

    assert 1.35 < mean_ratio(3.0) / mean_ratio(1.2) < 3.2


def test_rod_is_a_spherocylinder():
    mesh = SHAPES["rod"](np.random.default_rng(0), 10.0, 3.0, 200.0)
    width = np.ptp(mesh[0][:, 1])
    assert projected_area_um2(mesh) == pytest.approx(width**2 * (2 + np.pi / 4), rel=5e-3)
    assert to_manifold(mesh).volume() == pytest.approx(np.pi * width**3 * (2 / 4 + 1 / 6), rel=1e-2)


def test_droplet_is_a_cap_of_its_contact_angle():
    # Height over base radius of a spherical cap: tan(angle / 2).
    for angle in (40.0, 75.0):
        vertices, _ = SHAPES["droplet"](np.random.default_rng(0), 2.0, detail_px=200.0, contact_angle_deg=angle)
        assert vertices[:, 2].max() == pytest.approx(np.tan(np.radians(angle / 2)), rel=0.03)


def test_plate_thickness():
    mesh = SHAPES["plate"](np.random.default_rng(0), 4.0, thickness=0.2)
    assert np.ptp(mesh[0][:, 2]) == pytest.approx(0.8, rel=0.03)


def test_fibre_has_its_diameter_and_length():
    mesh = strand(np.random.default_rng(1), 2.0, 100.0, 200.0, section="round", curl=0.5)
    assert projected_area_um2(mesh) == pytest.approx(200.0, rel=0.05)  # the diameter varies along it
    assert to_manifold(mesh).volume() == pytest.approx(np.pi * 100, rel=0.1)
    assert np.ptp(mesh[0][:, 2]) == pytest.approx(2.0, rel=0.2)


def test_tangled_fibre_lies_over_itself():
    solid_heights = [
        np.ptp(strand(np.random.default_rng(s), 1.0, 150.0, section="round", curl=25)[0][:, 2]) for s in range(6)
    ]
    assert max(solid_heights) > 1.8  # two diameters where it crosses
    assert max(solid_heights) < 6


def test_fibre_refuses_an_unknown_section():
    with pytest.raises(ValueError, match="kidney"):
        strand(np.random.default_rng(0), 1.0, 10.0, section="square")


def test_pollen_refuses_an_unknown_kind():
    with pytest.raises(ValueError, match="echinate"):
        particle("pollen", np.random.default_rng(0), 1.0, kind="hairy")


def test_resting_bodies_lie_on_a_face_under_their_centre():
    for seed in range(10):
        mesh = particle("rock", np.random.default_rng(seed), 5.0)
        foot = mesh[0][mesh[0][:, 2] < 0.01]
        assert len(foot) >= 3
        middle = centre_of_mass(mesh)[:2]
        low, high = foot[:, :2].min(axis=0), foot[:, :2].max(axis=0)
        assert (low - 1e-6 <= middle).all() and (middle <= high + 1e-6).all()


def test_boxes_fall_on_their_broad_side():
    # Solid angle over height: a 4 x 4 x 1 box lies flat much more often than it stands.
    rng = np.random.default_rng(0)
    mesh = box(4.0, 4.0, 1.0)
    heights = np.array([np.ptp((mesh[0] @ resting_rotation(mesh, rng).T)[:, 2]) for _ in range(400)])
    flat = np.isclose(heights, 1.0, atol=1e-6)
    assert (flat | np.isclose(heights, 4.0, atol=1e-6)).all()
    assert 0.9 < flat.mean() <= 1.0


def test_cubes_rest_on_a_face_with_any_turn():
    rng = np.random.default_rng(0)
    turns = [particle("cube", rng, 2.0, rounding=0.0)[0] for _ in range(20)]
    assert all(np.ptp(v[:, 2]) == pytest.approx(np.sqrt(np.pi), rel=1e-4) for v in turns)
    assert np.std([np.ptp(v[:, 0]) for v in turns]) > 0.1


@pytest.mark.parametrize("dimension", [1.7, 1.8, 2.0])
def test_agglomerates_have_their_fractal_dimension(dimension):
    rng = np.random.default_rng(4)
    numbers = np.array([16, 32, 64, 128, 256, 512])
    gyration = []
    for n in numbers:
        radii = [np.sqrt((aggregate(rng, np.ones(n), dimension)[0] ** 2).sum(axis=1).mean()) for _ in range(6)]
        gyration.append(np.mean(radii))
    slope = np.polyfit(np.log(gyration), np.log(numbers), 1)[0]
    assert slope == pytest.approx(dimension, abs=0.12)
    np.testing.assert_allclose(gyration, (numbers / 1.3) ** (1 / dimension), rtol=0.2)


@pytest.mark.parametrize("number", [1, 2, 3, 7, 50, 100])
def test_monomers_touch_and_do_not_overlap(number):
    rng = np.random.default_rng(number)
    centres, radii = aggregate(rng, rng.uniform(0.7, 1.3, number))
    assert centres.shape == (number, 3) and radii.shape == (number,)
    gaps = np.linalg.norm(centres[:, None] - centres, axis=2) - radii[:, None] - radii
    np.fill_diagonal(gaps, np.inf)
    assert gaps.min() > -1e-9
    touching = np.abs(gaps) < 1e-9
    reached = {0}
    while True:
        more = reached | set(np.flatnonzero(touching[sorted(reached)].any(axis=0)).tolist())
        if more == reached:
            break
        reached = more
    assert len(reached) == number


def test_monomer_share_sets_their_size():
    mesh = particle("agglomerate", np.random.default_rng(0), 10.0, "random", monomer_share=0.1, spread=1.0, overlap=0.0)
    parts = to_manifold(mesh).decompose()
    width = np.mean([part.bounding_box()[3] - part.bounding_box()[0] for part in parts])
    assert width == pytest.approx(1.0, rel=0.25)


def test_the_crust_of_tyre_wear_lies_on_its_rubber():
    body, crust = crusted_sausage(np.random.default_rng(2), aspect=2.0)
    assert 0 < to_manifold(crust).volume() < 0.2 * to_manifold(body).volume()
    inside = np.linalg.norm(body[0][:, None] - crust[0][::50], axis=2).min(axis=0)
    assert inside.max() < 0.25 * np.ptp(body[0], axis=0).max()


@pytest.mark.parametrize("hurst", [0.4, 0.8])
def test_roughness_has_the_spectrum_of_a_self_affine_field(hurst):
    # Increments: <(h(x + r) - h(x))^2> = 2 (1 - C(r)), C the transform of k^-(2H + 3), flat below the outer scale.
    rng = np.random.default_rng(6)
    x = np.linspace(0, 2, 129)
    lines = np.array([roughness(rng, np.c_[x, 0 * x, 0 * x], 2.0, hurst) for _ in range(400)])
    k = np.linspace(1, 32, 2000)
    power = np.maximum(k, 2) ** -(2 * hurst + 3) * k**2
    for lag in (4, 8, 16, 32):
        phase = 2 * np.pi * k / 64 * (x[lag] * 16)  # the longest wavelength, 2, is 32 of 64 cells
        expected = 2 * (1 - (power * np.sin(phase) / phase).sum() / power.sum())
        assert np.mean((lines[:, lag:] - lines[:, :-lag]) ** 2) == pytest.approx(expected, rel=0.2)
    assert np.var(lines) == pytest.approx(1.0, rel=0.15)


def test_height_maps_of_a_sphere():
    ball, triangles = icosphere(5)
    cell = 0.05
    maps = height_maps((ball + np.array([2.0, 3.0, 1.0]), triangles), cell)
    rows, columns = np.indices(maps.upper_um.shape)
    x = (columns + maps.first[1] + 0.5) * cell - 2.0
    y = (rows + maps.first[0] + 0.5) * cell - 3.0
    inner = x**2 + y**2 < 0.9
    height = np.sqrt(1 - x[inner] ** 2 - y[inner] ** 2)
    slope = np.sqrt(x[inner] ** 2 + y[inner] ** 2) / height
    assert (np.abs(maps.upper_um[inner] - 1 - height) < 0.003 + 0.75 * cell * slope).all()
    assert (np.abs(maps.lower_um[inner] - 1 + height) < 0.003 + 0.75 * cell * slope).all()
    assert maps.covered.sum() * cell**2 == pytest.approx(np.pi, rel=0.08)  # cells with a vertex count whole
    assert (np.isinf(maps.upper_um) == np.isinf(maps.lower_um)).all()


def test_turning_about_z_keeps_the_shadow():
    mesh = particle("rock", np.random.default_rng(1), 4.0)
    assert projected_area_um2(turned(mesh, about_z(0.7))) == pytest.approx(projected_area_um2(mesh), rel=1e-5)
