"""Learning rates over the steps, by their formulas."""

import math

import pytest
import torch
from fake_data import config
from torch import nn

from sem_train.config import TrainingSettings
from sem_train.optimisation import optimizer_of, schedule_of


def rates(**settings):
    """Share of the full learning rate in each step."""
    settings = TrainingSettings(learning_rate=0.25, **settings)
    optimizer = optimizer_of(nn.Linear(1, 1), settings)
    schedule, found = schedule_of(optimizer, settings), []
    for _ in range(settings.steps):
        found.append(optimizer.param_groups[0]["lr"] / 0.25)
        optimizer.step(), schedule.step()
    return found


def half_wave(k, n):
    return (1 + math.cos(math.pi * k / n)) / 2


def test_one_cycle_rises_over_its_first_steps_and_falls_to_nearly_nothing():
    least = 1 / 25e4
    rise = [1 / 25 + (1 - 1 / 25) * (1 - half_wave(k, 2)) for k in range(2)]  # 15 % of 20, the first being step 0
    fall = [least + (1 - least) * half_wave(k, 17) for k in range(17)]
    assert rates(schedule="one_cycle", steps=19) == pytest.approx(rise + fall)


@pytest.mark.parametrize(
    ("schedule", "share"),
    [("cosine", half_wave), ("poly", lambda k, n: (1 - k / n) ** 0.9), ("constant", lambda k, n: 1)],
)
@pytest.mark.parametrize("warmup", [0, 1, 4])
def test_rate_is_that_of_the_schedule_after_a_linear_rise(schedule, share, warmup):
    rise = [(k + 1) / (warmup + 1) for k in range(warmup)]
    fall = [share(k, 12 - warmup) for k in range(12 - warmup)]
    assert rates(schedule=schedule, steps=12, warmup_steps=warmup) == pytest.approx(rise + fall)


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "poly", "constant"])
def test_schedule_goes_on_from_what_is_stored(schedule):
    settings = TrainingSettings(schedule=schedule, steps=9, warmup_steps=0 if schedule == "one_cycle" else 4)

    def begin():
        optimizer = optimizer_of(nn.Linear(1, 1), settings)
        return optimizer, schedule_of(optimizer, settings)

    for stop in (2, 4, 6):
        (one, whole), (two, second) = begin(), begin()
        for _ in range(stop):
            one.step(), whole.step()
        second.load_state_dict(whole.state_dict())
        two.load_state_dict(one.state_dict())
        for _ in range(9 - stop):
            assert two.param_groups[0]["lr"] == one.param_groups[0]["lr"]
            for step in (one, two, whole, second):
                step.step()


def test_every_weight_is_trained(tmp_path):
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    optimizer = optimizer_of(network, config(tmp_path, {"synthetic": [{"path": "s.h5"}]}).training)
    assert isinstance(optimizer, torch.optim.AdamW)
    assert sum(p.numel() for p in optimizer.param_groups[0]["params"]) == 6 + 3 + 3 + 3
