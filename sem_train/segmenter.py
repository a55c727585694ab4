"""The Lightning module: a network, its loss and optimiser, and its scores."""

from typing import Any

import lightning as L
import numpy as np
import torch
from torchmetrics.classification import MulticlassConfusionMatrix

from sem_train.config import UNLABELLED, Plan
from sem_train.data import Gathered
from sem_train.distributed import total
from sem_train.inference import CHECKPOINT_KEY, WINDOW_CROPS, TrainedOn, window_probabilities
from sem_train.losses import build_loss
from sem_train.metrics import dice, iou, mean_over_present
from sem_train.models import build_model
from sem_train.optimisation import optimizer_of, schedule_of
from sem_train.starting import begin_from

Batch = tuple[torch.Tensor, torch.Tensor]  # images (N, 1, H, W) float32; labels (N, H, W) uint8


class Segmenter(L.LightningModule):
    """A network, its loss and optimiser, and the scores of the last validation.

    A run that begins has the weights its settings name; one that is resumed gets all from its checkpoint.
    """

    def __init__(self, plan: Plan, gathered: Gathered, begins: bool = True):
        super().__init__()
        self.plan = plan
        of_encoder = begins and plan.model.start_from is None
        self.network = build_model(plan.model, len(plan.classes), plan.training.seed, load_weights=of_encoder)
        self.loss = build_loss(plan.loss, gathered.class_share, plan.classes)
        self.confusion = MulticlassConfusionMatrix(len(plan.classes), ignore_index=UNLABELLED)
        self.scores: dict[str, float] = {}
        self._trained_on = TrainedOn(
            samples=frozenset(p.identity for p in gathered.synthetic),
            images=frozenset(p.identity for p in gathered.real),
            specimens=frozenset(p.specimen for p in gathered.real),
        )
        if begins:
            self._trained_on |= begin_from(plan, self.network, gathered.held_out)
        self._validation_losses: list[torch.Tensor] = []
        self._held_out = len(gathered.held_out)
        if plan.training.channels_last:
            self.network.to(memory_format=torch.channels_last)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        images, labels = batch
        if self.plan.training.channels_last:
            images = images.to(memory_format=torch.channels_last)
        accumulate = self.plan.training.accumulate
        batch_number = self.global_step * accumulate + batch_idx % accumulate
        key = (batch_number, self.global_rank)  # so that dropout is the same in a run that was resumed
        torch.manual_seed(int(np.random.SeedSequence(self.plan.training.seed, spawn_key=key).generate_state(1)[0]))
        return self.loss(self.network(images), labels, total)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        if batch_idx >= len(range(self.global_rank, self._held_out, self.trainer.world_size)):
            return  # a picture to have one at all: a process without any would not take part in the sums
        images, labels = batch
        p = window_probabilities(self.network, images, WINDOW_CROPS * self.plan.data.crop_px)
        self._validation_losses.append(self.loss(p.clamp_min(torch.finfo(p.dtype).tiny).log(), labels))
        self.confusion.update(p, labels.long())

    def on_validation_epoch_end(self) -> None:
        counts = self.confusion.compute().cpu().numpy()
        self.confusion.reset()
        loss = total(sum(self._validation_losses, torch.zeros((), device=self.device))) / self._held_out
        self._validation_losses = []
        every_dice, every_iou = dice(counts), iou(counts)
        self.scores = {
            "val_loss": float(loss),
            "mean_dice": mean_over_present(every_dice),
            "mean_iou": mean_over_present(every_iou),
            **{f"dice_{name}": float(x) for name, x in zip(self.plan.classes.names, every_dice, strict=True)},
            **{f"iou_{name}": float(x) for name, x in zip(self.plan.classes.names, every_iou, strict=True)},
        }
        self.log("mean_dice", self.scores["mean_dice"], logger=False)  # for who stops a run by it

    def configure_optimizers(self) -> Any:
        settings = self.plan.training
        optimizer = optimizer_of(self.network, settings)
        schedule = {"scheduler": schedule_of(optimizer, settings), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        plan = Plan.model_validate(self.plan.model_dump(include=set(Plan.model_fields)))
        checkpoint[CHECKPOINT_KEY] = {"plan": plan.model_dump(mode="json"), "trained_on": self._trained_on.stored()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._trained_on |= TrainedOn.from_stored(checkpoint[CHECKPOINT_KEY]["trained_on"])
