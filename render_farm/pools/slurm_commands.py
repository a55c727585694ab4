"""What is asked of Slurm itself, and how its answers read: the queue, the end of a task, the site's limits.

Only commands that every user may give. All parsing is in functions of text.
"""

import re
import shutil
import subprocess
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from semforge.errors import SemforgeError

PATIENCE_S = 15.0  # after that a command is ended, and the user hears of it
DEFAULT_ARRAY = 1001  # Slurm's own MaxArraySize
ENDED = ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
         "PREEMPTED", "REVOKED", "TIMEOUT")  # fmt: skip
GENERAL = r"(Batch job submission failed|allocation failure): "  # before Slurm's reason, or a second one


class SlurmError(SemforgeError):
    """Slurm refused a command. The message is Slurm's."""


@dataclass(frozen=True)
class QueuedTask:
    """A task in Slurm's queue. `state` is Slurm's word: PENDING, RUNNING, COMPLETING, ..."""

    state: str
    node: str
    reason: str

    @property
    def ending(self) -> str:
        """How it ended: `FAILED on n1 (JobLaunchFailure)`."""
        where = f" on {self.node}" if self.node else ""
        return f"{self.state}{where}" + (f" ({self.reason})" if self.reason not in ("", "None") else "")

    @property
    def alive(self) -> bool:
        """Whether it is yet to end. Slurm shows ended tasks for some minutes."""
        return self.state not in ENDED

    @property
    def stuck(self) -> bool:
        """Whether it could not be started (a node's prolog failed) and Slurm holds it until somebody looks after it."""
        return self.waits and self.reason.endswith("requeued held")

    @property
    def waits(self) -> bool:
        """Whether it has not begun, or not begun again."""
        return self.state in ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SUSPENDED")


def available() -> bool:
    """Whether this machine can talk to a Slurm."""
    return shutil.which("squeue") is not None


def queue(name: str) -> dict[str, QueuedTask] | None:
    """This user's tasks of that job name, by attempt id (12_3; 12_0 for a job without array), ended ones too.

    None if the queue cannot be asked, now or here: the answer is not 'none'.
    """
    try:
        return read_queue(name)
    except SlurmError:
        return None


def read_queue(name: str) -> dict[str, QueuedTask]:
    """As `queue`. Raises SlurmError, with Slurm's words, if the queue cannot be asked."""
    if not available():
        raise SlurmError("squeue is not found here")
    return parse_queue(_call("squeue", "-h", "-r", "--me", "-t", "all", "-n", name, "-o", "%F|%K|%T|%N|%r"))


def parse_queue(text: str) -> dict[str, QueuedTask]:
    """The lines `array job|index|state|node|reason` of squeue."""
    tasks = {}
    for line in text.splitlines():
        job, index, state, node, reason = line.split("|", 4)
        tasks[f"{job}_{index if index.isdigit() else 0}"] = QueuedTask(state, node, reason)
    return tasks


def state(job: str) -> str | None:
    """Slurm's word for a job or a task of an array (12_3) now; None if it is gone or cannot be asked for."""
    try:
        return _call("squeue", "-h", "-j", job, "-o", "%T").strip() or None
    except SlurmError:
        return None


def endings(attempts: Collection[str]) -> dict[str, str]:
    """How tasks ended, as far as accounting tells: `NODE_FAIL on n3`; empty where there is no accounting."""
    if not attempts or shutil.which("sacct") is None:
        return {}
    jobs = ",".join(sorted({attempt.partition("_")[0] for attempt in attempts}))
    try:
        told = parse_endings(_call("sacct", "-X", "-n", "-P", "-j", jobs, "-o", "JobID,State,NodeList"))
    except SlurmError:
        return {}
    return {attempt: told[attempt] for attempt in attempts if attempt in told}


def parse_endings(text: str) -> dict[str, str]:
    """The lines `12_3|CANCELLED by 0|n3` of sacct; ranges of tasks that never began are left out."""
    found = {}
    for line in text.splitlines():
        job, state, node = line.split("|")
        if re.fullmatch(r"\d+(_\d+)?", job):
            where = f" on {node}" if node and node != "None assigned" else ""
            found[job if "_" in job else f"{job}_0"] = f"{state}{where}"
    return found


