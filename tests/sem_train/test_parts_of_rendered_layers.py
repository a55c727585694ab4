"""Outward and inward part of rendered coatings: what the exact label map measures against what the specimen is."""

from pathlib import Path

import numpy as np
import pytest

from blender_gen.pipeline import make_sample
from blender_gen.recipe import load_recipe, with_frame
from sem_train.measure import measure_label_map
from sem_train.measure.files import ClassFile
from semforge.settings import load_settings

CONFIGS = Path(__file__).parents[2] / "configs"
PORES = "layers.1.inclusions.1"


def test_parts_are_measured_as_the_specimen_has_them():
    """The bodies of a line scatter about it, by a micrometre in the recipe, and other pores lie about."""
    classes = load_settings(CONFIGS / "train" / "slurry_unet.yaml", ClassFile)
    changes = [f"{PORES}.line.probability=1", f"{PORES}.line.coverage=0.7", f"{PORES}.area_percent=0.5"]
    recipe = with_frame(
        load_recipe(CONFIGS / "recipes" / "slurry_coating.yaml", changes),
        width_px=320,
        height_px=320,
        pixel_size_um=0.35,
    )
    table = classes.lookup_phases(recipe.phase_names)
    errors = []
    for index in range(4):
        sample = make_sample(recipe, index, seed=11)
        true = sample.truth["layers"]["Fe2Al5"]["parts"]
        labels = table[sample.phase].astype(np.uint8)
        layer = measure_label_map(labels, classes, sample.pixel_size_um).layers["Fe2Al5"]
        assert true["line"] == "pore"
        errors += [[part.mean - true[part.side]["mean_um"] for part in layer.parts]] if layer.parts else []
    assert len(errors) >= 3
    assert np.abs(errors).mean() < 1.5
    assert np.sum(errors, axis=1) == pytest.approx(np.zeros(len(errors)), abs=0.3)
