"""What is asked of Slurm itself, and how its answers read: the queue, the end of a task, the site's limits.

Only commands that every user may give. All parsing is in functions of text.
"""

import re
import shutil
import subprocess
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from semforge.errors import SemforgeError

PATIENCE_S = 60.0
DEFAULT_ARRAY = 1001  # Slurm's own MaxArraySize


class SlurmError(SemforgeError):
    """Slurm refused a command. The message is Slurm's."""


@dataclass(frozen=True)
class QueuedTask:
    """A task in Slurm's queue. `state` is Slurm's word: PENDING, RUNNING, COMPLETING, ..."""

    state: str
    node: str
    reason: str

    @property
    def waits(self) -> bool:
        """Whether it has not begun, or not begun again."""
        return self.state in ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SUSPENDED")


def available() -> bool:
    """Whether this machine can talk to a Slurm."""
    return shutil.which("squeue") is not None


def queue(name: str) -> dict[str, QueuedTask] | None:
    """This user's tasks of that job name, by attempt id (12_3; 12_0 for a job without array).

    None if the queue cannot be asked, now or here: the answer is not 'none'.
    """
    if not available():
        return None
    try:
        return parse_queue(_call("squeue", "-h", "-r", "--me", "-n", name, "-o", "%F|%K|%T|%N|%r"))
    except SlurmError:
        return None


def parse_queue(text: str) -> dict[str, QueuedTask]:
    """The lines `array job|index|state|node|reason` of squeue."""
    tasks = {}
    for line in text.splitlines():
        job, index, state, node, reason = line.split("|", 4)
        tasks[f"{job}_{index if index.isdigit() else 0}"] = QueuedTask(state, node, reason)
    return tasks


def endings(ids: Collection[str]) -> dict[str, str]:
    """How tasks ended, as far as accounting tells: `NODE_FAIL on n3`; empty where there is no accounting."""
    if not ids or shutil.which("sacct") is None:
        return {}
    jobs = ",".join(sorted({id.partition("_")[0] for id in ids}))
    try:
        told = parse_endings(_call("sacct", "-X", "-n", "-P", "-j", jobs, "-o", "JobID,State,NodeList"))
    except SlurmError:
        return {}
    return {id: told[id] for id in ids if id in told}


def parse_endings(text: str) -> dict[str, str]:
    """The lines `12_3|CANCELLED by 0|n3` of sacct; ranges of tasks that never began are left out."""
    found = {}
    for line in text.splitlines():
        job, state, node = line.split("|")
        if re.fullmatch(r"\d+(_\d+)?", job):
            where = f" on {node}" if node and node != "None assigned" else ""
            found[job if "_" in job else f"{job}_0"] = f"{state}{where}"
    return found


def cancel(ids: Iterable[str], pending_only: bool = False) -> None:
    """Cancel tasks by attempt id; one that is gone already is no error. Raises SlurmError if Slurm cannot be asked."""
    # Tasks of one array in one word, 12_[0-3,7]: an argument a task would be too long a line.
    by_job: dict[str, list[int]] = {}
    for id in ids:
        job, _, index = id.partition("_")
        by_job.setdefault(job, []).append(int(index))
    only = ["--state=PENDING"] if pending_only else []
    for job, indices in by_job.items():
        try:
            _call("scancel", "--quiet", *only, f"{job}_[{index_ranges(indices)}]")
        except SlurmError as error:
            if "Invalid job id" not in str(error):
                raise
            _call("scancel", "--quiet", *only, job)  # a job without array


def index_ranges(indices: Collection[int]) -> str:
    """`0-3,7`, as Slurm writes array indices."""
    parts: list[list[int]] = []
    for index in sorted(indices):
        if parts and parts[-1][1] == index - 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ",".join(f"{a}-{b}" if b > a else f"{a}" for a, b in parts)


def avoid(jobs: Iterable[str], nodes: Collection[str]) -> None:
    """Keep the pending tasks of these jobs off some nodes; what cannot be changed any more is left."""
    for job in jobs:
        try:
            _call("scontrol", "update", f"JobId={job}", f"ExcNodeList={','.join(sorted(nodes))}")
        except SlurmError:
            continue


def largest_array() -> int:
    """How many tasks an array may have at this site."""
    try:
        return parse_array_limit(_call("scontrol", "show", "config"))
    except SlurmError:
        return DEFAULT_ARRAY - 1


def parse_array_limit(text: str) -> int:
    """Tasks an array may have, from `scontrol show config`: indices run below MaxArraySize."""
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", text, re.MULTILINE)
    return max(1, int(match[1]) - 1) if match else DEFAULT_ARRAY - 1


def _call(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SlurmError(f"{command[0]}: {error}") from error
    if done.returncode:
        raise SlurmError(f"{command[0]}: {(done.stderr or done.stdout).strip() or f'exit {done.returncode}'}")
    return done.stdout
