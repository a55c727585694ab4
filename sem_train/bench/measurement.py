"""A whole benchmark: models, settings, and GPUs."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from sem_train.bench.jobs import Job
from sem_train.bench.rounds import BenchSettings, Row, time_model
from sem_train.bench.scaling import Scale, measure_scaling, refuse_too_many
from sem_train.bench.variants import chosen_variants
from semforge.errors import InputError


@dataclass(frozen=True)
class Result:
    """What came out, and the circumstances."""

    rows: tuple[Row, ...]
    scaling: tuple[Scale, ...]
    how: BenchSettings
    batch: int
    crop_px: int
    device: str  # its name
    load: tuple[float, float]  # runnable processes before and after, mean over a minute

    def row(self, model: str, setting: str) -> Row | None:
        """A row by name."""
        return next((row for row in self.rows if (row.model, row.setting) == (model, setting)), None)


def measure_speed(jobs: Sequence[Job], how: BenchSettings, told: Callable[[str], object] = lambda note: None) -> Result:
    """Train every job in every setting, one model after the other; `told` hears what is going on.

    Raises InputError for settings that there are not, or that this machine cannot do.
    """
    device = _device(how.device)
    if how.devices:
        refuse_too_many(how.devices)
    variants = [chosen_variants(how.settings, job, device) for job in jobs]
    before, rows, scaling = _load(), [], []
    for job, chosen in zip(jobs, variants, strict=True):
        rows += time_model(job, chosen, device, how, told)
        if how.devices:
            told(f"{job.model.name}, up to {how.devices} GPUs")
            scaling += measure_scaling(job, how.devices, how.steps)
    size = jobs[0].training.batch_size, jobs[0].crop_px
    return Result(tuple(rows), tuple(scaling), how, *size, _name(device), (before, _load()))


def _device(wanted: str) -> torch.device:
    if wanted not in ("auto", "cpu", "gpu"):
        raise InputError(f"--device {wanted!r} is unknown, expected auto, cpu or gpu")
    there = torch.cuda.is_available()
    if wanted == "gpu" and not there:
        raise InputError("--device is gpu, but PyTorch finds no GPU on this machine; give cpu or auto")
    return torch.device("cuda" if there and wanted != "cpu" else "cpu")


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.backends.cpu.get_cpu_capability()}"


def _load() -> float:
    return os.getloadavg()[0]
