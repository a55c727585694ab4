"""A small recipe of particles to vary in tests."""

from typing import Any

from blender_gen.recipe.particles import ParticlesRecipe

IMAGING = {
    "detector": {
        "kind": "se", "beam_kev": 5, "beam_current_na": 0.1, "dwell_us": 10, "collection": 0.5, "probe_um": 0.1,
    },
    "greys": {"dark": 0.1, "bright": 0.9},
}  # fmt: skip


def values(**population: Any) -> dict[str, Any]:
    """The recipe as a mapping; the arguments replace keys of its only population."""
    one = {"name": "grain", "material": "quartz", "shapes": ["sphere"], "ecd": {"median_um": 1.5, "sigma_g": 1.1}}
    if "coverage" not in population and "number" not in population:
        one["number"] = 20
    return {
        "family": "particles", "name": "test",
        "frame": {"width_px": 200, "height_px": 160, "pixel_size_um": 0.1},
        "substrate": {"name": "plate", "kind": "wafer", "material": "Si"},
        "populations": [{**one, **population}],
        "imaging": IMAGING,
    }  # fmt: skip


def recipe(**population: Any) -> ParticlesRecipe:
    """The same, validated."""
    return ParticlesRecipe.model_validate(values(**population))
