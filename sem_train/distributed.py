"""One training in several processes: who they are, how they start, agree, add up and end.

Processes are started by srun in a Slurm job, by torchrun, or on one machine by `run_processes`, which
sets torchrun's variables too. Each takes its share of the same batches; statistics of a batch are summed
over all, so that a run is the same, to rounding, in one process and in many.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import torch
import torch.distributed as dist
import yaml
from lightning.fabric.plugins.environments import ClusterEnvironment, SLURMEnvironment, TorchElasticEnvironment
from torch import nn
from torch.distributed.nn.functional import all_reduce

from sem_train.config import TrainConfig, TrainingSettings
from sem_train.hardware import host
from semforge.cli import EXIT_INTERRUPTED
from semforge.errors import InputError, SemforgeError

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)  # USR2: what Slurm is told to send ahead of its limit
PATIENCE_S = 5.0  # a process that is not the first to fail is silent so long: it will be ended meanwhile
LOST = ("connection closed by peer", "connection reset by peer", "connection refused", "socket", "ncclremoteerror")

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Processes:
    """The processes of a training as one of them sees them."""

    rank: int
    count: int
    local_rank: int
    nodes: int
    environment: ClusterEnvironment

    @property
    def per_node(self) -> int:
        """Processes on each node."""
        return self.count // self.nodes

    def __str__(self) -> str:
        return f"process {self.rank} of {self.count} on {host()}"


def processes_here() -> Processes | None:
    """The processes that this one was started with, or None if it is alone.

    Raises InputError if Slurm started different numbers on its nodes.
    """
    known = os.environ
    if {"RANK", "LOCAL_RANK", "WORLD_SIZE"} <= known.keys():
        count = int(known["WORLD_SIZE"])
        nodes = count // int(known.get("LOCAL_WORLD_SIZE", count))
        return Processes(int(known["RANK"]), count, int(known["LOCAL_RANK"]), nodes, TorchElasticEnvironment())
    # Of the step: a batch script sees the job's SLURM_NTASKS too, but is one process.
    count, nodes = (int(known.get(f"SLURM_STEP_NUM_{what}", 1)) for what in ("TASKS", "NODES"))
    if count == 1:
        return None
    if count % nodes:
        raise InputError(f"Slurm started {count} processes on {nodes} nodes, expected equally many on each; "
                         "give srun --ntasks-per-node")  # fmt: skip
    known.setdefault("SLURM_NTASKS_PER_NODE", str(count // nodes))
    known["SLURM_NTASKS"] = str(count)
    environment = SLURMEnvironment(auto_requeue=False)
    return Processes(int(known["SLURM_PROCID"]), count, int(known["SLURM_LOCALID"]), nodes, environment)


def is_first() -> bool:
    """Whether this is the process that speaks for all."""
    here = processes_here()
    return here is None or here.rank == 0


def refuse_bad_shape(training: TrainingSettings, here: Processes | None) -> None:
    """Raises InputError if the settings ask for other processes than there are, or the batch cannot be shared."""
    nodes, devices = training.num_nodes or 1, training.devices or 1
    if here is None and nodes > 1:
        raise InputError(
            f"training.num_nodes is {nodes}, but this process is alone; start it by render-farm train, srun or torchrun"
        )
    if here is not None:
        for key, asked, found in (
            ("num_nodes", training.num_nodes, here.nodes), ("devices", training.devices, here.per_node),
        ):  # fmt: skip
            if asked not in (None, found):
                raise InputError(f"training.{key} is {asked}, but {found} were started; leave it out")
    count = here.count if here else devices
    if training.batch_size % count:
        raise InputError(
            f"training.batch_size is {training.batch_size}, expected a multiple of the {count} processes that share it"
        )


def run_processes(config: TrainConfig, count: int) -> None:
    """Run `sem-train fit` in `count` processes on this machine until all are done.

    Raises KeyboardInterrupt if they were stopped and have saved, SystemExit with the status of the first that
    failed: it has told why; SemforgeError if it was killed.
    """
    cores = len(os.sched_getaffinity(0))
    shared = {
        "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "GROUP_RANK": "0", "GROUP_WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "TORCHELASTIC_RUN_ID": "sem-train",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, cores // count))),
    }  # fmt: skip
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(config.model_dump(mode="json"), file)
        file.flush()
        children = [
            subprocess.Popen(
                [sys.executable, "-m", "sem_train", "fit", file.name], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # this process says how it ended
                env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
                start_new_session=True, preexec_fn=_die_with_parent,  # Ctrl-C reaches them by this process alone
            )
            for rank in range(count)
        ]  # fmt: skip
        asked: list[int] = []

        def pass_on(number: int, frame: FrameType | None) -> None:
            asked.append(number)
            for child in children:
                child.send_signal(number)

        try:
            with handling(pass_on, STOP_SIGNALS):
                failed = _first_failure(children)
        finally:
            for child in children:
                child.kill()
                child.wait()
    if failed and asked:
        raise KeyboardInterrupt
    if failed < 0:
        raise SemforgeError(f"a process of the training was killed by {signal.Signals(-failed).name}")
    if failed:
        raise SystemExit(failed)


def _first_failure(children: list[subprocess.Popen[bytes]]) -> int:
    """Status of the first child that fails; the others have a moment to save and end. 0 if none fails."""
    while True:
        ended = [child.poll() for child in children]
        if failed := next((status for status in ended if status), 0):
            end = time.monotonic() + PATIENCE_S / 2
            while time.monotonic() < end and None in [child.poll() for child in children]:
                time.sleep(0.1)
            return failed
        if None not in ended:
            return 0
        time.sleep(0.1)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


@contextmanager
def handling(handler: Callable[[int, FrameType | None], None], signals: tuple[signal.Signals, ...]) -> Iterator[None]:
    """Within, signals go to `handler`: those that nobody else listens to, if this is the main thread."""
    previous = {}
    if threading.current_thread() is threading.main_thread():
        unheard = (signal.SIG_DFL, signal.default_int_handler)
        previous = {number: old for number in signals if (old := signal.getsignal(number)) in unheard}
    for number in previous:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)


@contextmanager
def one_voice(here: Processes | None) -> Iterator[None]:
    """Within, of an error in several processes only the first that has it is heard.

    All others are silent for a moment, in which whoever started them (srun --kill-on-bad-exit, torchrun,
    `run_processes`) ends them.
    """
    if here is None:
        yield
        return
    try:
        yield
    except InputError as error:
        if here.rank > 0:
            time.sleep(PATIENCE_S)
            raise InputError(f"{here}: {error}") from error
        raise
    except KeyboardInterrupt:
        if here.rank > 0 or isinstance(here.environment, TorchElasticEnvironment):  # who started them says it
            raise SystemExit(EXIT_INTERRUPTED) from None
        raise
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or any(word in str(error).lower() for word in LOST):
            time.sleep(PATIENCE_S)
            raise SemforgeError(f"{here}: another process of this training is gone; it has said why") from error
        raise


def highest(value: int) -> int:
    """The largest of the values that all processes give here; all must call this together."""
    if not _several():
        return value
    shared = torch.tensor(value)
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return int(shared)


def of_first(value: bool) -> bool:
    """What the first process gives here; all must call this together."""
    if not _several():
        return value
    shared = torch.tensor(int(value))
    dist.broadcast(shared, src=0)
    return bool(shared)


def total(part: torch.Tensor) -> torch.Tensor:
    """Sum over all processes, with its gradient; all must call this together."""
    return all_reduce(part) if _several() else part


def _several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over the batch of all processes, equal shares, on any device; PyTorch's own needs a GPU."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or not _several():
            return super().forward(x)
        about = self.running_mean.clone()  # known to all and near the mean, so that little is lost to rounding
        near = x.float() - about[:, None, None]
        mean, square = total(torch.stack([near.mean((0, 2, 3)), near.square().mean((0, 2, 3))])) / dist.get_world_size()
        variance = (square - mean.square()).clamp_min(0)
        with torch.no_grad():
            n = dist.get_world_size() * x.numel() / x.shape[1]
            self.num_batches_tracked += 1
            self.running_mean.lerp_(about + mean, self.momentum)
            self.running_var.lerp_(variance * n / max(1, n - 1), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return ((near - mean[:, None, None]) * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


def share_batch_norm(network: nn.Module) -> None:
    """Let all batch normalisation in `network` see the batches of all processes; weights and names stay."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d and module.affine and module.momentum is not None:
            module.__class__ = SharedBatchNorm2d
