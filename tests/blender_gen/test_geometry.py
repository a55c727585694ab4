"""Random fields, solids and families."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from manifold3d import CrossSection, OpType
from particle_recipes import IMAGING
from test_recipe import RECIPES, SLURRY

from blender_gen.families import inclusions
from blender_gen.families.coating import make_coating
from blender_gen.families.inclusions import body_mesh
from blender_gen.fields import SHAPES, gaussian_field
from blender_gen.recipe import load_recipe
from blender_gen.recipe.coating import CoatingRecipe, Inclusion
from blender_gen.section import cut
from blender_gen.seeding import Stage, generator
from blender_gen.slicing import area_um2
from blender_gen.solids import angular, blob, icosphere, rotation_in_section, sheet, to_manifold
from blender_gen.specimen import View
from blender_gen.truth.coating import coating_truth
from semforge.errors import RejectedSpecimen


def test_field_has_unit_variance_and_its_correlation_length():
    rng = np.random.default_rng(0)
    fields = [gaussian_field(rng, correlation=7.0, dimensions=1) for _ in range(2000)]
    at = np.array([[f(np.array([x]))[0] for x in (0.0, 7.0, 40.0)] for f in fields])
    assert at.mean() == pytest.approx(0, abs=4 / np.sqrt(at.size))
    assert at.var() == pytest.approx(1, abs=0.1)
    correlation = np.corrcoef(at.T)[0]
    assert correlation[1] == pytest.approx(np.exp(-1), abs=0.09)
    assert correlation[2] == pytest.approx(0, abs=0.09)


@pytest.mark.parametrize("shape", SHAPES)
def test_shaped_fields_keep_mean_and_variance(shape):
    values = SHAPES[shape](np.random.default_rng(0).normal(size=400_000))
    assert values.mean() == pytest.approx(0, abs=0.02)
    assert values.var() == pytest.approx(1, rel=0.1)


def test_tongues_point_inwards():
    values = SHAPES["tongues"](np.random.default_rng(0).normal(size=10_000))
    assert abs(values.min()) > 3 * values.max()


def test_icosphere_tends_to_the_sphere():
    volumes = [to_manifold(icosphere(n)).volume() for n in (2, 4)]
    assert volumes[1] == pytest.approx(4 / 3 * np.pi, rel=4e-3)
    assert volumes[0] < volumes[1]


@given(st.integers(0, 2**32), st.floats(0, 0.6), st.floats(1, 6))
@settings(max_examples=25, deadline=None)
def test_bodies_are_solids_of_positive_volume(seed, irregularity, aspect):
    rng = np.random.default_rng(seed)
    axes, rotation = np.array([aspect, 1.0, 0.7]), rotation_in_section(rng, rng.uniform(-90, 90))
    assert np.linalg.det(rotation) == pytest.approx(1)
    rough = blob(rng, axes, rotation, irregularity, 2)
    for mesh in (rough, angular(rng, axes, rotation)):
        assert to_manifold(mesh).volume() > 0


@pytest.mark.parametrize("along", ["x", "y"])
def test_sheet_is_a_box_when_its_surfaces_are_planes(along):
    u, z = np.linspace(-5, 5, 11), np.linspace(-3, 0, 4)
    mesh = sheet(u, z, np.zeros((4, 11)), np.full((4, 11), 2.0), along)
    assert to_manifold(mesh).volume() == pytest.approx(60, rel=1e-6)


def test_streams_are_independent_of_each_other():
    draws = {
        generator(seed, index, stage, attempt).integers(2**62)
        for seed in (0, 1) for index in (0, 1) for stage in Stage for attempt in (0, 1)
    }  # fmt: skip
    assert len(draws) == 2 * 2 * len(Stage) * 2
    assert generator(0, 5, Stage.IMAGING).integers(2**62) == generator(0, 5, Stage.IMAGING).integers(2**62)


COATINGS = [path for path in RECIPES if load_recipe(path).family == "coating"]


@pytest.mark.parametrize("path", COATINGS, ids=lambda p: p.stem)
def test_families_draw_what_the_recipe_asks_for(path):
    recipe = load_recipe(path, ["frame.width_px=256", "frame.height_px=256"])
    for index in range(3):
        specimen = make_coating(recipe, generator(0, index, Stage.SPECIMEN))
        for stratum in specimen.strata:
            assert np.all(stratum.outer_um > stratum.inner_um)
        section = cut(specimen)
        area = sum(region.area() for region in section.visible.values())
        assert area == pytest.approx(np.prod(specimen.view.size_um), rel=1e-6)


def test_area_percent_is_reached():
    """Over several specimens the drawn pore content is met on average; single ones overshoot by a body."""
    line_off = "layers.1.inclusions.1.line=null"
    recipe = load_recipe(SLURRY, ["layers.1.inclusions.1.area_percent=5", line_off, "layers.1.inclusions.1.clusters=0",
                                  "layers.1.inclusions.1.ecd_um=2.0"])  # fmt: skip
    found = []
    for index in range(6):
        section = cut(make_coating(recipe, generator(3, index, Stage.SPECIMEN)))
        pore, coating = recipe.phase_names.index("pore"), recipe.phase_names.index("Fe2Al5")
        found.append(100 * section.visible[pore].area() / section.layer_area_um2[coating])
    assert np.mean(found) == pytest.approx(5, abs=0.5)


@pytest.mark.parametrize("shape", ["irregular", "smooth", "angular"])
def test_bodies_have_the_volume_that_their_diameter_says(shape):
    inclusion = Inclusion(
        name="pore", material="void", area_percent=5, ecd_um=3.0, shape=shape, irregularity=0.4, aspect=2
    )
    view = View((0.0, 0.0), 0.0, 100, 100, 0.2)
    for seed in range(10):
        mesh, cut_face = body_mesh(inclusion, 3.0, (0.0, 0.0), view, np.random.default_rng(seed))
        assert to_manifold(mesh).volume() == pytest.approx(np.pi / 6 * 27, rel=1e-4)
        assert area_um2(cut_face) > 0


def test_populations_within_others_stay_there():
    changes = ["frame.width_px=200", "frame.height_px=200", "layers.1.inclusions.0.ecd_um=6",
               "layers.1.inclusions.0.area_percent=8", "layers.1.inclusions.1.ecd_um=0.8",
               "layers.1.inclusions.1.within=precipitate", "layers.1.inclusions.1.line=null"]  # fmt: skip
    recipe = load_recipe(SLURRY, changes)
    specimen = make_coating(recipe, generator(0, 0, Stage.SPECIMEN))
    pore, host = (recipe.phase_names.index(recipe.layers[1].inclusions[i].name) for i in (1, 0))
    union = {p: CrossSection.batch_boolean([to_manifold(b.mesh).slice(0.0) for b in specimen.bodies if b.phase == p],
                                           OpType.Add) for p in (pore, host)}  # fmt: skip
    assert union[pore].area() > 0
    assert (union[pore] ^ union[host]).area() > 0.6 * union[pore].area()


def test_what_cannot_be_filled_is_rejected_with_its_reason():
    changes = ["layers.1.inclusions.1.ecd_um=0.02", "layers.1.inclusions.1.area_percent=50", "frame.pixel_size_um=1",
               "layers.1.inclusions.0.area_percent=0"]  # fmt: skip
    with pytest.raises(RejectedSpecimen, match=r"pore: .* bodies fill"):
        make_coating(load_recipe(SLURRY, changes), generator(0, 0, Stage.SPECIMEN))


def test_a_line_that_cannot_be_covered_is_rejected_with_its_reason(monkeypatch):
    monkeypatch.setattr(inclusions, "MAX_BODIES", 50)
    changes = ["layers.1.inclusions.1.ecd_um=0.3", "layers.1.inclusions.1.area_percent=0",
               "layers.1.inclusions.0.area_percent=0", "layers.1.inclusions.1.line.probability=1"]  # fmt: skip
    with pytest.raises(RejectedSpecimen, match=r"pore: .* of their line"):
        make_coating(load_recipe(SLURRY, changes), generator(0, 0, Stage.SPECIMEN))


def test_cracks_without_end_are_rejected():
    changes = ["layers.1.cracks.0.per_mm=5000", "layers.1.cracks.0.probability=1", "frame.pixel_size_um=4",
               "layers.1.inclusions=[]"]  # fmt: skip
    with pytest.raises(RejectedSpecimen, match="cracks in the frame, more than 5000; lower per_mm"):
        make_coating(load_recipe(SLURRY, changes), generator(0, 0, Stage.SPECIMEN))


def test_a_coating_of_finer_pixels_is_the_same_scaled():
    """Layers of nanometres are there in the truth, and neither margins nor cracks dwarf them."""

    def built(scale):
        values = {
            "family": "coating", "name": "thin", "imaging": IMAGING,
            "frame": {"width_px": 128, "height_px": 128, "pixel_size_um": 0.05 * scale, "centre_on": "film",
                      "centre_at": 0.5},
            "layers": [
                {"name": "air", "material": "epoxy"},
                {"name": "film", "material": "Al2O3", "thickness_um": 2 * scale,
                 "surface": [{"rms_um": 0.1 * scale, "correlation_um": 1 * scale}],
                 "cracks": [{"name": "crack", "per_mm": min(800 / scale, 5000), "opening_um": 0.1 * scale}]},
                {"name": "Si", "material": "Si"},
            ],
        }  # fmt: skip
        return make_coating(CoatingRecipe.model_validate(values), np.random.default_rng(4))

    coarse, fine = built(1), built(0.16)
    np.testing.assert_allclose(fine.x_um, 0.16 * coarse.x_um)
    assert len(fine.bodies) == len(coarse.bodies) > 2
    for one, other in zip(fine.bodies, coarse.bodies, strict=True):
        np.testing.assert_allclose(one.mesh[0], 0.16 * other.mesh[0], atol=1e-6)
    for one, other in zip(fine.strata, coarse.strata, strict=True):
        np.testing.assert_allclose(one.outer_um, 0.16 * other.outer_um, atol=1e-9)
    assert coating_truth(cut(built(0.02)))["layers"]["film"]["present"]  # 40 nm


def test_a_field_is_the_same_on_a_grid_and_at_scattered_points():
    field = gaussian_field(np.random.default_rng(1), 5.0)
    x, z = np.linspace(-40, 40, 300)[None, :], np.linspace(-9, 0, 70)[:, None]
    grid = field(x, z)
    points = np.broadcast_arrays(x, z)
    assert field(*points) == pytest.approx(grid, abs=1e-4)
    assert field(*(p[:5, :7] for p in points)) == pytest.approx(grid[:5, :7], abs=1e-4)


def test_a_lobe_reaches_as_far_as_its_sphere():
    lobe = np.array([0.8, 0.0, 0.0]), 0.7
    vertices, _ = blob(np.random.default_rng(0), np.array([2.0, 1.0, 1.0]), np.eye(3), 0.0, 4, [lobe])
    assert vertices[:, 0].max() == pytest.approx(2 * 1.5, rel=1e-3)
    assert vertices[:, 0].min() == pytest.approx(-2, rel=1e-3)
    relative = vertices / [2, 1, 1]
    outside = np.minimum(np.linalg.norm(relative, axis=1) - 1, np.linalg.norm(relative - lobe[0], axis=1) - 0.7)
    assert outside == pytest.approx(0, abs=1e-9)


def test_a_bent_body_keeps_its_volume_and_its_ends():
    inclusion = Inclusion(name="pore", material="void", area_percent=5, ecd_um=3.0, shape="smooth", irregularity=0,
                          aspect=5, bend=1.0, orientation_deg=0)  # fmt: skip
    mesh, _ = body_mesh(inclusion, 3.0, (0.0, 0.0), View((0.0, 0.0), 0.0, 100, 100, 0.02), np.random.default_rng(1))
    assert to_manifold(mesh).volume() == pytest.approx(np.pi / 6 * 27, rel=1e-3)


def test_seams_take_their_share_of_the_boundaries():
    """The area of seams grows with coverage; none of them leaves its layer."""
    splats = {"width_um": 20, "height_um": 8, "seams": [{"name": "seam", "material": "Al2O3", "thickness_um": 0.8}]}
    areas = []
    for coverage in (0.1, 0.4, 0.9):
        splats["seams"][0]["coverage"] = coverage
        recipe = load_recipe(SLURRY, [f"layers.1.splats={json.dumps(splats)}"])
        found = [cut(make_coating(recipe, generator(0, i, Stage.SPECIMEN))) for i in range(3)]
        seam, host = recipe.phase_names.index("seam"), recipe.phase_names.index("Fe2Al5")
        assert recipe.hosts["seam"] == "Fe2Al5"
        areas.append(sum(section.visible[seam].area() / section.layer_area_um2[host] for section in found))
    assert 0 < areas[0] < 0.6 * areas[1] < 0.6 * areas[2]


def test_pores_hide_cracks_and_cracks_hide_precipitates():
    recipe = load_recipe(SLURRY)
    specimen = make_coating(recipe, generator(0, 3, Stage.SPECIMEN))
    number = recipe.phase_names.index
    order = [{number("precipitate"): 0, number("crack"): 1, number("pore"): 2}[body.phase] for body in specimen.bodies]
    assert order == sorted(order)
    assert set(order) >= {0, 2}
