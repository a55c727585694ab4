"""How weights move: the optimiser and the learning rate over the steps."""

import torch
from torch import nn
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    PolynomialLR,
    SequentialLR,
)

from sem_train.config import TrainingSettings

ONE_CYCLE_RISE = 0.15  # share of the steps in which the learning rate rises
POLY_POWER = 0.9  # of what is left of the steps, as DeepLab has it


def optimizer_of(network: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """The optimiser of all weights of `network`."""
    parameters, rate, decay = network.parameters(), settings.learning_rate, settings.weight_decay
    if settings.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=settings.momentum, weight_decay=decay)
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)


def schedule_of(optimizer: torch.optim.Optimizer, settings: TrainingSettings) -> LRScheduler:
    """The learning rate of each step, set once a step.

    Without `warmup_steps` the first step has the full rate, but for one_cycle, which rises and falls by itself. With w
    of them step k has (k + 1) / (w + 1) of it, and what follows takes the steps that are left.
    """
    if settings.schedule == "one_cycle":
        return OneCycleLR(
            optimizer, settings.learning_rate, total_steps=settings.steps + 1, pct_start=ONE_CYCLE_RISE,
            cycle_momentum=settings.optimizer == "adamw",  # that of sgd is as told
        )  # fmt: skip
    warm_up = settings.warmup_steps
    if not warm_up:
        return _fall(optimizer, settings, settings.steps)
    rise = LinearLR(optimizer, start_factor=1 / (warm_up + 1), total_iters=warm_up)
    return SequentialLR(optimizer, [rise, _fall(optimizer, settings, settings.steps - warm_up)], [warm_up])


def _fall(optimizer: torch.optim.Optimizer, settings: TrainingSettings, steps: int) -> LRScheduler:
    if settings.schedule == "cosine":
        return CosineAnnealingLR(optimizer, T_max=steps)
    if settings.schedule == "poly":
        return PolynomialLR(optimizer, total_iters=steps, power=POLY_POWER)
    return ConstantLR(optimizer, factor=1.0)
