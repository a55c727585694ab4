"""A process that trains one setting, turn by turn: threads and denormals are set once a process."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sem_train.bench.arithmetic import matmul_rate, wait_for
from sem_train.bench.jobs import Job
from sem_train.bench.pictures import layered_batches
from sem_train.bench.variants import Variant
from sem_train.hardware import flush_denormals
from sem_train.losses import build_loss
from sem_train.models import build_model
from sem_train.optimisation import optimizer_of, schedule_of
from semforge.errors import InputError, SemforgeError

BATCHES = 4  # that the steps go round
DTYPES = {"32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
SLEEP_SOON: dict[str, str | None] = {"GOMP_SPINCOUNT": "1000"}  # as `sem-train` has it


@dataclass(frozen=True)
class Turn:
    """One step: wall seconds, CPU seconds of all threads, and the loss before it."""

    wall_s: float
    cpu_s: float
    loss: float


class Trainer:
    """A network in training on the device, in one setting."""

    def __init__(self, job: Job, variant: Variant, device: torch.device):
        if variant.flush:
            flush_denormals()
        self.job, self.variant, self.device = job, variant, device
        self.format = variant.number_format(device)
        n_classes, batch = len(job.classes), job.training.batch_size
        self.batches = layered_batches(BATCHES, batch, job.crop_px, n_classes, seed=0)
        counts = sum(np.bincount(labels.numpy().ravel(), minlength=n_classes) for _, labels in self.batches)
        self.loss = build_loss(job.loss, counts / counts.sum(), job.classes).to(device)

    def begin(self, seed: int) -> float:
        """A new network and optimiser. Returns the `matmul_rate` of its number format."""
        model = self.job.library_model if self.variant.library else self.job.model
        network = build_model(model, len(self.job.classes), seed, load_weights=False).to(self.device)
        self.network = network.to(memory_format=self._memory_format).train()
        self.optimizer = optimizer_of(self.network, self.job.training)
        self.schedule = schedule_of(self.optimizer, self.job.training)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.format == "fp16")
        self.done = 0
        torch.manual_seed(seed)
        return matmul_rate(DTYPES[self.format], self.device)

    def step(self) -> Turn:
        """A step of the optimiser, from a batch in main memory on."""
        wait_for(self.device)
        wall, cpu = time.perf_counter(), time.process_time()
        images, labels = (tensor.to(self.device) for tensor in self.batches[self.done % BATCHES])
        self.optimizer.zero_grad()
        with torch.autocast(self.device.type, DTYPES[self.format], enabled=self.format != "32"):
            loss = self.loss(self.network(images.to(memory_format=self._memory_format)), labels)
        self.scaler.scale(loss).backward()
        if self.job.training.gradient_clip:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.job.training.gradient_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        self.done += 1
        wait_for(self.device)
        return Turn(time.perf_counter() - wall, time.process_time() - cpu, loss.item())

    def steps(self, count: int) -> None:
        """Steps that nobody watches."""
        for _ in range(count):
            self.step()

    def memory_mib(self) -> float:
        """The most memory this process has had: the GPU's, or else main memory with all libraries."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_reserved(self.device) / 2**20
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

    def threads(self) -> int:
        """Threads that PyTorch computes with."""
        return torch.get_num_threads()

    @property
    def _memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.variant.channels_last else torch.contiguous_format


class Worker:
    """A `Trainer` in a process of its own. Close it, or use it with `with`."""

    def __init__(self, job: Job, variant: Variant, device: torch.device, threads: int = 0):
        self.connection, theirs = get_context("spawn").Pipe()
        arguments = (theirs, job, variant, device)
        self.process = get_context("spawn").Process(target=_serve, args=arguments, daemon=True)
        wanted = SLEEP_SOON if variant.sleeping_threads else dict.fromkeys(SLEEP_SOON)
        if threads:
            wanted = wanted | {"OMP_NUM_THREADS": str(threads)}
        with _environment(wanted):
            self.process.start()
        theirs.close()

    def ask(self, method: str, *arguments: Any) -> Any:
        """What a method of the `Trainer` returns. Raises its InputError; SemforgeError if the process is gone."""
        try:
            self.connection.send((method, arguments))
            answer = self.connection.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            self.process.join()
            raise SemforgeError(f"a process of the benchmark ended with {self.process.exitcode}") from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.terminate()
        self.process.join()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _serve(connection: Connection, job: Job, variant: Variant, device: torch.device) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the process that asks, and that ends this one
    trainer = None
    while True:
        try:
            method, arguments = connection.recv()
        except EOFError:
            return
        try:
            trainer = trainer or Trainer(job, variant, device)
            connection.send(getattr(trainer, method)(*arguments))
        except InputError as error:
            connection.send(error)
        except torch.OutOfMemoryError:
            connection.send(InputError(f"{job.model.name}: the GPU's memory is full; lower --batch or --crop"))


@contextmanager
def _environment(wanted: dict[str, str | None]) -> Iterator[None]:
    """Within, variables have these values; None: they are not set."""
    before = {name: os.environ.pop(name, None) for name in wanted}
    os.environ.update({name: value for name, value in wanted.items() if value is not None})
    try:
        yield
    finally:
        for name in wanted:
            os.environ.pop(name, None)
        os.environ.update({name: value for name, value in before.items() if value is not None})
