"""Contact without interpenetration, densities that can be reached, refusals."""

import numpy as np
import pytest

from blender_gen.packing import balls, deposit, sphere_radius
from blender_gen.shapes import particle, strand
from blender_gen.solids import to_manifold
from semforge.errors import RejectedSpecimen

MODES = ["monolayer", "relaxed", "dropped", "clustered"]


def spheres(rng, number, spread=0.25, median=2.0):
    return [particle("sphere", rng, d, detail_px=20) for d in median * np.exp(rng.normal(scale=spread, size=number))]


def side_for(meshes, coverage):
    area = sum(np.prod(np.ptp(m[0][:, :2], axis=0)) * np.pi / 4 for m in meshes)
    return float(np.sqrt(area / coverage))


def centres_and_radii(meshes, laid):
    placed = [laid.place(k, m)[0] for k, m in enumerate(meshes)]
    centres = np.array([(v.max(axis=0) + v.min(axis=0)) / 2 for v in placed])
    return centres, np.array([sphere_radius(m) for m in meshes])


def gaps(centres, radii):
    found = np.linalg.norm(centres[:, None] - centres, axis=2) - radii[:, None] - radii
    np.fill_diagonal(found, np.inf)
    return found


def shared_volumes(meshes, laid):
    """Volume that two bodies share over that of the smaller, of all pairs whose boxes meet."""
    solids = [to_manifold(laid.place(k, m)) for k, m in enumerate(meshes)]
    boxes = np.array([s.bounding_box() for s in solids])
    shares = []
    for i in range(len(solids)):
        for j in range(i):
            if (boxes[i, :3] < boxes[j, 3:]).all() and (boxes[j, :3] < boxes[i, 3:]).all():
                shares.append((solids[i] ^ solids[j]).volume() / min(solids[i].volume(), solids[j].volume()))
    return np.array(shares)


@pytest.mark.parametrize("mode", MODES)
def test_spheres_do_not_interpenetrate_and_rest_on_something(mode):
    rng = np.random.default_rng(1)
    meshes = spheres(rng, 120)
    side = side_for(meshes, 0.5 if mode == "relaxed" else 0.4)
    centres, radii = centres_and_radii(meshes, deposit(meshes, side, side, rng, mode))
    found = gaps(centres, radii)
    assert (found > -4e-3 * radii.min()).all()
    on_floor = np.abs(centres[:, 2] - radii) < 1e-6
    assert (centres[:, 2] - radii > -1e-6).all()
    touches = (found < 1e-2 * radii.min()).any(axis=1)
    assert (on_floor | touches).all()
    if mode in ("monolayer", "relaxed"):
        assert on_floor.all()


def test_dropped_spheres_are_held_from_three_sides():
    rng = np.random.default_rng(2)
    meshes = spheres(rng, 200, spread=0.0)
    side = side_for(meshes, 1.2)
    centres, radii = centres_and_radii(meshes, deposit(meshes, side, side, rng))
    raised = centres[:, 2] > radii * 1.05
    assert raised.mean() > 0.2
    contacts = (gaps(centres, radii)[raised] < 0.02).sum(axis=1)
    assert np.mean(contacts >= 3) > 0.8


def test_a_sphere_rolls_into_the_hollow_of_three():
    # On three touching unit spheres a fourth rests in the corner of a regular tetrahedron.
    base = np.array([[0, 0, 1], [2, 0, 1], [1, np.sqrt(3), 1]])
    spot = balls.settled(np.array([1.1, 0.4]), 1.0, base, np.ones(3))
    np.testing.assert_allclose(spot, [1, 1 / np.sqrt(3), 1 + np.sqrt(8 / 3)], atol=5e-3)


def test_a_sphere_on_the_edge_of_another_falls_to_the_floor():
    spot = balls.settled(np.array([0.3, 0.0]), 1.0, np.array([[0, 0, 1.0]]), np.ones(1))
    assert spot[2] == 1.0
    assert np.hypot(spot[0], spot[1]) >= 2


def test_random_addition_of_equal_discs_ends_below_its_limit():
    # Saturation of random sequential addition: 0.547 (Feder 1980, 10.1016/0022-5193(80)90358-6).
    rng = np.random.default_rng(3)
    fits = spheres(rng, 250, spread=0.0)
    deposit(fits, side_for(fits, 0.5), side_for(fits, 0.5), rng, "monolayer")
    with pytest.raises(RejectedSpecimen, match="of 250 particles were placed"):
        deposit(fits, side_for(fits, 0.66), side_for(fits, 0.66), rng, "monolayer")


def test_relaxation_reaches_three_quarters_and_refuses_the_impossible():
    rng = np.random.default_rng(4)
    meshes = spheres(rng, 200, spread=0.0)
    side = side_for(meshes, 0.75)
    centres, radii = centres_and_radii(meshes, deposit(meshes, side, side, rng, "relaxed"))
    assert (gaps(centres, radii) > -4e-3).all()
    side = side_for(meshes, 0.95)  # above the densest packing of equal discs, 0.9069
    with pytest.raises(RejectedSpecimen, match="pushed apart"):
        deposit(meshes, side, side, rng, "relaxed")


