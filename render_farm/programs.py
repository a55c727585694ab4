"""sem-train as a program: asked what it would do, run on a node, and what it said last.

The farm stays free of PyTorch: whatever trains is a child process.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from render_farm.pools import slurm_commands as slurm
from render_farm.work.signals import noted_signals
from semforge.errors import InputError
from semforge.files import write_text

SEM_TRAIN = (sys.executable, "-m", "sem_train")  # of the machine that this is imported on
BEAT_S = 0.2
ASK_S = 2.0  # between two requests to the child to save and end, and between two looks at the queue on a node
LOST = "another process of this training is gone"  # what sem-train says where the cause is elsewhere


def ask(*words: str) -> Any:
    """What sem-train answers, as JSON, to a command that only looks. Raises InputError with its words."""
    asked = subprocess.run(
        [*SEM_TRAIN, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )  # fmt: skip
    if asked.returncode:
        lines = asked.stderr.strip().splitlines() or [f"sem-train ended with status {asked.returncode}"]
        raise InputError(lines[-1].removeprefix("sem-train: "))
    return json.loads(asked.stdout)


def last_words(log: Path) -> str:
    """The line of a log that says why the program ended; empty if there is none."""
    if not log.exists():
        return ""
    lines = log.read_text(errors="replace").splitlines()
    words = [line for line in lines if line.startswith("sem-train: ")] or [line for line in lines if _tells(line)]
    return words[-1].removeprefix("sem-train: ") if words else ""


def how_it_ended(status: int) -> str:
    """`was killed by SIGKILL`, `ended with status 2`."""
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def _tells(line: str) -> bool:
    return bool(line.strip()) and not line.startswith(("srun:", "slurmstepd:", "submitit "))


@dataclass(frozen=True)
class ProgramCall:
    """What each task of a job runs: sem-train as a child, which it tells to save when Slurm warns."""

    words: Sequence[str]  # sem-train's
    queue_name: str
    files: str  # where a note is left of a task that failed
    environment: Mapping[str, str] = field(default_factory=dict)  # over that of the node

    def __call__(self) -> None:
        """Run until done. Ahead of the time limit: save, and have the task requeued."""
        name, rank = task_name(), os.environ["SLURM_PROCID"]
        note = Path(self.files) / f"{name}_{rank}.failed"
        note.unlink(missing_ok=True)
        requeue = signal.getsignal(signal.SIGUSR2)  # submitit's: in the first task it asks for a requeue and exits
        with noted_signals(signal.SIGTERM, signal.SIGUSR2) as came:
            status = _run([*SEM_TRAIN, *self.words], self.environment, came)
            if status == 0:
                return
            if signal.SIGUSR2 in came and callable(requeue):
                requeue(signal.SIGUSR2, None)
            if came:
                self._wait_for_the_end(name)
        if not came:
            node = os.environ.get("SLURMD_NODENAME", "?")
            write_text(note, f"process {rank} on {node} {how_it_ended(status)}\n")
        sys.exit(1 if status < 0 else status)  # no exception: sem-train has said why

    def checkpoint(self) -> Any:
        """For submitit: all state is on disk, the same call again goes on."""
        from render_farm.pools.submission import again

        return again(self)

    def _wait_for_the_end(self, name: str) -> None:
        """A task that ends within the grace time of its preemption is not requeued, so it has to be killed."""
        attempt = name if "_" in name else f"{name}_0"
        while (task := (slurm.queue(self.queue_name) or {}).get(attempt)) is None or task.state == "RUNNING":
            time.sleep(ASK_S)


def task_name() -> str:
    """How Slurm names the job or the task of an array that this process is of: 12, or 12_3."""
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array and index else os.environ["SLURM_JOB_ID"]


def _run(command: Sequence[str], over: Mapping[str, str], came: list[int]) -> int:
    """Status of the command, which is asked to save and end once a signal is in `came`."""
    environment = dict(os.environ)
    if cores := environment.get("SLURM_CPUS_PER_TASK"):
        environment.setdefault("OMP_NUM_THREADS", cores)
    if node := environment.get("SLURM_LAUNCH_NODE_IPADDR"):  # where the batch script runs, as is the first process
        environment.setdefault("MASTER_ADDR", node)
    # In this process's group: what Slurm kills, it kills too.
    child = subprocess.Popen(command, env=environment | dict(over), stdin=subprocess.DEVNULL)
    asked = 0.0
    while child.poll() is None:
        if came and time.monotonic() - asked > ASK_S:  # again: the first may have come before it could listen
            asked = time.monotonic()
            child.send_signal(signal.SIGUSR2)
        time.sleep(BEAT_S)
    return child.returncode
