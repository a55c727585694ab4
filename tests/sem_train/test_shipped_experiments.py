"""Every experiment in configs/experiments can be planned: all its arms, folds and trainings."""

from pathlib import Path

import pytest

from sem_train.config import ExperimentConfig
from sem_train.data import Picture
from sem_train.experiments.plan import plan_cells
from semforge.settings import load_settings

EXPERIMENTS = sorted((Path(__file__).parents[2] / "configs" / "experiments").glob("*.yaml"))
PICTURES = [Picture(f"i{k}", f"{k}", f"s{k % 9}", "real", lambda: None) for k in range(24)]


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_it_can_be_planned(path):
    config = load_settings(path, ExperimentConfig)
    cells = plan_cells(config, PICTURES)
    assert {cell.arm for cell in cells} == set(config.arms)
    assert {cell.seed for cell in cells} == set(config.seeds) and len(config.seeds) >= 3
    for cell in cells:
        assert cell.test and not set(cell.test) & set(cell.train)
        assert cell.steps == (config.plan_of(cell.arm).training.steps if cell.trainings else 0)


def test_there_are_comparisons_of_networks_and_losses():
    networks = load_settings(EXPERIMENTS[0].parent / "architectures.yaml", ExperimentConfig)
    names = {arm: networks.plan_of(arm).model.name for arm in networks.arms}
    assert names == {arm: arm for arm in networks.arms}
    assert set(names) == set(type(networks.plan.model).model_fields["name"].annotation.__args__)
    losses = load_settings(EXPERIMENTS[0].parent / "losses.yaml", ExperimentConfig)
    parts = ("dice", "cross_entropy", "focal", "tversky", "lovasz", "boundary")
    used = {arm: {p for p in parts if getattr(losses.plan_of(arm).loss, p)} for arm in losses.arms}
    assert used.pop("dice_cross_entropy") == {"dice", "cross_entropy"}
    assert used.pop("boundary") == {"boundary", "cross_entropy"}
    assert used == {part: {part} for part in parts if part != "boundary"}
