"""Samples of particles from recipe to micrograph."""

from pathlib import Path

import numpy as np
import pytest

from blender_gen.device import Device
from blender_gen.pipeline import make_sample
from blender_gen.recipe import load_recipe

RECIPES = Path(__file__).parents[2] / "configs" / "recipes"
SMALL = ["frame.width_px=160", "frame.height_px=128"]


@pytest.mark.parametrize(
    ("name", "images"),
    [("nanoparticles_sem", 3), ("nanoparticles_tem", 2), ("urban_dust", 1), ("mineral_dust", 2), ("microplastics", 1)],
)
def test_shipped_recipes_make_samples_whose_parts_agree(name, images):
    recipe = load_recipe(RECIPES / f"{name}.yaml", SMALL)
    sample = make_sample(recipe, index=3, seed=1, device=Device(threads=1))
    assert sample.image.shape == (images, 128, 160)
    assert sample.image.dtype == np.uint8
    assert all(image.std() > 1 for image in sample.image)
    records = {r["instance"]: r for r in sample.truth["particles"]}
    numbers, pixels = np.unique(sample.instance[sample.instance > 0], return_counts=True)
    assert set(numbers) <= set(records)
    for number, count in zip(numbers, pixels, strict=True):
        record = records[number]
        assert record["visible_area_um2"] == pytest.approx(count * sample.pixel_size_um**2, rel=1e-6)
        phases = np.unique(sample.phase[sample.instance == number])
        assert [recipe.phase_names[p] for p in phases] == [record["population"]]
    assert np.all(sample.phase[sample.instance == 0] == 0)
    coverage = sum(p["coverage"] for p in sample.truth["populations"].values())
    assert coverage == pytest.approx((sample.instance > 0).mean(), rel=1e-6)


def test_a_sample_depends_on_recipe_index_and_seed_alone():
    recipe = load_recipe(RECIPES / "urban_dust.yaml", SMALL)
    first, again = (make_sample(recipe, 0, 0, Device(threads=threads)) for threads in (1, 2))
    assert first.digest == again.digest
    assert make_sample(recipe, 1, 0, Device(threads=1)).digest != first.digest
