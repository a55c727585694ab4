"""Training of a network of spectra: `fit`, as any training here, on spectra that are drawn anew every step."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler

from sem_train.callbacks import Score
from sem_train.hardware import deterministic_algorithms, flush_denormals, refuse_bad_precision, training_device
from sem_train.optimisation import optimizer_of, schedule_of
from sem_train.run_folder import RunFolder
from sem_train.spectra.draws import Drawer, Drawn
from sem_train.spectra.model import ABOUT, about_of, load_model, network_of
from sem_train.spectra.network import spectra_input
from sem_train.spectra.novelty import DECADES, Novelty
from sem_train.spectra.references import References, gather
from sem_train.spectra.settings import MapConfig
from sem_train.training import FitResult, result_of, run_module, steps_done
from semforge.spectra import EnergyAxis

ACCURACY = Score("accuracy", "accuracy", "accuracy")
HELD_OUT = 10**9  # numbers of batches that are never learnt begin here
SURE = 0.5  # share above which a phase is what a mixed spectrum should be called
TEMPERATURES = np.geomspace(0.3, 5, 60)
LIMIT_SPECTRA = 1000  # draws for each limit


class Batches(Dataset):
    """Batches of draws by their number, inputs and shares."""

    def __init__(self, drawer: Drawer, size: int, seed: int):
        self.drawer, self.size, self.seed = drawer, size, seed

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        drawn = self.drawer.batch(number, self.size, self.seed)
        return spectra_input(drawn.counts), drawn.shares


class Numbers(Sampler):
    """Numbers of batches, of no known length: Lightning would take the rest of a resumed run for a whole epoch."""

    def __init__(self, first: int, end: int):
        self.first, self.end = first, end

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.end))


class Draws(L.LightningDataModule):
    """Drawn spectra to learn, and those of held-out variants to score."""

    def __init__(self, config: MapConfig, learnt: Drawer, held_out: Drawer):
        super().__init__()
        self.config, self.learnt, self.held_out = config, learnt, held_out

    def train_dataloader(self) -> DataLoader:
        training = self.config.training
        first, end = (steps * training.accumulate for steps in (self.trainer.global_step, training.steps))
        batches = Batches(self.learnt, training.batch_size, training.seed)
        return DataLoader(batches, batch_size=None, sampler=Numbers(first, end), num_workers=training.workers)

    def val_dataloader(self) -> DataLoader:
        size, training = min(500, self.config.training.val_spectra), self.config.training
        count = max(1, training.val_spectra // size)
        return DataLoader(Batches(self.held_out, size, 0), batch_size=None, sampler=range(HELD_OUT, HELD_OUT + count))


class Learner(L.LightningModule):
    """Learns the shares of classes in spectra."""

    def __init__(self, config: MapConfig, references: References, axis: EnergyAxis):
        super().__init__()
        self.config, self.references, self.axis = config, references, axis
        torch.manual_seed(config.training.seed)
        self.network = network_of(config, axis.channels, len(references.classes))
        self.means = references.means()
        self.novelty = Novelty.of(references.spectra, references.of_class(), axis)
        self.temperature = 1.0
        self.scores: dict[str, float] = {}
        self._seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> torch.Tensor:
        inputs, shares = batch
        return nn.functional.cross_entropy(self.network(inputs), shares)

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> None:
        inputs, shares = batch
        self._seen.append((self.network(inputs).float(), shares))

    def on_validation_epoch_end(self) -> None:
        logits, shares = (torch.cat(parts) for parts in zip(*self._seen, strict=True))
        self._seen = []
        sure = shares.max(-1).values > SURE
        right = (logits.argmax(-1) == shares.argmax(-1))[sure].float().mean()
        error = (torch.softmax(logits, -1) - shares).abs().sum(-1).mean() / 2
        loss = nn.functional.cross_entropy(logits, shares)
        self.scores = {"val_loss": float(loss), "accuracy": float(right), "share_error": float(error)}

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = optimizer_of(self.network, self.config.training)
        schedule = schedule_of(optimizer, self.config.training)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[ABOUT] = about_of({
            "classes": self.references.classes, "axis": self.axis, "config": self.config, "means": self.means,
            "novelty": self.novelty, "temperature": self.temperature, "beam_kev": self.references.beam_kev,
            "learnt_too": self.references.learnt_too,
        })  # fmt: skip

    def settle(self, held_out: Drawer) -> None:
        """Temperature and limits from held-out draws, with the weights as they are."""
        self.network.eval()
        size = self.config.training.val_spectra
        drawn = held_out.batch(HELD_OUT - 1, size, 0)
        with torch.inference_mode():
            logits = self._logits(drawn)
            losses = [float(nn.functional.cross_entropy(logits / t, drawn.shares)) for t in TEMPERATURES]
            self.temperature = float(TEMPERATURES[int(np.argmin(losses))])
            limits = [self._limit(held_out, i, 10.0**decade) for i, decade in enumerate(DECADES)]
        falling = np.maximum.accumulate(limits[::-1])[::-1].copy()
        self.novelty = replace(self.novelty, limits=falling)

    def _limit(self, held_out: Drawer, number: int, dose: float) -> float:
        drawn = held_out.batch(HELD_OUT - 2 - number, LIMIT_SPECTRA, 0, dose=dose)
        shares = torch.softmax(self._logits(drawn) / self.temperature, -1).cpu().numpy()
        counts = drawn.counts.cpu().numpy()
        some = counts.sum(-1) > 0
        distance = self.novelty.distance(counts[some], shares[some])
        return float(np.quantile(distance, self.config.reject.known))

    def _logits(self, drawn: Drawn) -> torch.Tensor:
        return self.network(spectra_input(drawn.counts).to(self.device)).float()


def score_of(learnt_too: Sequence[str]) -> Score:
    """What a run is judged by: no held-out score where some of it was learnt."""
    return replace(ACCURACY, of="training") if learnt_too else ACCURACY


def fit(config: MapConfig) -> FitResult:
    """Train the network that `config` describes into its folder `out`, or go on with its unfinished run there.

    Raises InputError before the first step if the spectra, the settings or the folder cannot be used, and
    KeyboardInterrupt after Ctrl-C, SIGTERM or SIGUSR2, with a checkpoint to go on from.
    """
    folder = RunFolder(config.out)
    state = folder.state(config)
    if state == "finished":
        return result_of(folder, score=score_of(load_model(folder.last).learnt_too))
    training = config.training
    resumed_at = steps_done(folder) if state == "unfinished" else None
    with deterministic_algorithms(training.deterministic):
        flush_denormals()
        refuse_bad_precision(training.precision, training_device(training.accelerator, 1))
        learnt, held, axis = gather(config.data)
        learner = Learner(config, learnt, axis)
        host = torch.device("cpu")  # draws come from there, the same on any machine
        held_out = Drawer(held, config.draws, axis, host)
        draws = Draws(config, Drawer(learnt, config.draws, axis, host), held_out)
        folder.claim(config)
        return run_module(
            config.name, training, folder, learner, draws, True, resumed_at, score=score_of(learnt.learnt_too),
            finish=lambda: learner.settle(held_out),
        )  # fmt: skip
