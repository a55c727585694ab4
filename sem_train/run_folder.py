"""What a training run leaves on disk, and how to tell its state from it.

Of any training whose settings have `name`, `out` and `training`.

==============  ===============================================================================
config.yaml     the settings of the run
last.ckpt       everything needed to go on: weights, optimiser, schedule, position, history
best.ckpt       weights of the best validation so far (highest score), for who asks for them by name
history.csv     one row a validation
run.json        written at the end: steps, seconds, why it stopped early if it did, versions, machine
tensorboard/    event files with the same and the loss every few steps
slurm/          logs of its job, where it was trained on a cluster
==============  ===============================================================================
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from sem_train.provenance import machine, versions
from semforge.errors import InputError
from semforge.files import existing_file, remove_temporaries, write_text
from semforge.settings import Settings, load_settings

State = Literal["new", "unfinished", "finished"]

# What a run is computed on, and what is written of it, does not change it, so it may go on elsewhere.
MACHINE = {"workers", "checkpoint_minutes", "accelerator", "devices", "num_nodes", "strategy", "tensorboard"}


@dataclass(frozen=True)
class RunFolder:
    """The paths of a run."""

    path: Path

    @property
    def config(self) -> Path:
        """Settings."""
        return self.path / "config.yaml"

    @property
    def last(self) -> Path:
        """Checkpoint to go on from."""
        return self.path / "last.ckpt"

    @property
    def best(self) -> Path:
        """Checkpoint of the best validation."""
        return self.path / "best.ckpt"

    @property
    def history(self) -> Path:
        """Rows of losses and scores."""
        return self.path / "history.csv"

    @property
    def report(self) -> Path:
        """What `fit` writes when it is done."""
        return self.path / "run.json"

    @property
    def tensorboard(self) -> Path:
        """Event files."""
        return self.path / "tensorboard"

    @property
    def slurm(self) -> Path:
        """Where a job of this run has its logs; made before the run begins."""
        return self.path / "slurm"

    def state(self, config: Settings) -> State:
        """How far the run of `config` in this folder is.

        Raises InputError if the folder holds a run of other settings, or files that are no run.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path}: is a file, expected a run folder; change 'out'")
        if not self.config.exists():
            if self.path.is_dir() and any(path != self.slurm for path in self.path.iterdir()):
                raise InputError(f"{self.path}: holds files but no run, expected an empty or new folder; change 'out'")
            return "new"
        if not self.last.exists():
            return "new"  # stopped before its first checkpoint: nothing is lost
        changed = difference(compared(load_settings(self.config, type(config))), compared(config))
        if changed:
            raise InputError(f"{self.path}: holds a run of other settings ({changed}); change 'out' or remove it")
        return self.progress()

    def progress(self) -> State:
        """As `state`, of a folder that another process of the same run looks after."""
        if not self.last.exists():
            return "new"
        return "finished" if self.report.exists() else "unfinished"

    def claim(self, config: Settings) -> None:
        """Make the folder that of `config`, without what a killed process was writing."""
        remove_temporaries(self.path)
        write_text(self.config, yaml.safe_dump(_stored(config), sort_keys=False))


def read_history(run: Path) -> dict[str, list[float]]:
    """Columns of a run's history, each one value a validation: step, seconds, train_loss, val_loss, dice_<class>...

    Raises InputError if `run` has no history.
    """
    path = existing_file(RunFolder(Path(run)).history, "the history of a training run")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {column: [float(row[column] or "nan") for row in rows] for column in (rows[0] if rows else {})}


def write_history(path: Path, rows: list[dict[str, float]]) -> None:
    """Write rows with equal keys as CSV, whole or not at all."""
    lines = [",".join(rows[0])] + [",".join(f"{value:.6g}" for value in row.values()) for row in rows]
    write_text(path, "\n".join(lines) + "\n")


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write what is known of a finished run as JSON, with versions and machine."""
    write_text(path, json.dumps({**report, "versions": versions(), "machine": machine()}, indent=1) + "\n")


def _stored(config: Settings) -> dict[str, Any]:
    return config.model_dump(mode="json", exclude={"out"}) | {"out": "."}


def compared(config: Settings) -> dict[str, Any]:
    """The settings that make a run what it is, as JSON has them."""
    stored = _stored(config)
    stored["training"] = {key: value for key, value in stored["training"].items() if key not in MACHINE}
    return stored


def difference(old: Any, new: Any, where: str = "") -> str | None:
    """The first setting that differs, as `key was old, now new`; None if none does."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            found = difference(old.get(key), new.get(key), f"{where}.{key}" if where else key)
            if found:
                return found
        return None
    return None if old == new else f"{where} was {old}, now {new}"
