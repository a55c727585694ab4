"""All settings of a model in turn, a step each, so that whatever else the machine does hits them alike."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import fmean, median, stdev

import torch

from sem_train.bench.arithmetic import multiply_adds, parameters, step_multiply_adds
from sem_train.bench.jobs import Job
from sem_train.bench.variants import Variant
from sem_train.bench.worker import BATCHES, Turn, Worker
from sem_train.models import build_model


@dataclass(frozen=True)
class BenchSettings:
    """How much is measured."""

    settings: tuple[str, ...] = ("library", "default", "all")  # of VARIANTS
    steps: int = 12  # that are timed
    warm_up: int = 2  # steps before them
    repeats: int = 2  # trainings, each from other weights
    threads: int = 0  # CPU threads; 0: as many as PyTorch takes
    device: str = "auto"  # auto, cpu or gpu
    devices: int = 0  # GPUs to scale up to; 0: none


@dataclass(frozen=True)
class Row:
    """A model in a setting; its turns are a list a repeat."""

    model: str
    setting: str
    about: str
    batch: int
    parameters: int
    multiply_adds: int  # of a prediction of one crop
    step_multiply_adds: int  # of a step, forward and backward
    number_format: str
    threads: int
    on_gpu: bool
    matmul: float  # multiply-adds a CPU second, or second of a GPU, of a matrix product in this number format
    memory_mib: float
    repeats: tuple[tuple[Turn, ...], ...]

    @property
    def turns(self) -> list[Turn]:
        """Of all repeats."""
        return [turn for repeat in self.repeats for turn in repeat]

    @property
    def step_seconds(self) -> float:
        """Median of a step."""
        return median(turn.wall_s for turn in self.turns)

    @property
    def cpu_seconds(self) -> float:
        """Median of a step, of all threads together; those that wait awake count too."""
        return median(turn.cpu_s for turn in self.turns)

    @property
    def images_per_second(self) -> float:
        """Crops that are trained on in a second."""
        return self.batch / self.step_seconds

    @property
    def share_of_peak(self) -> float:
        """Multiply-adds of a step over those of a matrix product in its time, that of the GPU or of the CPU's cores.

        In CPU seconds, so that other programs on the machine do not count.
        """
        return self.step_multiply_adds / (self.step_seconds if self.on_gpu else self.cpu_seconds) / self.matmul

    @property
    def last_losses(self) -> tuple[float, ...]:
        """Of each repeat, the mean over the last steps, as many as there are different batches."""
        return tuple(fmean(turn.loss for turn in repeat[-BATCHES:]) for repeat in self.repeats)

    @property
    def loss(self) -> float:
        """Mean over the repeats."""
        return fmean(self.last_losses)

    @property
    def loss_sd(self) -> float | None:
        """Standard deviation over the repeats, each of which has its own initial weights; None of a single one."""
        return stdev(self.last_losses) if len(self.last_losses) > 1 else None

    def times(self, other: "Row") -> float:
        """How many times as fast as another row: the median over the rounds that both were in."""
        return median(theirs.wall_s / ours.wall_s for theirs, ours in zip(other.turns, self.turns, strict=True))

    def times_in_cpu(self, other: "Row") -> float:
        """As `times`, in CPU seconds, which other programs change less."""
        return median(theirs.cpu_s / ours.cpu_s for theirs, ours in zip(other.turns, self.turns, strict=True))


def time_model(
    job: Job, variants: dict[str, Variant], device: torch.device, how: BenchSettings, told: Callable[[str], object]
) -> list[Row]:
    """Train a model in every setting, `how.repeats` times; `told` hears of each.

    Each setting has a process of its own. They take turns step by step; every repeat has other initial weights,
    the same in all settings of one network.
    """
    job = job.of_steps(how.warm_up + how.steps)
    done: dict[str, list[tuple[Turn, ...]]] = {name: [] for name in variants}
    peaks: dict[str, float] = {}
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(job, v, device, how.threads)) for name, v in variants.items()}
        for repeat in range(how.repeats):
            told(f"{job.model.name}, training {repeat + 1} of {how.repeats}")
            for name, worker in workers.items():
                rate = worker.ask("begin", repeat)
                kind = variants[name].number_format(device)
                peaks[kind] = max(rate, peaks.get(kind, 0.0))
                worker.ask("steps", how.warm_up)
            turns: dict[str, list[Turn]] = {name: [] for name in variants}
            for step in range(how.steps):
                for name in list(workers)[:: -1 if step % 2 else 1]:  # so that none is always the first
                    turns[name].append(workers[name].ask("step"))
            for name in workers:
                done[name].append(tuple(turns[name]))
        about = {name: (worker.ask("threads"), worker.ask("memory_mib")) for name, worker in workers.items()}
    sizes = {library: _sizes(job, library) for library in {v.library for v in variants.values()}}
    return [
        Row(
            job.model.name, name, variant.about, job.training.batch_size, *sizes[variant.library],
            variant.number_format(device), about[name][0], device.type == "cuda",
            peaks[variant.number_format(device)], about[name][1], tuple(done[name]),
        )
        for name, variant in variants.items()
    ]  # fmt: skip


def _sizes(job: Job, library: bool) -> tuple[int, int, int]:
    model = job.library_model if library else job.model
    network = build_model(model, len(job.classes), seed=0, load_weights=False)
    batch, crop = job.training.batch_size, job.crop_px
    return parameters(network), multiply_adds(network, crop), step_multiply_adds(network, batch, crop)
