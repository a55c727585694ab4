"""Tasks as Slurm job arrays."""

import os
import signal
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from render_farm.clusters import SlurmPool as Settings
from render_farm.disk.folder import Folder
from render_farm.planning.plan import Task
from render_farm.pools import Alive, Ending
from render_farm.pools import slurm_commands as slurm
from render_farm.pools.local import MakeOrder
from render_farm.pools.slurm_commands import QueuedTask, SlurmError
from render_farm.pools.submissions import read_submissions, record_submission
from render_farm.work.task import STOPPED, Order, TaskRun, stopped_by_signals

BLAME_NODE = ("NODE_FAIL", "BOOT_FAIL")
BLAME_SAMPLE = ("FAILED", "OUT_OF_MEMORY")
NEVER_BEGAN = "JobLaunchFailure"  # such as a task that met what the attempt before had left running


@dataclass
class SlurmQueue:
    """This folder's tasks in Slurm's queue, asked once for all pools."""

    name: str
    fresh_s: float  # an answer holds so long
    _asked: float = 0.0
    _answer: dict[str, QueuedTask] | None = None

    def tasks(self) -> dict[str, QueuedTask] | None:
        """As `slurm.queue`."""
        if self._answer is None or time.monotonic() - self._asked > self.fresh_s:
            self._answer, self._asked = slurm.queue(self.name), time.monotonic()
        return self._answer

    def forget(self) -> None:
        """Ask anew next time: something was just submitted or cancelled."""
        self._answer = None


@dataclass
class SlurmPool:
    """Arrays of one kind of task; what is submitted outlives this process."""

    name: str
    settings: Settings
    folder: Folder
    order: MakeOrder
    queue: "SlurmQueue"
    files: Path  # submitit's
    _avoided: set[str] = field(default_factory=set)
    _tasks: dict[str, QueuedTask] = field(default_factory=dict)
    _jobs: set[str] = field(default_factory=set)
    _stuck: dict[str, str] = field(default_factory=dict)  # tasks that could not be started, and why

    def __post_init__(self) -> None:
        self._jobs = {attempt.partition("_")[0] for attempt in read_submissions(self.folder, self.name)}

    @property
    def slots(self) -> int:
        """Tasks at a time, as the settings say; what the site grants may be less."""
        return self.settings.parallel

    def submit(self, tasks: Sequence[Task]) -> dict[str, Task]:
        """As `Pool.submit`; as many arrays as the site's limit asks for.

        Returns what Slurm took. Raises SlurmError if it took nothing.
        """
        from render_farm.pools.submission import submit_array  # submitit takes its time to load

        attempts: dict[str, Task] = {}
        more: dict[str, Any] = {"exclude": ",".join(sorted(self._avoided))} if self._avoided else {}
        size = slurm.largest_array() if len(tasks) > 1 else 1
        for first in range(0, len(tasks), size):
            part = tasks[first : first + size]
            calls = [SlurmCall(self.order("", task)) for task in part]
            try:
                job = submit_array(self.settings, calls, self.files, self.folder.queue_name, **more)
            except SlurmError:
                if not attempts:
                    raise
                break
            # The whole of `parallel` holds for each array: the next one begins when this one is through.
            more["dependency"] = f"afterany:{job}"
            record_submission(self.folder, self.name, "slurm", job, part)
            self._jobs.add(job)
            attempts |= {f"{job}_{k}": task for k, task in enumerate(part)}
        self.queue.forget()
        return attempts

    def adopt(self) -> dict[str, Task]:
        """As `Pool.adopt`."""
        submitted, alive = read_submissions(self.folder, self.name), self.look()
        if alive is None and submitted:
            raise SlurmError("squeue: Slurm's queue cannot be asked what is alive of this folder; try again later")
        return {attempt: submitted[attempt] for attempt in alive or {} if attempt in submitted}

    def look(self) -> dict[str, Alive] | None:
        """As `Pool.look`."""
        tasks = self.queue.tasks()
        if tasks is None:
            return None
        self._tasks = {attempt: task for attempt, task in tasks.items() if attempt.partition("_")[0] in self._jobs}
        if stuck := {attempt: task.reason for attempt, task in self._tasks.items() if task.stuck}:
            self._stuck |= stuck
            with suppress(SlurmError):  # if not now, then at the next look
                slurm.cancel(stuck)
        return {attempt: "queued" if task.waits else "running" for attempt, task in self._tasks.items() if task.alive}

    def withdraw(self, attempts: Collection[str]) -> None:
        """As `Pool.withdraw`."""
        slurm.cancel(attempts, pending_only=True)
        self.queue.forget()

    def endings(self, attempts: Collection[str]) -> dict[str, Ending]:
        """As `Pool.endings`: from the queue, which shows ended tasks for a while, else from accounting."""
        known = [attempt for attempt in attempts if attempt in self._tasks and not self._tasks[attempt].alive]
        told = {attempt: self._tasks[attempt].ending for attempt in known}
        told |= slurm.endings(set(attempts) - set(known))
        told |= {attempt: self._stuck[attempt] for attempt in attempts if attempt in self._stuck}
        return {attempt: Ending(state, blame(state)) for attempt, state in told.items()}

    def avoid(self, nodes: Collection[str]) -> None:
        """As `Pool.avoid`, of those in the queue as well."""
        self._avoided |= set(nodes)
        slurm.avoid({attempt.partition("_")[0] for attempt, task in self._tasks.items() if task.waits}, self._avoided)

    def stop(self) -> None:
        """As `Pool.stop`; Slurm ends them in its own time."""
        slurm.cancel(attempt for attempt, task in (self.queue.tasks() or {}).items() if task.alive)

    def leave(self) -> None:
        """As `Pool.leave`."""


def blame(state: str) -> Any:
    """Whom Slurm's word for an ending counts against."""
    if state.startswith(BLAME_NODE):
        return "node"
    if NEVER_BEGAN in state:
        return "nobody"
    return "sample" if state.startswith(BLAME_SAMPLE) else "nobody"


@dataclass(frozen=True)
class SlurmCall:
    """What submitit pickles: an order, carried out in the Slurm job it finds itself in."""

    order: Order

    def __call__(self) -> str:
        """Run the task. Warned of the time limit or of a preemption it writes what is there and asks to begin again."""
        environment = os.environ
        array, index = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
        job = environment["SLURM_JOB_ID"]
        run = TaskRun(
            replace(
                self.order,
                attempt=f"{array or job}_{index or 0}",
                threads=int(environment.get("SLURM_CPUS_PER_TASK") or 0),
                restart=int(environment.get("SLURM_RESTART_COUNT") or 0),
            )
        )
        requeue = signal.getsignal(signal.SIGUSR2)  # submitit's: checkpoint, ask for a requeue, exit
        with stopped_by_signals(run, signal.SIGTERM, signal.SIGUSR2):
            why = run.run()
        if why == STOPPED and callable(requeue) and self._may_begin_again(f"{array}_{index}" if array else job):
            requeue(signal.SIGUSR2, None)
        return why

    def _may_begin_again(self, job: str) -> bool:
        """Whether a task that was told to stop is still Slurm's to keep.

        One that is cancelled, or preempted without a time of grace, is no longer RUNNING: there
        Slurm has decided already, and asking for a requeue would bring a cancelled task back.
        """
        return slurm.state(job) == "RUNNING" and not Folder(Path(self.order.folder)).cancel_mark.exists()

    def checkpoint(self) -> Any:
        """For submitit: all state is on disk, the same call again goes on."""
        from render_farm.pools.submission import again

        return again(self)
