"""What a recipe of particles may say, and what is refused before anything is rendered."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from particle_recipes import recipe, values

from blender_gen.families.particles import make_deposit
from blender_gen.recipe import load_recipe, parse_recipe, recipe_text
from blender_gen.recipe.particles import shape_options
from blender_gen.shapes import SHAPES
from semforge.errors import InputError

RECIPES = Path(__file__).parents[2] / "configs" / "recipes"
SHIPPED = ("nanoparticles_sem", "nanoparticles_tem", "urban_dust", "mineral_dust", "microplastics", "filter_dust")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipes_load(name):
    loaded = load_recipe(RECIPES / f"{name}.yaml")
    assert loaded.family == "particles"
    assert len(loaded.phase_materials) >= len(loaded.phase_names) >= 2


def test_urban_dust_has_the_six_classes():
    loaded = load_recipe(RECIPES / "urban_dust.yaml")
    assert set(loaded.phase_names) == {"tape", "mineral", "biogenic", "tyre_wear", "metallic", "salt", "Ti_paint"}


def test_phases_are_the_substrate_and_the_populations_and_materials_follow_them():
    loaded = recipe(material={"quartz": 1, "calcite": 3})
    assert loaded.phase_names == ("plate", "grain")
    assert loaded.phase_materials == ("Si", "calcite", "quartz")
    assert recipe(name="debris", background=True).phase_names == ("plate",)


def test_a_material_that_is_the_substrates_too_has_its_own_place():
    assert recipe(material={"quartz": 3, "Si": 1}).phase_materials == ("Si", "quartz", "Si")


def test_every_shape_names_its_parameters():
    for shape in SHAPES:
        assert "rng" not in shape_options(shape)
    assert "rounding" in shape_options("cube")


@pytest.mark.parametrize(
    ("population", "words"),
    [
        ({"shapes": ["sphear"]}, ["unknown shape 'sphear'", "did you mean 'sphere'"]),
        ({"shapes": [{"shape": "cube", "options": {"roundin": 0.1}}]}, ["cube has no option 'roundin'", "'rounding'"]),
        ({"shapes": [{"shape": "cube", "options": {"rounding": {"uniform": {"low": 3}}}}]}, ["shapes"]),
        ({"shapes": [{"shape": "cube", "options": {1: 0.1}}]}, ["cube has no option 1"]),
        ({"shapes": [{"shape": "cube", "options": {"rounding": "much"}}]}, ["cube: rounding", "a number"]),
        ({"shapes": [{"shape": "cube", "options": {"rounding": {"normal": {"mean": 0, "sd": 1}}}}]}, ["at least 0"]),
        ({"shapes": [{"shape": "agglomerate", "options": {"monomers": 1e9}}]}, ["monomers", "at most 1000"]),
        ({"shapes": [{"shape": "fibre", "options": {"section": "square"}}]}, ["section is 'square'", "round, kidney"]),
        ({"shapes": [{"shape": "pollen", "options": {"kind": 3}}]}, ["kind is 3", "echinate"]),
        ({"shapes": [{"shape": "cube", "weight": 0}]}, ["weight above 0"]),
        ({"shapes": []}, ["shapes", "at least 1"]),
        ({"material": "quarz"}, ["unknown material 'quarz'"]),
        ({"material": "void"}, ["cannot be made of void"]),
        ({"material": {"quartz": 0}}, ["weight above 0"]),
        ({"coverage": 0.1, "number": 3}, ["exactly one of number and coverage"]),
        ({"coverage": 0.8, "placement": "monolayer"}, ["coverage can be 0.8", "0.45 at most", "lattice", "dropped"]),
        ({"coverage": 0.7, "placement": {"dropped": 1, "apart": 1}}, ["'apart'", "0.5 at most"]),
        ({"placement": "droped"}, ["placement"]),
        ({"ecd": {"median_um": 50}}, ["'grain'", "median_um is at least 50", "20 µm across"]),
        ({"ecd": {"median_um": 2, "max_um": 1}}, ["median_um can be 2", "max_um 1"]),
        ({"ecd": {"median_um": 1, "min_um": 3, "max_um": 2}}, ["min_um 3 is not below max_um 2"]),
        ({"ecd": {"median_um": {"normal": {"mean": 1, "sd": 1}}}}, ["median_um", "above 0"]),
        ({"ecd": {"median_um": 4}, "number": 2000}, ["smallest number", "can be packed"]),
        ({"name": "plate"}, ["'plate'", "background"]),
        ({"skin": {"brightnes": 2}}, ["did you mean 'brightness'"]),
        ({"core": {"size": 1.5, "density": 0}}, ["core.size", "at most 0.98"]),
        ({"embedded": 2}, ["embedded", "at most 1"]),
        ({"embedded": {"fixed": float("nan")}}, ["embedded", "finite"]),
        ({"number": 10**400}, ["number", "finite"]),
        ({"one_of": "kind", "weight": 0}, ["'kind'", "weight 0"]),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(population, words):
    with pytest.raises(InputError) as caught:
        parse_recipe(yaml.safe_dump(values(**population)), "mine.yaml")
    message = str(caught.value)
    assert message.startswith("mine.yaml: ")
    assert "\n" not in message
    for word in words:
        assert word in message


STEM = {"kind": "transmission", "beam_kev": 30, "beam_current_na": 0.1, "dwell_us": 10, "collection": 0.5,
        "probe_um": 0.002}  # fmt: skip


@pytest.mark.parametrize(
    ("substrate", "imaging", "words"),
    [
        ({}, {"preparation": {"curtaining": 0.1, "pull_outs": 3}}, ["pull_outs, curtaining", "polished sections"]),
        ({}, {"detector": STEM}, ["no electrons come through a wafer", "film"]),
        ({"kind": "film", "thickness_um": 0.01}, {"detector": STEM}, ["film_um", "thickness_um", "both"]),
        ({"thickness_um": 0.01}, {}, ["a wafer takes none"]),
    ],
)
def test_imaging_that_does_not_suit_particles_is_refused(substrate, imaging, words):
    wrong = values()
    wrong["substrate"] |= substrate
    wrong["imaging"] = wrong["imaging"] | imaging
    with pytest.raises(InputError) as caught:
        parse_recipe(yaml.safe_dump(wrong), "mine.yaml")
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_film_is_given_once_or_by_the_detector():
    for thickness_um, film_um in ((0.01, 0), (0, 0.01)):
        good = values()
        good["substrate"] |= {"kind": "film", "material": "carbon", "thickness_um": thickness_um}
        good["imaging"] = good["imaging"] | {"detector": STEM | {"film_um": film_um}}
        loaded = parse_recipe(yaml.safe_dump(good), "mine.yaml")
        assert parse_recipe(recipe_text(loaded), "again.yaml") == loaded


@pytest.mark.parametrize("family", [["particles"], {"particles": 1}, None, 3])
def test_a_family_that_is_no_name_is_refused(family):
    with pytest.raises(InputError, match="expected one of: coating, mudrock, particles"):
        parse_recipe(yaml.safe_dump(values() | {"family": family}), "mine.yaml")


def test_a_wafer_has_no_holes():
    wrong = values()
    wrong["substrate"]["holes"] = {"diameter_um": 1, "coverage": 0.1}
    with pytest.raises(InputError, match="a wafer has no holes"):
        parse_recipe(yaml.safe_dump(wrong), "mine.yaml")


def test_populations_that_lie_beside_each_other_must_fit_together():
    one = values(coverage=0.4, placement="apart")
    both = {**one, "populations": [*one["populations"], {**one["populations"][0], "name": "other"}]}
    with pytest.raises(InputError, match=r"'grain', 'other': they lie beside each other and cover 0.8"):
        parse_recipe(yaml.safe_dump(both), "mine.yaml")
    both["populations"][1]["placement"] = "dropped"
    parse_recipe(yaml.safe_dump(both), "mine.yaml")


def test_on_a_filter_particles_smaller_than_its_pores_fall_through():
    change = ["substrate.holes.diameter_um=2", "substrate.holes.coverage=0.5", "populations.0.number=80"]
    loaded = load_recipe(RECIPES / "filter_dust.yaml", change)
    built = make_deposit(loaded, np.random.default_rng(0))
    assert sum(lot.laid for lot in built.lots) > len(built.particles) > 0
