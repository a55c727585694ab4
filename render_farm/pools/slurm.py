"""Tasks as Slurm job arrays."""

import os
import signal
import time
from collections.abc import Collection, Mapping, Sequence
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
from render_farm.work.signals import noted_signals
from render_farm.work.task import STOPPED, Order, TaskRun

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
    _throttle: dict[str, int] = field(default_factory=dict)  # tasks of a job that may run at a time
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
            alive = self._alive_by_job()
            room = self._room(alive)
            if room > 0:
                more["array_parallelism"] = min(room, self.settings.parallel)
            else:  # Slurm's limit is one of a single array: the next begins when those before are through
                more["dependency"] = "afterany:" + ":".join(sorted(alive))
            try:
                job = submit_array(self.settings, calls, self.files, self.queue.name, pool_name=self.name, **more)
            except SlurmError:
                if not attempts:
                    raise
                break
            record_submission(self.folder, self.name, "slurm", job, part)
            self._jobs.add(job)
            self._throttle[job] = room if room > 0 else 0
            attempts |= {f"{job}_{k}": task for k, task in enumerate(part)}
            self._tasks |= dict.fromkeys((f"{job}_{k}" for k in range(len(part))), QueuedTask("PENDING", "", ""))
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
        self._use_room()
        return {attempt: "queued" if task.waits else "running" for attempt, task in self._tasks.items() if task.alive}

    def _alive_by_job(self) -> dict[str, list[QueuedTask]]:
        found: dict[str, list[QueuedTask]] = {}
        for attempt, task in self._tasks.items():
            if task.alive:
                found.setdefault(attempt.partition("_")[0], []).append(task)
        return found

    def _allowed(self, job: str, alive: Sequence[QueuedTask]) -> int:
        """How many tasks of a job may run at a time; 0 while it waits for others to end."""
        waits = all(task.reason == "Dependency" for task in alive)
        return 0 if waits else min(len(alive), self._throttle.get(job, self.settings.parallel))

    def _room(self, alive: Mapping[str, Sequence[QueuedTask]]) -> int:
        """Of the tasks that may run at a time, those that no array may use now."""
        return self.settings.parallel - sum(self._allowed(job, tasks) for job, tasks in alive.items())

    def _use_room(self) -> None:
        """Let the oldest array that waits have the slots that others no longer use."""
        alive = self._alive_by_job()
        room = self._room(alive)
        for job in sorted(alive, key=int):
            allowed = self._allowed(job, alive[job])
            if room <= 0 or allowed >= len(alive[job]):
                continue
            more = min(room, len(alive[job]) - allowed)
            with suppress(SlurmError):  # if not now, then at the next look
                slurm.allow(job, allowed + more)
                self._throttle[job] = allowed + more
                room -= more

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
        return {attempt: self._ending(attempt, state) for attempt, state in told.items()}

    def _ending(self, attempt: str, state: str) -> Ending:
        task = self._tasks.get(attempt)
        return Ending(state, blame(state), task.node if task else "", state.startswith("CANCELLED"))

    def avoid(self, nodes: Collection[str]) -> None:
        """As `Pool.avoid`, of those in the queue as well."""
        self._avoided |= set(nodes)
        slurm.avoid({attempt.partition("_")[0] for attempt, task in self._tasks.items() if task.waits}, self._avoided)

    def stop(self, spare: Collection[str] = ()) -> None:
        """As `Pool.stop`; Slurm ends them in its own time."""
        tasks = self.queue.tasks() or {}
        slurm.cancel(attempt for attempt, task in tasks.items() if task.alive and attempt not in spare)

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
        with noted_signals(signal.SIGTERM, signal.SIGUSR2, then=run.stop):
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
