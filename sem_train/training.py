"""Training: its data, and `fit`, which starts, continues or finds a run finished."""

import json
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import lightning as L
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader

from sem_train.averaging import AveragedWeights
from sem_train.callbacks import MEAN_DICE, Interrupted, Patience, RunKeeper, Score, Teller, WholeFileCheckpoints
from sem_train.config import Plan, TrainConfig, TrainingSettings
from sem_train.data import Ahead, Crops, Gathered, MixedBatches, WholePictures, gather, settled
from sem_train.distributed import (
    Processes,
    one_voice,
    processes_here,
    refuse_bad_shape,
    run_processes,
    share_batch_norm,
)
from sem_train.hardware import (
    deterministic_algorithms,
    flush_denormals,
    number_format,
    refuse_bad_precision,
    training_device,
)
from sem_train.run_folder import RunFolder, read_history, write_report
from sem_train.segmenter import Batch, Segmenter
from sem_train.transforms import Augmentation
from semforge.errors import InputError

PRECISIONS = {"bf16": "bf16-mixed", "fp16": "16-mixed", "32": "32-true"}  # as Lightning calls them
BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}  # what processes agree on is in main memory


class Pictures(L.LightningDataModule):
    """Training crops that continue at the step the trainer is at, and held-out pictures as they are.

    Each process has its share of a batch and of the held-out pictures.
    """

    def __init__(self, plan: Plan, gathered: Gathered, pin_memory: bool):
        super().__init__()
        self.plan, self.gathered, self.pin_memory = plan, gathered, pin_memory

    def train_dataloader(self) -> Iterable[Batch]:
        data, training = self.plan.data, self.plan.training
        pictures = WholePictures(self.gathered.training, data)
        crops = Crops(pictures, Augmentation(self.plan.augment), data.crop_px, training.seed)
        batches = MixedBatches(
            len(self.gathered.synthetic), len(self.gathered.real), data.mixing, training.batch_size, training.seed,
            self.trainer.global_step * training.accumulate, self.trainer.global_rank, self.trainer.world_size,
            training.steps * training.accumulate,
        )  # fmt: skip
        loader = DataLoader(crops, batch_sampler=batches, num_workers=training.workers, pin_memory=self.pin_memory)
        return loader if training.workers else Ahead(loader)

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
    steps: int  # of the optimiser
    seconds: float  # spent in training, over all its resumptions
    resumed_at: int  # 0 if it started afresh; `steps` if it was finished before
    scores: dict[str, float]  # the last row of the history
    stopped: str | None = None  # why it ended before all of its steps
    score: Score = MEAN_DICE

    def summary(self) -> str:
        """One line for the user."""
        how = "was finished before" if self.resumed_at == self.steps else "is finished"
        key = self.score.key
        held_out = f", {self.score.of} {self.score.name} {self.scores[key]:.3f}" if key in self.scores else ""
        why = f"; stopped early: {self.stopped}" if self.stopped else ""
        return f"{self.folder.path} {how}: {self.steps} steps, {self.seconds:.0f} s{held_out}{why}"


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
            return result_of(folder)
        first_step = steps_done(folder) if state == "unfinished" else None
        count = config.training.devices or 1
        if here is None and count > 1:
            training_device(config.training.accelerator, count)
            run_processes(config, count)
            return result_of(folder, resumed_at=first_step or 0)
        with deterministic_algorithms(config.training.deterministic):
            return _fit(config, here, folder, first_step)


def _fit(config: TrainConfig, here: Processes | None, folder: RunFolder, resumed_at: int | None) -> FitResult:
    flush_denormals()
    training = config.training
    device = training_device(training.accelerator, here.per_node if here else 1)
    refuse_bad_precision(training.precision, device)
    gathered = gather(config.data, config.classes)
    if training.patience and not gathered.held_out:
        raise InputError(f"training.patience is {training.patience}, but nothing is held out to score; "
                         "hold out data, or leave it out")  # fmt: skip
    plan = settled(config, gathered)
    segmenter = Segmenter(plan, gathered, begins=resumed_at is None)
    if here and device.type == "cpu":
        share_batch_norm(segmenter.network)
    if here is None or here.rank == 0:
        folder.claim(config)
    pictures = Pictures(plan, gathered, pin_memory=device.type == "cuda")
    return run_module(config.name, training, folder, segmenter, pictures, bool(gathered.held_out), resumed_at, here)


