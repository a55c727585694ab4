"""Curves for TensorBoard, beside the history that every run keeps."""

from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from sem_train.callbacks import StepCallback


class EventFiles(TensorBoardLogger):
    """Event files in one folder, written by the first process alone.

    A run that is resumed writes a file of its own, in which TensorBoard is told to forget what an earlier one holds
    from its first step on.
    """

    def __init__(self, folder: Path, first_step: int):
        resumed = {"purge_step": first_step + 1} if first_step else {}
        super().__init__(folder.parent, name="", version=folder.name, **resumed)

    @rank_zero_only
    def begin(self) -> None:
        """Open the file. Another one, for a validation after the last step, takes nothing back."""
        self.experiment.purge_step = None

    @rank_zero_only
    def save(self) -> None:
        self.experiment.flush()  # and no file of hyperparameters: the run has its config.yaml


class Curves(StepCallback):
    """Loss and learning rate every few steps, and the scores of each validation."""

    EVERY = 10  # steps; reading a loss makes a GPU wait

    def __init__(self, files: EventFiles):
        self.files = files

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.files.begin()

    def on_step(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: torch.Tensor) -> None:
        if trainer.global_step % self.EVERY == 0:
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            self.files.log_metrics({"train/loss": float(loss), "train/learning_rate": rate}, trainer.global_step)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        known = {f"validation/{name}": value for name, value in pl_module.scores.items() if value == value}
        self.files.log_metrics(known, trainer.global_step)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        self.files.save()  # so that a run that is killed lacks no step before the one it is resumed at