def cancel(attempts: Iterable[str], pending_only: bool = False) -> None:
    """Cancel tasks by attempt id; one that is gone already is no error. Raises SlurmError if Slurm cannot be asked."""
    by_job: dict[str, list[int]] = {}
    for attempt in attempts:
        job, _, index = attempt.partition("_")
        by_job.setdefault(job, []).append(int(index))
    only = ["--state=PENDING"] if pending_only else []
    # Tasks of one array in one word, 12_[0-3,7]: an argument a task would be too long a line.
    words = [
        job if indices == [0] and not _is_array(job) else f"{job}_[{index_ranges(indices)}]"
        for job, indices in by_job.items()
    ]
    if words:
        _call("scancel", "--quiet", *only, *words)


def _is_array(job: str) -> bool:
    """Whether a job of the queue has tasks by number: its bare name would stand for all of them."""
    try:
        return bool(re.search(r"\d", _call("squeue", "-h", "-t", "all", "-j", job, "-o", "%K")))
    except SlurmError:
        return False


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


def allow(job: str, tasks: int) -> None:
    """Let so many tasks of a job run at a time, whatever it was told to wait for. Raises SlurmError."""
    _call("scontrol", "update", f"JobId={job}", f"ArrayTaskThrottle={tasks}", "Dependency=")


def cancel_words(words: Sequence[str]) -> None:
    """Cancel jobs and tasks in Slurm's own words, 12 or 12_[0-3,7]; one that is gone is no error. Raises SlurmError."""
    if words:
        _call("scancel", "--quiet", *words)


def depend(tasks: str, dependency: str) -> None:
    """Let tasks that have not begun, 12 or 12_[0-3,7], wait, in sbatch's words: afterok:11_2. Raises SlurmError."""
    _call("scontrol", "update", f"JobId={tasks}", f"Dependency={dependency}")


def release(job: str) -> None:
    """Let a job begin that was handed in on hold. Raises SlurmError."""
    _call("scontrol", "release", job)


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


def telling_line(text: str) -> str:
    """The line of what a command of Slurm's complained about that says most, without the program's name."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith('Try "')]
    lines = [line for line in lines if "error: " in line] or lines or ["no reason given"]
    said = [re.sub(r"^(s[a-z]+: )?((error|fatal): )?", "", line) for line in lines]
    # After a line with the reason comes one that says the same in general, or something else.
    special = [line for line in said if not re.match(GENERAL, line)]
    return re.sub(GENERAL, "", (special or said)[-1])


def objections(script: str) -> str:
    """What sbatch would have against a batch script, in its words; empty if none or not known."""
    try:
        done = _run(("sbatch", "--test-only"), script)
    except SlurmError:
        return ""  # a busy controller takes long to work out when a job would start
    return done.stderr.strip() or f"exit {done.returncode}" if done.returncode else ""


def all_nodes_up(partition: str | None) -> bool:
    """Whether a partition, or every one, is up and no node of it is down, drained or silent; False if not known."""
    where = ["-p", partition] if partition else []
    try:
        lines = _call("sinfo", "-h", *where, "-o", "%a|%T").splitlines()
    except SlurmError:
        return False
    return bool(lines) and all(re.fullmatch(r"up\|(idle|mixed|allocated|completing)[^*]?", line) for line in lines)


def _call(*command: str) -> str:
    done = _run(command)
    if done.returncode:
        raise SlurmError(f"{command[0]}: {telling_line(done.stderr or done.stdout or f'exit {done.returncode}')}")
    return done.stdout


def _run(command: Sequence[str], text: str = "") -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise SlurmError(f"{command[0]}: no answer from Slurm's controller in {PATIENCE_S:g} s") from error
    except OSError as error:
        raise SlurmError(f"{command[0]}: {error}") from error
