"""Training: the Lightning module, its data, and `fit`, which starts, continues or finds a run finished."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader
from torchmetrics.classification import MulticlassConfusionMatrix

from sem_train.callbacks import Interrupted, RunKeeper, Teller, WholeFileCheckpoints
from sem_train.config import UNLABELLED, Plan, TrainConfig, TrainingSettings
from sem_train.data import Crops, Gathered, MixedBatches, WholePictures, gather
from sem_train.distributed import (
    Processes,
    one_voice,
    processes_here,
    refuse_bad_shape,
    run_processes,
    share_batch_norm,
    total,
)
from sem_train.hardware import flush_denormals, training_device, uses_bf16
from sem_train.inference import CHECKPOINT_KEY, TrainedOn, window_probabilities
from sem_train.losses import build_loss
from sem_train.metrics import dice, iou, mean_over_present
from sem_train.models import build_model
from sem_train.run_folder import RunFolder, read_history, write_report
from sem_train.starting import begin_from
from sem_train.transforms import Augmentation

Batch = tuple[torch.Tensor, torch.Tensor]  # images (N, 1, H, W) float32; labels (N, H, W) uint8
ONE_CYCLE_RISE = 0.15  # share of the steps in which the learning rate rises
POLY_POWER = 0.9  # of what is left of the steps, as DeepLab has it
BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}  # what processes agree on is in main memory


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
        key = (self.global_step, self.global_rank)  # so that dropout is the same in a run that was resumed
        torch.manual_seed(int(np.random.SeedSequence(self.plan.training.seed, spawn_key=key).generate_state(1)[0]))
        return self.loss(self.network(images), labels, total)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        if batch_idx >= len(range(self.global_rank, self._held_out, self.trainer.world_size)):
            return  # a picture to have one at all: a process without any would not take part in the sums
        images, labels = batch
        p = window_probabilities(self.network, images, 2 * self.plan.data.crop_px)
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

    def configure_optimizers(self) -> Any:
        settings = self.plan.training
        optimizer = _optimizer(self.network, settings)
        schedule = {"scheduler": _schedule(optimizer, settings), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        plan = Plan.model_validate(self.plan.model_dump(include=set(Plan.model_fields)))
        checkpoint[CHECKPOINT_KEY] = {"plan": plan.model_dump(mode="json"), "trained_on": self._trained_on.stored()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._trained_on |= TrainedOn.from_stored(checkpoint[CHECKPOINT_KEY]["trained_on"])


class Pictures(L.LightningDataModule):
    """Training crops that continue at the step the trainer is at, and held-out pictures as they are.

    Each process has its share of a batch and of the held-out pictures.
    """

    def __init__(self, plan: Plan, gathered: Gathered, pin_memory: bool):
        super().__init__()
        self.plan, self.gathered, self.pin_memory = plan, gathered, pin_memory

    def train_dataloader(self) -> DataLoader:
        data, training = self.plan.data, self.plan.training
        pictures = WholePictures(self.gathered.training, data)
        crops = Crops(pictures, Augmentation(self.plan.augment), data.crop_px, training.seed)
        batches = MixedBatches(
            len(self.gathered.synthetic), len(self.gathered.real), data.mixing, training.batch_size, training.seed,
            self.trainer.global_step, self.trainer.global_rank, self.trainer.world_size, training.steps,
        )  # fmt: skip
        return DataLoader(crops, batch_sampler=batches, num_workers=training.workers, pin_memory=self.pin_memory)

    def val_dataloader(self) -> DataLoader | list:
        held_out = self.gathered.held_out
        if not held_out:
            return []
        own = held_out[self.trainer.global_rank :: self.trainer.world_size] or held_out[:1]
        return DataLoader(WholePictures(own, self.plan.data), batch_size=1)


@dataclass(frozen=True)
class FitResult:
    """How a run ended."""

    folder: RunFolder
    steps: int
    seconds: float  # spent in training, over all its resumptions
    resumed_at: int  # 0 if it started afresh; `steps` if it was finished before
    scores: dict[str, float]  # the last row of the history

    def summary(self) -> str:
        """One line for the user."""
        how = "was finished before" if self.resumed_at == self.steps else "is finished"
        dice = f", held-out mean Dice {self.scores['mean_dice']:.3f}" if "mean_dice" in self.scores else ""
        return f"{self.folder.path} {how}: {self.steps} steps, {self.seconds:.0f} s{dice}"


def fit(config: TrainConfig) -> FitResult:
    """Train the model that `config` describes into its folder `out`, or go on with its unfinished run there.

    In each of several processes that were started together, or by starting `training.devices` of them here.
    Raises InputError before the first step if the data, the settings or the folder cannot be used, and
    KeyboardInterrupt after Ctrl-C, SIGTERM or SIGUSR2, with a checkpoint to go on from.
    """
    here = processes_here()
    with one_voice(here):
        refuse_bad_shape(config.training, here)
        folder = RunFolder(config.out)
        state = folder.state(config) if here is None or here.rank == 0 else folder.progress()
        if state == "finished":
            return _result(folder, config.training.steps, resumed_at=config.training.steps)
        count = config.training.devices or 1
        if here is None and count > 1:
            training_device(config.training.accelerator, count)
            step = torch.load(folder.last, weights_only=True)["global_step"] if state == "unfinished" else 0
            run_processes(config, count)
            return _result(folder, config.training.steps, resumed_at=step)
        return _fit(config, here, folder, resume=state == "unfinished")


def _fit(config: TrainConfig, here: Processes | None, folder: RunFolder, resume: bool) -> FitResult:
    flush_denormals()
    steps = config.training.steps
    device = training_device(config.training.accelerator, here.per_node if here else 1)
    gathered = gather(config.data, config.classes)
    segmenter = Segmenter(config, gathered, begins=not resume)
    if here and device.type == "cpu":
        share_batch_norm(segmenter.network)
    if here is None or here.rank == 0:
        folder.claim(config)
    keeper = RunKeeper(
        folder, min(config.training.val_every, steps), validates=bool(gathered.held_out),
        checkpoint_s=60 * config.training.checkpoint_minutes,
    )  # fmt: skip
    pictures = Pictures(config, gathered, pin_memory=device.type == "cuda")
    with _quiet_lightning(), keeper.catching_interrupts():
        trainer = _trainer(config, keeper, here, device)
        try:
            resume_from = folder.last if resume else None
            trainer.fit(segmenter, datamodule=pictures, ckpt_path=resume_from, weights_only=True)
            if not keeper.rows or keeper.rows[-1]["step"] < steps:  # the last steps, if fewer than 'val_every'
                trainer.validate(segmenter, datamodule=pictures, verbose=False)
        except (Interrupted, SystemExit):  # Lightning turns KeyboardInterrupt into SystemExit
            raise KeyboardInterrupt from None
        seconds = round(keeper.seconds, 1)
        if trainer.is_global_zero:
            write_report(folder.report, {"name": config.name, "steps": steps, "seconds": seconds})
        trainer.save_checkpoint(folder.last, weights_only=True)  # a finished run needs no optimiser state
    return FitResult(folder, steps, seconds, keeper.first_step, keeper.rows[-1])


def _trainer(config: TrainConfig, keeper: RunKeeper, here: Processes | None, device: torch.device) -> L.Trainer:
    training = config.training
    ddp = here is not None or training.strategy == "ddp"
    strategy = DDPStrategy(process_group_backend=BACKENDS[device.type], broadcast_buffers=False) if ddp else "auto"
    return L.Trainer(
        max_steps=training.steps, max_epochs=-1, accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=here.per_node if here else 1, num_nodes=here.nodes if here else 1,
        strategy=strategy, sync_batchnorm=here is not None and device.type == "cuda",
        precision="bf16-mixed" if uses_bf16(training.precision, device) else "32-true",
        gradient_clip_val=training.gradient_clip or None,
        val_check_interval=keeper.save_every, check_val_every_n_epoch=None,
        num_sanity_val_steps=0, use_distributed_sampler=False, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
        callbacks=[keeper, Teller(keeper, training.steps, config.name)],
        # Named, or Lightning would take a job of one task for a distributed one and its signals for its own.
        plugins=[WholeFileCheckpoints(), here.environment if here else LightningEnvironment()],
    )  # fmt: skip


def _optimizer(network: torch.nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    parameters, rate, decay = network.parameters(), settings.learning_rate, settings.weight_decay
    if settings.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=settings.momentum, weight_decay=decay)
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)


def _schedule(optimizer: torch.optim.Optimizer, settings: TrainingSettings) -> torch.optim.lr_scheduler.LRScheduler:
    schedulers = torch.optim.lr_scheduler
    if settings.schedule == "one_cycle":
        return schedulers.OneCycleLR(
            optimizer, settings.learning_rate, total_steps=settings.steps + 1, pct_start=ONE_CYCLE_RISE,
            cycle_momentum=settings.optimizer == "adamw",  # that of sgd is as told
        )  # fmt: skip
    if settings.schedule == "cosine":
        return schedulers.CosineAnnealingLR(optimizer, T_max=settings.steps)
    if settings.schedule == "poly":
        return schedulers.PolynomialLR(optimizer, total_iters=settings.steps, power=POLY_POWER)
    return schedulers.ConstantLR(optimizer, factor=1.0)


def _result(folder: RunFolder, steps: int, resumed_at: int) -> FitResult:
    history = read_history(folder.path)
    last = {column: values[-1] for column, values in history.items()}
    return FitResult(folder, steps, json.loads(folder.report.read_text())["seconds"], resumed_at, last)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Without Lightning's advice on loggers, workers and devices, which are chosen here on purpose."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
            # of a process without a held-out picture of its own
            warnings.filterwarnings("ignore", message="The ``compute`` method of metric")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
