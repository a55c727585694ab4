"""A running mean of the weights, which is what is validated, kept and predicted with."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn


def decay_after(updates: int, decay: float) -> float:
    """Share of the mean that stays at the next update: from 2/11 up to `decay`, so that a short run forgets its start.

    After n updates it is (1 + n) / (10 + n), which reaches 0.99 after 890 and 0.999 after 8,990.
    """
    return min(decay, (1 + updates) / (10 + updates))


class AveragedWeights(WeightAveraging):
    """Exponential moving average of weights and of the statistics of batch normalisation, updated once a step.

    It takes the place of the weights in validation and in all checkpoints; those to go on from hold both.
    """

    def __init__(self, decay: float, device: torch.device):
        def average(means: list[torch.Tensor], now: list[torch.Tensor], updates: torch.Tensor) -> None:
            if means[0].is_floating_point():
                get_ema_multi_avg_fn(decay_after(int(updates), decay))(means, now, updates)
            else:  # counters
                torch._foreach_copy_(means, now)

        super().__init__(device=device, multi_avg_fn=average)

    @contextmanager
    def in_use(self, module: L.LightningModule) -> Iterator[None]:
        """Within, `module` has the mean weights; Lightning leaves them out of checkpoints of weights alone."""
        self._swap_models(module)
        try:
            yield
        finally:
            self._swap_models(module)

    def settle(self, module: L.LightningModule) -> None:
        """Give `module` the mean weights for good; also of a run that had no step left when it was resumed."""
        self._copy_average_to_current(module)

    def on_train_epoch_end(self, *_: Any) -> None:
        pass  # there is one epoch, without end
