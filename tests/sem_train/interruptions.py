"""Runs that are stopped in the middle."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from lightning.pytorch.callbacks import Callback

from sem_train import training
from sem_train.config import TrainConfig
from semforge.settings import load_settings


class InterruptAt(Callback):
    """Presses Ctrl-C in a step."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


def with_callback(monkeypatch, callback, position=0):
    """Let the next runs have a callback more."""
    build = training._trainer

    def build_with_callback(*args):
        trainer = build(*args)
        trainer.callbacks.insert(position, callback)
        return trainer

    monkeypatch.setattr(training, "_trainer", build_with_callback)


def interrupt_at(monkeypatch, step):
    """Let the next runs be interrupted in `step`."""
    with_callback(monkeypatch, InterruptAt(step))


class KillAt(Callback):
    """Ends the process at once, as a power cut would, before a batch."""

    def __init__(self, batch):
        self.batch = batch

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == self.batch:
            os.kill(os.getpid(), signal.SIGKILL)


def fit_until_killed(settings, batch):
    """Train `settings` in a process of its own that dies by SIGKILL before `batch`."""
    path = settings.out.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    code = f"from interruptions import _fit_and_die; _fit_and_die({str(path)!r}, {batch})"
    died = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert died.returncode == -signal.SIGKILL, died.stderr


def _fit_and_die(path, batch):
    with_callback(pytest.MonkeyPatch(), KillAt(batch))
    training.fit(load_settings(Path(path), TrainConfig))
