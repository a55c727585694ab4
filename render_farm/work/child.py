"""A renderer process as its task sees it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO

from render_farm.work.answers import Answer

RENDERER = (sys.executable, "-X", "faulthandler", "-m", "render_farm.work.renderer")

# How a driver is told which GPUs a process may use; Slurm sets them for a job with a gres.
VISIBLE_DEVICES = {
    "optix": ("CUDA_VISIBLE_DEVICES",),
    "cuda": ("CUDA_VISIBLE_DEVICES",),
    "hip": ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"),
    "oneapi": ("ZE_AFFINITY_MASK",),
    "auto": ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"),
}


def shares_of_gpus(device: str, environment: Mapping[str, str]) -> list[dict[str, str]]:
    """One change of environment for each GPU that the environment grants, empty where it names none.

    >>> shares_of_gpus("optix", {"CUDA_VISIBLE_DEVICES": "2,3"})
    [{'CUDA_VISIBLE_DEVICES': '2'}, {'CUDA_VISIBLE_DEVICES': '3'}]
    """
    for name in VISIBLE_DEVICES.get(device, ()):
        if granted := environment.get(name):
            return [{name: gpu} for gpu in granted.split(",")]
    return []


class RendererProcess:
    """A renderer, started; it renders one sample at a time. `index` is the one under way."""

    def __init__(
        self, folder: Path, device: str, threads: int, log: IO[bytes],
        environment: Mapping[str, str], command: Sequence[str] = RENDERER,
    ):  # fmt: skip
        self.connection, theirs = Pipe()
        self.environment = dict(environment)
        self.ready = False
        self.index: int | None = None
        self.since = time.monotonic()  # of the last word from it or to it
        # One BLAS thread: sums must not depend on how many workers share the machine.
        one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        with theirs:
            self.process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(folder), "--device", device, "--threads", str(threads)],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_leave_signals,
                env=os.environ | one_thread | self.environment,
            )  # fmt: skip

    @property
    def connection_to(self) -> Connection:
        """What to wait on."""
        return self.connection

    def ask(self, index: int) -> None:
        """Send it a sample index; a renderer that is gone shows when its answer is received."""
        self.index, self.since = index, time.monotonic()
        with suppress(OSError):
            self.connection.send(index)

    def answer(self) -> Answer | None:
        """Its next answer, or None if it is gone."""
        try:
            answer: Answer = self.connection.recv()
        except (EOFError, OSError):
            return None
        self.since = time.monotonic()
        return answer

    @property
    def silent_s(self) -> float:
        """Seconds since it was last heard of or asked."""
        return time.monotonic() - self.since

    def end(self) -> str:
        """Kill it if need be, and say how it ended."""
        self.connection.close()
        ended = self.process.poll()
        if ended is None:
            try:
                ended = self.process.wait(0.2 if self.ready else 0.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
                ended = self.process.wait()
        return f"renderer was killed by {signal_name(-ended)}" if ended < 0 else f"renderer ended with status {ended}"

    def kill(self) -> None:
        """End it now."""
        self.process.send_signal(signal.SIGKILL)
        self.end()


def _leave_signals() -> None:
    """Slurm warns every process of a task; that is for the task to answer, which ends its renderers itself."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


def signal_name(number: int) -> str:
    """`SIGKILL` for 9."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
