from pathlib import Path

import pytest
import yaml

from blender_gen.recipe import load_recipe, parse_recipe, recipe_hash, recipe_text, with_frame
from semforge.errors import InputError

RECIPES = sorted((Path(__file__).parents[2] / "configs" / "recipes").glob("*.yaml"))
SLURRY = next(path for path in RECIPES if path.stem == "slurry_coating")


def edited(**changes):
    values = yaml.safe_load(SLURRY.read_text())
    for key, value in changes.items():
        *parents, last = key.split("__")
        target = values
        for parent in parents:
            target = target[int(parent) if parent.isdigit() else parent]
        target[last] = value
    return yaml.safe_dump(values)


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_shipped_recipes_load_and_survive_a_round_trip(path):
    recipe = load_recipe(path)
    again = parse_recipe(recipe_text(recipe), "again")
    assert again == recipe
    assert recipe_hash(again) == recipe_hash(recipe)


def test_hash_ignores_comments_and_number_formats_but_not_values():
    recipe = load_recipe(SLURRY)
    text = "# a comment\n" + SLURRY.read_text().replace("{low: 0.18,", "{low: 0.180,")
    commented = parse_recipe(text, "x")
    assert recipe_hash(commented) == recipe_hash(recipe)
    assert recipe_hash(load_recipe(SLURRY, ["description=other words"])) == recipe_hash(recipe)
    assert recipe_hash(load_recipe(SLURRY, ["frame.width_px=500"])) != recipe_hash(recipe)


def test_phases_are_layers_inclusions_and_cracks_in_order():
    recipe = load_recipe(SLURRY)
    assert recipe.phase_names == ("resin", "Fe2Al5", "precipitate", "pore", "crack", "FeAl", "steel")
    assert recipe.phase_materials == ("epoxy", "Fe2Al5", "AlCr2", "void", "void", "FeAl", "steel_9Cr")


def test_with_frame_validates_again():
    assert with_frame(load_recipe(SLURRY), width_px=64).frame.width_px == 64
    with pytest.raises(InputError, match="width_px"):
        with_frame(load_recipe(SLURRY), width_px=-1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layers__1__thicknes_um": 3}, ["layers[1].thicknes_um", "did you mean 'thickness_um'"]),
        ({"layers__1__thickness_um": -3}, ["layers[1].thickness_um", "must be above 0"]),
        ({"layers__1__thickness_um": {"norml": {"mean": 3}}}, ["norml", "did you mean 'normal'"]),
        ({"layers__1__thickness_um": {"normal": {"mean": 3}}}, ["normal.sd", "missing"]),
        ({"layers__1__thickness_um": "thick"}, ["layers[1].thickness_um"]),
        ({"layers__1__material": "Fe3Al5"}, ["unknown material 'Fe3Al5'", "Fe2Al5"]),
        ({"layers__1__name": "steel"}, ["steel", "twice"]),
        ({"frame__centre_on": "gold"}, ["gold", "Fe2Al5, FeAl"]),
        ({"frame__width_px": 3}, ["frame.width_px", "16"]),
        ({"layers__1__inclusions__0__name": "steel"}, ["'steel'", "two"]),
        ({"layers__3__thickness_um": 3}, ["last layer", "steel"]),
        ({"layers__0__thickness_um": 3}, ["first layer", "resin"]),
        ({"layers__0__probability": 0.5}, ["resin", "always there"]),
        ({"layers__1__probability": 0.5}, ["Fe2Al5", "always there"]),
        ({"layers__1__inclusions__0__name": "Fe2Al5"}, ["'Fe2Al5'", "its own name"]),
        ({"layers__1__cracks__0__name": "pore"}, ["'pore'", "its own name"]),
        ({"imaging__detector__beam_kev": 2}, ["beam_kev", "threshold_kev"]),
        ({"imaging__detector__collection": 0}, ["collection", "above 0"]),
        ({"imaging__detector__probe_um": 5000}, ["probe_um", "at most 10"]),
        ({"imaging__greys__bright": 0.1}, ["bright", "above dark"]),
        ({"layers__1__inclusions__1__clusters": 1e6}, ["clusters", "at most 50"]),
        ({"layers__1__cracks__0__inclination_deg": 90}, ["inclination_deg", "at most 75"]),
        ({"family": "coatng"}, ["family", "coating"]),
        (
            {"layers__1__thickness_um": 500},
            ["'Fe2Al5' is 500 µm thick", "at most 133.1 µm high", "frame.height_px to 2885"],
        ),
        ({"layers__1__thickness_um": {"normal": {"mean": 500, "sd": 58}}}, ["µm thick or more", "frame.height_px to"]),
        ({"layers__1__inclusions__1__area_percent": 88}, ["can fill 95 %", "at most 90 %", "'pore' to 83"]),
        ({"layers__1__thickness_um": {"normal": {"mean": 10, "sd": 4}}}, ["can be -24", "above 0", "set min and max"]),
        ({"layers__1__cracks__0__branches": -1}, ["branches", "at least 0"]),
        ({"layers__1__splats": {"width_um": 30, "height_um": 9, "seams": []}}, ["splats.seams"]),
        ({"layers__1__speckles": [{"size_um": 1, "area_percent": 2, "contrast": -2}]}, ["contrast", "at least -1"]),
    ],
)
def test_mistakes_are_named_in_one_line(changes, words):
    with pytest.raises(InputError) as caught:
        parse_recipe(edited(**changes), "mine.yaml")
    message = str(caught.value)
    assert message.startswith("mine.yaml: ")
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("text", ["", "- 1\n- 2", "a: [1", "just words"])
def test_text_that_is_no_recipe(text):
    with pytest.raises(InputError):
        parse_recipe(text, "mine.yaml")


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_recipe(tmp_path / "nothing.yaml")
    with pytest.raises(InputError, match="folder"):
        load_recipe(tmp_path)
