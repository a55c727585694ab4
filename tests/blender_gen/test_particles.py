"""Deposits of particles: what the label maps and the truth say, against geometry known in closed form."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from particle_recipes import recipe

from blender_gen.deposits.deposit import Deposit, Ground, Lot, Mould, Particle, Skin, feret_diameters
from blender_gen.deposits.ground import make_ground
from blender_gen.deposits.pixel_noise import pixel_field
from blender_gen.deposits.view import audit_deposit, render_deposit
from blender_gen.device import Device
from blender_gen.families.particles import make_deposit
from blender_gen.recipe.particles import Substrate
from blender_gen.shapes import particle
from blender_gen.specimen import View
from blender_gen.truth.particles import deposit_truth
from semforge.errors import RejectedSpecimen

VIEW = View((0.0, 0.0), 0.0, 200, 160, 0.1)
PLAIN = Skin(0, 1, 0, 1, 0, 1)
LOTS = (Lot("grain", 1, False, PLAIN), Lot("dust", 0, True, PLAIN))


def mould(shape="sphere", detail_px=200, **options):
    return Mould(particle(shape, np.random.default_rng(0), 1.0, detail_px=detail_px, **options))


BALL = mould()


def ball(x, y, ecd, z=0.0, lot=0, brightness=1.0):
    return Particle(BALL, ecd, 0.0, (x, y, z), lot, 1 if lot == 0 else 0, brightness)


def deposit(*particles, ground_um=0.0, paths=False, skin=PLAIN):
    shape = (VIEW.height_px, VIEW.width_px)
    height = np.full(shape, ground_um, dtype=np.float32)
    ground = Ground(height, np.zeros(shape, bool), np.zeros(shape, np.float32))
    lots = (Lot("grain", 1, False, skin), LOTS[1])
    return Deposit(VIEW, ground, lots, particles, ("plate", "grain"), 7, paths)


def seen(*particles, **options):
    built = deposit(*particles, **options)
    passes = render_deposit(built, Device(threads=1))
    audit_deposit(built, passes)
    return passes, deposit_truth(built, passes)


def test_a_sphere_alone_is_a_disc_of_its_diameter():
    passes, truth = seen(ball(1, -2, 6.0))
    (record,) = truth["particles"]
    assert record["ecd_um"] == pytest.approx(6.0, rel=2e-3)
    assert record["projected_area_um2"] == pytest.approx(np.pi * 9, rel=4e-3)
    assert record["visible_area_um2"] == pytest.approx(np.pi * 9, rel=0.01)
    assert record["feret_max_um"] == pytest.approx(6.0, rel=5e-3)
    assert record["aspect"] == pytest.approx(1.0, abs=0.01)
    assert record["height_um"] == pytest.approx(6.0, rel=5e-3)
    assert not record["cut_by_frame"]
    assert record["occluded_fraction"] == pytest.approx(0, abs=0.01)
    column, row = np.rint(VIEW.to_picture(np.array([1.0, -2.0]))).astype(int)
    assert passes.instance[row, column] == 1
    assert passes.height_um[row, column] == pytest.approx(6.0, abs=0.02)


def test_of_two_spheres_over_each_other_the_upper_is_seen_and_the_lower_loses_the_lens():
    """Circles of radius r at the distance r overlap in a lens of r^2 (2 pi/3 - sqrt(3)/2)."""
    r = 3.0
    _, truth = seen(ball(0, 0, 2 * r), ball(r, 0, 2 * r, z=np.sqrt(3) * r))
    lower, upper = truth["particles"]
    lens = r**2 * (2 * np.pi / 3 - np.sqrt(3) / 2)
    assert upper["occluded_fraction"] == pytest.approx(0, abs=0.01)
    assert lower["occluded_fraction"] == pytest.approx(lens / (np.pi * r**2), abs=0.01)
    assert lower["projected_area_um2"] == pytest.approx(np.pi * r**2, rel=4e-3)


def test_a_sphere_cut_by_the_frame_shows_half_but_has_its_whole_shadow():
    _, truth = seen(ball(10.0, 0, 6.0))
    (record,) = truth["particles"]
    assert record["cut_by_frame"]
    assert record["visible_area_um2"] == pytest.approx(np.pi * 4.5, rel=0.02)
    assert record["projected_area_um2"] == pytest.approx(np.pi * 9, rel=4e-3)
    assert record["occluded_fraction"] == pytest.approx(0, abs=0.02)


def test_a_sphere_sunk_to_three_quarters_shows_its_cap():
    """At the height h over the middle the cap's radius is sqrt(r^2 - h^2)."""
    _, truth = seen(ball(0, 0, 8.0, z=-6.0))
    assert truth["particles"][0]["visible_area_um2"] == pytest.approx(np.pi * (16 - 4), rel=0.02)
    assert truth["particles"][0]["occluded_fraction"] == pytest.approx(0.25, abs=0.01)


