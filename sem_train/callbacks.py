"""What happens around training steps: checkpoints, history, interruption, and telling the user."""

import math
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from types import FrameType
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.plugins.io import TorchCheckpointIO
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sem_train.averaging import AveragedWeights
from sem_train.distributed import STOP_SIGNALS, handling, highest, is_first, of_first
from sem_train.run_folder import RunFolder, write_history
from semforge.cli import errors
from semforge.errors import SemforgeError
from semforge.files import whole_file

GO_ON, SAVE, STOP = range(3)  # what a process wishes after a step; the strongest wish of any is what all do


@dataclass(frozen=True)
class Score:
    """What validations are compared by; higher is better."""

    key: str  # column of the history, and of `scores` of the module
    name: str  # in a sentence
    short: str  # in a line a validation
    of: str = "held-out"  # what was validated


MEAN_DICE = Score("mean_dice", "mean Dice", "Dice")


class Interrupted(Exception):
    """A signal asked the run to stop, and it was saved after the step it was in."""


class WholeFileCheckpoints(TorchCheckpointIO):
    """Checkpoints appear whole or not at all."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with whole_file(path) as temporary:
            torch.save(checkpoint, temporary)


class StepCallback(Callback):
    """A callback that is told of each step of the optimiser, which may take several batches."""

    _loss: torch.Tensor | None = None  # of the batches of this step so far, each its share

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        share = outputs["loss"].detach()
        loss = share if self._loss is None else self._loss + share
        complete = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        self._loss = None if complete else loss
        if complete:
            self.on_step(trainer, pl_module, loss)

    def on_step(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: torch.Tensor) -> None:
        """Called after a step; `loss` is the mean over its batches."""


class Patience(EarlyStopping):
    """Stops a run, all its processes, after so many validations without a better score."""

    def __init__(self, validations: int, score: Score = MEAN_DICE):
        super().__init__(score.key, patience=validations, mode="max", check_finite=False,
                         check_on_train_epoch_end=False)  # fmt: skip

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.wait_count >= self.patience:  # killed between its last checkpoint and its end
            trainer.should_stop = True


class RunKeeper(StepCallback):
    """Keeps history and checkpoints of a run; both continue exactly where a resumed run left off.

    Validation comes every `save_every` steps, and a checkpoint with it; where nothing is held out, the checkpoint
    comes alone. Others come after `checkpoint_s` seconds without one. Ctrl-C, SIGTERM and SIGUSR2 save at the end of
    the step in which they come and stop the run, that of all its processes. A second Ctrl-C stops at once.
    `average` are the weights that are validated, where these are not those of the last step.
    """

    def __init__(
        self, folder: RunFolder, save_every: int, validates: bool, checkpoint_s: float = math.inf,
        average: AveragedWeights | None = None, score: Score = MEAN_DICE,
    ):  # fmt: skip
        self.folder, self.save_every, self.validates, self.checkpoint_s = folder, save_every, validates, checkpoint_s
        self.average, self.score = average, score
        self.rows: list[dict[str, float]] = []
        self.seconds = 0.0
        self.first_step = 0  # where this call began
        self._losses: list[torch.Tensor] = []
        self._started = 0.0
        self._saved = 0.0  # when
        self._interrupted = False
        self._first = is_first()
        self._ours: list[int] = []  # signals that end here

    @contextmanager
    def catching_interrupts(self) -> Iterator[None]:
        """Within, signals to stop end the run by `Interrupted` after the step and its checkpoint."""
        with handling(self._on_signal, STOP_SIGNALS):
            self._ours = [number for number in STOP_SIGNALS if signal.getsignal(number) == self._on_signal]
            yield

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "seconds": self._elapsed(), "losses": [float(x) for x in self._losses]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows, self.seconds = list(state_dict["rows"]), state_dict["seconds"]
        self._losses = [torch.tensor(x) for x in state_dict["losses"]]

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._started = time.monotonic()

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage == "fit":
            self.seconds, self._started = self._elapsed(), 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._take_signals()
        self.first_step = trainer.global_step
        self._saved = time.monotonic()
        if highest(self.first_step) != -highest(-self.first_step):
            raise SemforgeError(f"{self.folder.last}: is not the same file on all nodes; put 'out' on a shared disk")

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._take_signals()

    def on_step(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: torch.Tensor) -> None:
        self._losses.append(loss)
        due = trainer.global_step % self.save_every == 0
        if due and self.validates:
            return  # the validation that follows records and saves
        if not self.validates and (due or trainer.global_step == trainer.max_steps):
            self._record(trainer, {})
            self._save(trainer)
        self._save_or_stop(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        key = self.score.key
        best_before = max((row[key] for row in self.rows), default=-math.inf)
        self._record(trainer, pl_module.scores)
        self._save(trainer)
        if of_first(pl_module.scores[key] > best_before or not self.folder.best.exists()):
            with self.average.in_use(pl_module) if self.average else nullcontext():
                trainer.save_checkpoint(self.folder.best, weights_only=True)
        self._save_or_stop(trainer)

    def lull(self) -> str:
        """How long the run has scored no better, in words."""
        best = max(range(len(self.rows)), key=lambda i: self.rows[i][self.score.key])
        return (
            f"{len(self.rows) - 1 - best} validations without a better {self.score.name} "
            f"than {self.rows[best][self.score.key]:.3f} at step {self.rows[best]['step']:.0f}"
        )

    def _save(self, trainer: L.Trainer) -> None:
        trainer.save_checkpoint(self.folder.last)
        self._saved = time.monotonic()

    def _save_or_stop(self, trainer: L.Trainer) -> None:
        due = time.monotonic() - self._saved > self.checkpoint_s
        wish = highest(STOP if self._interrupted else SAVE if due else GO_ON)
        if wish >= SAVE:
            self._save(trainer)
        if wish == STOP:
            raise Interrupted

    def _record(self, trainer: L.Trainer, scores: dict[str, float]) -> None:
        train_loss = float(torch.stack([x.cpu() for x in self._losses]).mean()) if self._losses else math.nan
        self._losses = []
        rate = trainer.optimizers[0].param_groups[0]["lr"] if trainer.optimizers else math.nan
        about = {"step": trainer.global_step, "seconds": self._elapsed(), "learning_rate": rate}
        self.rows.append({**about, "train_loss": train_loss, **scores})
        if trainer.is_global_zero:
            write_history(self.folder.history, self.rows)

    def _elapsed(self) -> float:
        return self.seconds + (time.monotonic() - self._started if self._started else 0.0)

    def _take_signals(self) -> None:
        # Lightning's own handler would exchange tensors in the middle of whatever is going on.
        for number in self._ours:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self._interrupted:
            raise KeyboardInterrupt
        if not self._interrupted and self._first:
            again = "; Ctrl-C again to stop at once" if number == signal.SIGINT else ""
            line = f"{signal.Signals(number).name}: saving after this step, then stopping{again}\n"
            os.write(2, line.encode())  # whatever this comes in the middle of, a print of its own too
        self._interrupted = True


class Teller(StepCallback):
    """A progress bar on a terminal, else a line each validation."""

    EVERY = 5  # steps between updates; reading a loss makes a GPU wait

    def __init__(self, keeper: RunKeeper, steps: int, name: str):
        self.keeper, self.steps = keeper, steps
        text = TextColumn("{task.fields[note]}")
        columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), text)
        self.bar = Progress(*columns, console=errors, disable=not errors.is_terminal)
        self.task = self.bar.add_task(name, total=steps, note="")
        self._scores = ""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.is_global_zero:
            self.bar.update(self.task, completed=trainer.global_step)
            self.bar.start()

    def on_step(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: torch.Tensor) -> None:
        if trainer.is_global_zero and not self.bar.disable and trainer.global_step % self.EVERY == 0:
            note = f"loss {float(loss):.3f}{self._scores}"
            self.bar.update(self.task, completed=trainer.global_step, note=note)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero or not self.keeper.rows:
            return
        row = self.keeper.rows[-1]
        score = self.keeper.score
        self._scores = f", {score.of} {score.short} {row[score.key]:.3f}"
        if self.bar.disable:
            errors.print(
                f"step {trainer.global_step}/{self.steps}, {row['seconds']:.0f} s: "
                f"loss {row['train_loss']:.3f}{self._scores}"
            )

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self.bar.stop()