def test_islands_touch_where_scattered_spheres_do_not():
    rng = np.random.default_rng(5)
    meshes = spheres(rng, 150)
    side = side_for(meshes, 0.3)
    touching = {}
    for mode in ("monolayer", "clustered"):
        centres, radii = centres_and_radii(meshes, deposit(meshes, side, side, rng, mode, upper=0.0))
        touching[mode] = (gaps(centres, radii) < 1e-6).sum(axis=1)
    assert np.mean(touching["monolayer"] >= 1) < 0.05
    assert np.mean(touching["clustered"] >= 2) > 0.8


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["rock", "cube", "rod", "plate"])
def test_other_bodies_share_next_to_no_volume(mode, name):
    rng = np.random.default_rng(6)
    meshes = [particle(name, rng, d, detail_px=30) for d in 2 * np.exp(rng.normal(scale=0.2, size=50))]
    side = side_for(meshes, 0.3 if mode == "monolayer" else 0.45)
    laid = deposit(meshes, side, side, rng, mode, cell_um=0.05)
    shares = shared_volumes(meshes, laid)
    assert (shares < 0.01).all()
    assert laid.shifts_um[:, 2].min() > -1e-6
    if mode == "monolayer":
        np.testing.assert_allclose(laid.shifts_um[:, 2], 0, atol=1e-9)
    if mode == "dropped":
        assert (laid.shifts_um[:, 2] > 0.1).any()


def test_a_stack_of_cubes_has_no_gaps():
    meshes = [particle("cube", np.random.default_rng(0), 2.0, "built", rounding=0.0)] * 5
    edge = np.ptp(meshes[0][0][:, 2])
    laid = deposit(meshes, 0.05, 0.05, np.random.default_rng(0), "dropped", cell_um=0.05)  # a region of one cell
    np.testing.assert_allclose(np.sort(laid.shifts_um[:, 2]), edge * np.arange(5), atol=1e-6)


def test_a_body_lies_on_the_highest_point_of_a_rough_substrate():
    rng = np.random.default_rng(7)
    substrate = np.zeros((80, 80))
    substrate[40, 40] = 0.5
    meshes = [particle("plate", rng, 2.0, "built")]
    laid = deposit(meshes, 0.05, 0.05, rng, "dropped", cell_um=0.05, substrate_um=substrate[40:41, 40:41])
    assert laid.shifts_um[0, 2] == pytest.approx(0.5)
    many = [particle("rock", rng, 1.0, detail_px=20) for _ in range(20)]
    hills = rng.normal(scale=0.05, size=(60, 60))
    laid = deposit(many, 10.0, 10.0, rng, "monolayer", substrate_um=hills)
    assert (laid.shifts_um[:, 2] > 0).all() and (laid.shifts_um[:, 2] <= hills.max() + 1e-9).all()


def test_spheres_on_a_raised_flat_substrate():
    rng = np.random.default_rng(8)
    meshes = spheres(rng, 10)
    laid = deposit(meshes, 20.0, 20.0, rng, "monolayer", substrate_um=np.full((4, 4), 3.0))
    np.testing.assert_allclose(laid.shifts_um[:, 2], 3.0, atol=1e-9)


def test_flexible_fibres_drape_over_what_they_cross():
    rng = np.random.default_rng(9)
    meshes = [strand(rng, 1.0, 40.0, 300.0, section="round", curl=0.3) for _ in range(8)]
    laid = deposit(meshes, 12.0, 12.0, rng, "dropped", cell_um=0.1, flexible=[True] * 8)
    placed = [laid.place(k, m) for k, m in enumerate(meshes)]
    tops = np.array([v[:, 2].max() for v, _ in placed])
    bottoms = np.array([v[:, 2].min() for v, _ in placed])
    assert tops.max() > 1.7  # over another
    assert np.mean(bottoms < 0.05) > 0.6  # and down to the floor beside it
    assert (shared_volumes(meshes, laid) < 0.01).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["sphere", "rock"])
def test_seed_alone_decides(mode, name):
    rng = np.random.default_rng(0)
    meshes = [particle(name, rng, 2.0, detail_px=20) for _ in range(30)]
    side = side_for(meshes, 0.3)
    a, b = (deposit(meshes, side, side, np.random.default_rng(3), mode) for _ in range(2))
    np.testing.assert_array_equal(a.shifts_um, b.shifts_um)


def test_places_are_inside_the_region():
    rng = np.random.default_rng(10)
    meshes = [particle("rock", rng, 2.0, detail_px=20) for _ in range(40)]
    for mode in MODES:
        laid = deposit(meshes, 30.0, 18.0, rng, mode, cell_um=0.1)
        assert (laid.shifts_um[:, :2] > -0.1).all()
        assert (laid.shifts_um[:, 0] < 30.2).all() and (laid.shifts_um[:, 1] < 18.2).all()


def test_nothing_to_lay():
    assert deposit([], 1.0, 1.0, np.random.default_rng(0)).shifts_um.shape == (0, 3)


def test_full_region_is_refused_with_what_was_reached():
    rng = np.random.default_rng(11)
    meshes = [particle("rock", rng, 2.0, detail_px=20) for _ in range(80)]
    side = side_for(meshes, 1.0)
    with pytest.raises(RejectedSpecimen, match=r"of 80 particles were placed, covering 0\.\d\d of the region"):
        deposit(meshes, side, side, rng, "monolayer")