def test_a_particle_outside_the_frame_is_not_in_the_truth_and_a_hidden_one_is():
    _, truth = seen(ball(0, 0, 2.0), ball(0, 0, 8.0, z=2.0), ball(40, 0, 6.0))
    assert [r["instance"] for r in truth["particles"]] == [1, 2]
    assert truth["particles"][0]["visible_area_um2"] == 0
    assert truth["populations"]["grain"]["number"] == 1
    assert truth["populations"]["grain"]["number_hidden"] == 1


def test_a_particle_beside_a_corner_of_the_frame_is_not_a_hidden_one():
    """The square around it reaches into the frame of 20 µm by 16 µm, its shadow does not."""
    _, truth = seen(ball(0, 0, 2.0), ball(10 + 2.5, 8 + 2.5, 6.0))
    assert [r["instance"] for r in truth["particles"]] == [1]
    assert truth["populations"]["grain"]["number_hidden"] == 0


def test_debris_is_substrate_in_the_label_maps_and_not_in_the_truth():
    passes, truth = seen(ball(0, 0, 4.0, lot=1), ball(5, 0, 2.0))
    assert set(np.unique(passes.instance)) == {0, 1}
    assert (passes.instance > 0).sum() == pytest.approx(np.pi * 100, rel=0.05)
    assert len(truth["particles"]) == 1
    assert passes.height_um.max() == pytest.approx(4.0, abs=0.02)  # it is there, though


def test_percentiles_of_sizes_are_of_the_particles_that_are_seen():
    _, truth = seen(*(ball(x, y, d) for x, y, d in [(-7, 0, 1.0), (-3, 0, 2.0), (0, 0, 3.0), (4, 0, 4.0), (7, 4, 5.0)]))
    population = truth["populations"]["grain"]
    assert population["d50_um"] == pytest.approx(3.0, rel=5e-3)
    assert population["d10_um"] == pytest.approx(1.4, rel=5e-3)
    assert population["coverage"] == pytest.approx(np.pi / 4 * 55 / 320, rel=0.01)


def test_the_way_through_a_sphere_is_its_chord_and_overlapping_ways_add():
    r = 3.0
    passes, _ = seen(ball(0, 0, 2 * r), ball(r, 0, 2 * r, z=np.sqrt(3) * r), paths=True)
    points = VIEW.pixel_centres()
    expected = sum(2 * np.sqrt(np.maximum(r**2 - (points[..., 0] - x) ** 2 - points[..., 1] ** 2, 0)) for x in (0.0, r))
    assert passes.path_um[1] == pytest.approx(expected, abs=0.25)  # facets at the rim
    assert np.abs(passes.path_um[1] - expected).mean() < 0.01


def test_brightness_belongs_to_the_particle():
    passes, _ = seen(ball(-4, 0, 3.0, brightness=0.5), ball(4, 0, 3.0, brightness=2.0))
    assert np.all(passes.shade[passes.instance == 1] == 0.5)
    assert np.all(passes.shade[passes.instance == 2] == 2.0)
    assert np.all(passes.shade[passes.instance == 0] == 1.0)


def test_fine_relief_tilts_normals_by_the_slope_that_was_asked_for():
    passes, _ = seen(ball(0, 0, 14.0), skin=Skin(0, 1, 0, 1, 0.3, 0.8))
    plain, _ = seen(ball(0, 0, 14.0))
    top = (plain.normal[..., 2] > 0.97) & (plain.instance == 1)
    added = passes.normal[top][:, :2] / passes.normal[top][:, 2:] - plain.normal[top][:, :2] / plain.normal[top][:, 2:]
    assert np.sqrt((added**2).sum(axis=1).mean()) == pytest.approx(0.3, rel=0.15)
    assert np.array_equal(passes.normal[passes.instance == 0], plain.normal[plain.instance == 0])
    assert np.linalg.norm(passes.normal, axis=-1) == pytest.approx(1.0, abs=1e-5)