def run_module(
    name: str, training: TrainingSettings, folder: RunFolder, module: L.LightningModule, data: L.LightningDataModule,
    validates: bool, resumed_at: int | None, here: Processes | None = None, score: Score = MEAN_DICE,
    finish: Callable[[], None] | None = None,
) -> FitResult:  # fmt: skip
    """Train a module in its claimed folder from the beginning (`resumed_at` None) or from its last checkpoint.

    `module.scores` are those of its last validation, if it `validates`. `finish` is called with the last weights in
    place, before the checkpoint of the finished run is written. Raises KeyboardInterrupt as `fit` does.
    """
    device = training_device(training.accelerator, here.per_node if here else 1)
    own_device = torch.device("cuda", here.local_rank if here else 0) if device.type == "cuda" else device
    average = AveragedWeights(training.ema_decay, own_device) if training.ema_decay else None
    keeper = RunKeeper(
        folder, min(training.val_every, training.steps), validates=validates,
        checkpoint_s=60 * training.checkpoint_minutes, average=average, score=score,
    )  # fmt: skip
    with _quiet_lightning(), keeper.catching_interrupts():
        trainer = _trainer(name, training, keeper, here, device, resumed_at or 0)
        try:
            resume_from = None if resumed_at is None else folder.last
            trainer.fit(module, datamodule=data, ckpt_path=resume_from, weights_only=True)
            if average:
                average.settle(module)
            if not keeper.rows or keeper.rows[-1]["step"] < trainer.global_step:  # the last, if fewer than 'val_every'
                trainer.validate(module, datamodule=data, verbose=False)
            if finish:
                finish()
        except (Interrupted, SystemExit):  # Lightning turns KeyboardInterrupt into SystemExit
            raise KeyboardInterrupt from None
        seconds, steps = round(keeper.seconds, 1), trainer.global_step
        stopped = keeper.lull() if steps < training.steps else None
        if trainer.is_global_zero:
            write_report(folder.report, {"name": name, "steps": steps, "stopped": stopped, "seconds": seconds})
        trainer.save_checkpoint(folder.last, weights_only=True)  # a finished run needs no optimiser state
    return FitResult(folder, steps, seconds, keeper.first_step, keeper.rows[-1], stopped, score)


def _trainer(
    name: str, training: TrainingSettings, keeper: RunKeeper, here: Processes | None, device: torch.device,
    first_step: int,
) -> L.Trainer:  # fmt: skip
    ddp = here is not None or training.strategy == "ddp"
    strategy = DDPStrategy(process_group_backend=BACKENDS[device.type], broadcast_buffers=False) if ddp else "auto"
    callbacks: list[L.Callback] = [keeper, Teller(keeper, training.steps, name)]
    files = None
    if training.tensorboard:
        from sem_train.logs import Curves, EventFiles  # what the keeper saves, they have written

        files = EventFiles(keeper.folder.tensorboard, first_step)
        callbacks.insert(0, Curves(files))
    if training.patience:
        callbacks.insert(0, Patience(training.patience, keeper.score))
    if keeper.average:
        callbacks.insert(0, keeper.average)
    return L.Trainer(
        max_steps=training.steps, max_epochs=-1, accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=here.per_node if here else 1, num_nodes=here.nodes if here else 1,
        strategy=strategy, sync_batchnorm=here is not None and device.type == "cuda",
        precision=PRECISIONS[number_format(training.precision, device)],
        gradient_clip_val=training.gradient_clip or None, accumulate_grad_batches=training.accumulate,
        val_check_interval=keeper.save_every * training.accumulate, check_val_every_n_epoch=None,
        num_sanity_val_steps=0, use_distributed_sampler=False, logger=files or False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=callbacks,
        # Named, or Lightning would take a job of one task for a distributed one and its signals for its own.
        plugins=[WholeFileCheckpoints(), here.environment if here else LightningEnvironment()],
    )  # fmt: skip


def steps_done(folder: RunFolder) -> int:
    """Steps behind the last checkpoint of an unfinished run."""
    return torch.load(folder.last, weights_only=True, mmap=True)["global_step"]


def result_of(folder: RunFolder, resumed_at: int | None = None, score: Score = MEAN_DICE) -> FitResult:
    """Of a finished run; `resumed_at` None if it was finished before."""
    last = {column: values[-1] for column, values in read_history(folder.path).items()}
    report = json.loads(folder.report.read_text(encoding="utf-8"))
    steps = report["steps"]
    at = steps if resumed_at is None else resumed_at
    return FitResult(folder, steps, report["seconds"], at, last, report.get("stopped"), score)


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
            # of a step that fp16 leaves out as its gradient overflowed
            warnings.filterwarnings("ignore", message=r"Detected call of `lr_scheduler\.step\(\)` before")
            # of a process without a held-out picture of its own
            warnings.filterwarnings("ignore", message="The ``compute`` method of metric")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
