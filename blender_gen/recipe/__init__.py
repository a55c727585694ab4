"""What a user may write in a recipe, validated once when it is loaded."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import yaml

from blender_gen.recipe.coating import CoatingRecipe
from blender_gen.recipe.mudrock import MudrockRecipe
from blender_gen.recipe.particles import ParticlesRecipe
from semforge.errors import InputError
from semforge.files import existing_file
from semforge.settings import parse_yaml, validate

Recipe = CoatingRecipe | MudrockRecipe | ParticlesRecipe
FAMILIES: dict[str, type[Recipe]] = {
    "coating": CoatingRecipe,
    "mudrock": MudrockRecipe,
    "particles": ParticlesRecipe,
}


def load_recipe(path: Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read and validate a recipe file. Raises InputError with one line on anything wrong."""
    path = existing_file(path, "a recipe (YAML)")
    return parse_recipe(path.read_text(encoding="utf-8", errors="replace"), str(path), overrides)


def parse_recipe(text: str, source: str, overrides: Iterable[str] = ()) -> Recipe:
    """As `load_recipe`, from YAML text; `source` names it in messages."""
    values = parse_yaml(text, source, overrides)
    family = values.get("family")
    if not isinstance(family, str) or family not in FAMILIES:
        raise InputError(f"{source}: family is {family!r}, expected one of: {', '.join(FAMILIES)}")
    recipe = validate(values, FAMILIES[family], source)
    if recipe.imaging.needs_paths and family != "particles":
        raise InputError(f"{source}: imaging.detector: a transmission detector needs specimens that stand free, and "
                         f"family {family} is a solid block; use bse or se, or family particles")  # fmt: skip
    if recipe.edx is not None:
        from blender_gen.edx.acquisition import refuse_what_gives_no_spectrum  # only then: it loads tables of lines

        try:
            refuse_what_gives_no_spectrum(recipe)
        except InputError as error:
            raise InputError(f"{source}: edx: {error}") from error
    return recipe


def recipe_text(recipe: Recipe) -> str:
    """The recipe as canonical YAML: defaults written out, comments gone; `parse_recipe` reads it back."""
    return yaml.safe_dump(_plain(recipe), sort_keys=False, allow_unicode=True)


def recipe_hash(recipe: Recipe) -> str:
    """SHA-256 of what the recipe makes; comments, description, key order and number formats do not change it."""
    values = {key: value for key, value in _plain(recipe).items() if key != "description"}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _plain(recipe: Recipe) -> dict:
    return recipe.model_dump(mode="json", exclude_none=True)


def with_frame(recipe: Recipe, **changes: object) -> Recipe:
    """A copy with other frame settings, validated again."""
    values = _plain(recipe)
    values["frame"].update(changes)
    return validate(values, type(recipe), recipe.name)