def test_domains_are_constant_patches_within_a_particle():
    passes, _ = seen(ball(-5, 0, 8.0), ball(5, 0, 8.0), skin=Skin(0, 1, 0.3, 4.0, 0, 1))
    levels = [np.unique(passes.shade[passes.instance == k].round(5)) for k in (1, 2)]
    assert 1 < len(levels[0]) <= 8
    assert not set(levels[0]) & set(levels[1])


def test_the_audit_refuses_labels_that_do_not_belong_to_their_population():
    built = deposit(ball(0, 0, 4.0))
    passes = render_deposit(built, Device(threads=1))
    passes.phase[80, 100] = 0
    with pytest.raises(RejectedSpecimen, match="disagree"):
        audit_deposit(built, passes)


def test_feret_diameters_of_a_rectangle():
    """4 by 3: the diagonal is 5, the narrowest gap 3."""
    assert feret_diameters(np.array([[0, 0], [4, 0], [4, 3], [0, 3], [2, 1]])) == pytest.approx((5.0, 3.0))


@settings(max_examples=25, deadline=None)
@given(st.floats(0, np.pi), st.floats(0.2, 5))
def test_turning_and_scaling_a_particle_keep_its_shape(turn, ecd):
    body = Particle(mould("cube", 40), ecd, turn, (1.0, 2.0, 0.0), 0, 1, 1.0)
    assert body.projected_area_um2 == pytest.approx(np.pi / 4 * ecd**2, rel=1e-4)
    assert abs(body.outline.area()) == pytest.approx(body.projected_area_um2, rel=1e-3)
    vertices = body.mesh[0]
    assert vertices[:, 2].min() == pytest.approx(0, abs=1e-6)
    low, high = vertices[:, :2].min(axis=0), vertices[:, :2].max(axis=0)
    outline = np.concatenate(body.outline.to_polygons())
    assert outline.min(axis=0) == pytest.approx(low, abs=2e-3 * ecd)
    assert outline.max(axis=0) == pytest.approx(high, abs=2e-3 * ecd)


@pytest.mark.parametrize("correlation_px", [2.0, 12.0])
def test_a_field_on_pixels_has_unit_variance_and_the_correlation_that_was_asked_for(correlation_px):
    field = np.stack([pixel_field(np.random.default_rng(k), (256, 256), correlation_px) for k in range(6)])
    assert field.var() == pytest.approx(1.0, abs=0.1)
    shift = round(correlation_px)
    correlation = (field[:, :, shift:] * field[:, :, :-shift]).mean() / field.var()
    assert correlation == pytest.approx(np.exp(-1), abs=0.06)


def test_holes_cover_the_share_that_was_asked_for():
    substrate = Substrate(
        kind="filter", material="polymer", holes={"diameter_um": 0.6, "coverage": 0.15, "depth_um": 5.0}
    )
    cover = [make_ground(substrate, VIEW, np.random.default_rng(k)).hole.mean() for k in range(12)]
    assert np.mean(cover) == pytest.approx(0.15, abs=3 * np.std(cover) / np.sqrt(12) + 0.005)


def test_a_film_is_as_thick_as_asked_for_and_nothing_in_its_holes():
    substrate = Substrate(kind="film", material="carbon", thickness_um=0.02, holes={"diameter_um": 3, "coverage": 0.2})
    ground = make_ground(substrate, VIEW, np.random.default_rng(3))
    assert np.all(ground.film_um[ground.hole] == 0)
    assert ground.film_um[~ground.hole] == pytest.approx(0.02)


def test_the_number_and_the_cover_of_a_population_are_those_of_the_recipe():
    """Means over 40 specimens, within 3.3 standard errors."""
    number = [len(_inside(make_deposit(recipe(number=30), np.random.default_rng(k)))) for k in range(40)]
    assert np.mean(number) == pytest.approx(30, abs=3.3 * np.std(number) / np.sqrt(40) + 0.2)
    cover = [
        sum(p.projected_area_um2 for p in _inside(make_deposit(recipe(coverage=0.2), np.random.default_rng(k)))) / 320
        for k in range(40)
    ]
    assert np.mean(cover) == pytest.approx(0.2, abs=3.3 * np.std(cover) / np.sqrt(40) + 0.002)


