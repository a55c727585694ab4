"""The settings that ship can be read, and name recipes that ship."""

from pathlib import Path

import pytest
import yaml

from sem_train.classification.config import ClassifyConfig
from sem_train.classification.experiment import ClassifyExperiment, plan_classify_cells
from semforge.settings import load_settings

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "configs" / "classify").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_settings_can_be_read(path):
    text = path.read_text()
    if "\narms:" in text:
        experiment = load_settings(path, ClassifyExperiment)
        assert len(plan_classify_cells(experiment)) == len(experiment.arms) * len(experiment.seeds) * max(
            1, len(experiment.folds)
        )
    else:
        assert len(load_settings(path, ClassifyConfig).classes) >= 2


@pytest.mark.parametrize("name", ["image", "spectrum", "late_fusion", "cross_attention"])
def test_one_override_chooses_the_network(name):
    config = load_settings(ROOT / "configs" / "classify" / "urban_dust.yaml", ClassifyConfig, [f"model.name={name}"])
    assert (config.model.sees_image, config.model.sees_spectrum) == (name != "spectrum", name != "image")


def test_classes_are_populations_of_the_recipe():
    recipe = yaml.safe_load((ROOT / "configs" / "recipes" / "urban_dust_edx.yaml").read_text())
    config = load_settings(ROOT / "configs" / "classify" / "urban_dust.yaml", ClassifyConfig)
    assert {p["name"] for p in recipe["populations"]} == set(config.names)
