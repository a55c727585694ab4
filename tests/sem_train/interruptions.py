"""Runs that are stopped in the middle."""

import os
import signal

from lightning.pytorch.callbacks import Callback

from sem_train import training


class InterruptAt(Callback):
    """Presses Ctrl-C in a step."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


def interrupt_at(monkeypatch, step):
    """Let the next runs be interrupted in `step`."""
    build = training._trainer

    def build_with_interrupt(*args):
        trainer = build(*args)
        trainer.callbacks.insert(0, InterruptAt(step))
        return trainer

    monkeypatch.setattr(training, "_trainer", build_with_interrupt)