def _inside(built):
    return [p for p in built.particles if built.view.contains(np.array(p.place_um[:2]))]


@pytest.mark.parametrize("placement", ["apart", "monolayer", "relaxed", "chained", "lattice"])
def test_particles_side_by_side_do_not_overlap(placement):
    built = make_deposit(recipe(coverage=0.35, placement=placement), np.random.default_rng(5))
    places = np.array([p.place_um[:2] for p in built.particles])
    radii = np.array([p.ecd_um / 2 for p in built.particles])
    distance = np.hypot(*np.moveaxis(places[:, None] - places, 2, 0)) - radii - radii[:, None]
    np.fill_diagonal(distance, 1)
    assert distance.min() > -0.03 * radii.max()


def test_in_chains_each_touches_one_before_it():
    built = make_deposit(recipe(number=60, placement="chained", cluster_size=8), np.random.default_rng(2))
    places, radii = np.array([p.place_um[:2] for p in built.particles]), [p.reach_um for p in built.particles]
    touches = [
        min(np.hypot(*(places[:k] - places[k]).T) - radii[:k] - radii[k]) < 0.03 * radii[k]
        for k in range(1, len(radii))
    ]
    assert np.mean(touches) == pytest.approx(1 - 1 / 8, abs=0.12)


def test_one_of_excludes_and_probability_leaves_out():
    both = recipe(one_of="kind"), recipe(name="other", one_of="kind", weight=3.0)
    mixed = both[0].model_copy(update={"populations": (both[0].populations[0], both[1].populations[0])})
    drawn = [{lot.name for lot in make_deposit(mixed, np.random.default_rng(k)).lots} for k in range(60)]
    assert all(len(names) == 1 for names in drawn)
    share = np.mean([names == {"other"} for names in drawn])
    assert share == pytest.approx(0.75, abs=3.3 * np.sqrt(0.75 * 0.25 / 60))


def test_a_specimen_without_particles_is_rejected():
    with pytest.raises(RejectedSpecimen, match="no particle"):
        make_deposit(recipe(number=0), np.random.default_rng(0))


def test_long_ones_that_do_not_fit_apart_are_rejected_and_say_what_would():
    """The circles that hold rods of aspect 10 jam at about a tenth of the coverage that discs reach."""
    rods = {"shapes": [{"shape": "rod", "aspect": 10}], "coverage": 0.3, "placement": "apart"}
    for placement in ("apart", "chained"):
        words = rf"grain: \d+ of \d+ particles find a place {placement}, covering 0.[01]"
        with pytest.raises(RejectedSpecimen, match=words):
            make_deposit(recipe(**rods | {"placement": placement}), np.random.default_rng(0))
    with pytest.raises(RejectedSpecimen, match="no particle"):  # of debris any number will do, but it is none
        make_deposit(recipe(**rods, background=True), np.random.default_rng(0))


def test_a_deposit_knows_how_many_were_asked_for():
    (lot,) = make_deposit(recipe(coverage=0.2), np.random.default_rng(1)).lots
    assert lot.asked == lot.laid > 20
    (lot,) = make_deposit(recipe(coverage=0.9, placement="lattice", disorder=1), np.random.default_rng(1)).lots
    assert 0 < lot.laid < lot.asked


def test_few_particles_are_brought_into_the_frame():
    for k in range(20):
        built = make_deposit(recipe(number=1), np.random.default_rng(k))
        assert any(np.all(np.abs(p.place_um[:2]) < 0.36 * np.array(built.view.size_um)) for p in built.particles)


def test_the_same_generator_gives_the_same_deposit():
    first, second = (make_deposit(recipe(coverage=0.3, placement="dropped"), np.random.default_rng(9)) for _ in "ab")
    assert [p.place_um for p in first.particles] == [p.place_um for p in second.particles]
    a, b = render_deposit(first, Device(threads=1)), render_deposit(second, Device(threads=2))
    for name in ("phase", "instance", "height_um", "normal", "shade"):
        assert np.array_equal(getattr(a, name), getattr(b, name))
