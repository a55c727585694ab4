"""The jobs of an experiment as tasks of Slurm arrays.

A job is handed in once: what the queue holds still is known from a line an array in `handed_in.jsonl`. Whether a job
is finished is sem-train's to say; Slurm is asked only what is alive and how the rest ended.
"""

import fcntl
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from render_farm.clusters import Cluster, SlurmPool
from render_farm.disk.journal import Kinds, fits, read_lines
from render_farm.experiments.plan import Experiment, ExperimentJob
from render_farm.experiments.progress import JobReporter
from render_farm.planning.estimate import gpus as granted_gpus
from render_farm.pools import slurm_commands as slurm
from render_farm.pools.slurm_commands import QueuedTask, SlurmError
from render_farm.programs import ProgramCall, last_words
from render_farm.training import with_gpus
from semforge.errors import InputError

KEYS: Kinds = {"job": str, "names": list}  # of a line of the record


@dataclass(frozen=True)
class HandedIn:
    """A job that was handed in as an attempt `12_3`, task 3 of array 12, or `12_0` of a job without array."""

    name: str
    attempt: str
    in_array: bool

    @property
    def job(self) -> str:
        """Slurm's id of the array, or of the job."""
        return self.attempt.partition("_")[0]

    @property
    def in_slurm(self) -> str:
        """What Slurm calls it, and what the names of its files begin with: 12_3, or 12."""
        return self.attempt if self.in_array else self.job


@dataclass(frozen=True)
class Arrays:
    """An experiment in a Slurm pool."""

    experiment: Experiment
    pool_name: str
    pool: SlurmPool  # as the command line changed it
    files: Path  # Slurm's, submitit's and ours

    @property
    def record(self) -> Path:
        """A line an array: its id and the names of its jobs."""
        return self.files / "handed_in.jsonl"

    def script(self) -> str:
        """The batch script that would be handed in first."""
        from render_farm.pools.submission import batch_script

        jobs = _arrays(self.experiment.missing(), slurm.largest_array())[0]
        more = self._parameters(hold=any(job.needs for job in jobs), wait="", room=self.pool.parallel)
        return batch_script(self.pool, self.files, self.experiment.queue_name, len(jobs), **more)

    def hand_in(self) -> tuple[list[HandedIn], list[HandedIn]]:
        """Hand in the jobs that are neither finished nor in the queue; returns the alive and the new.

        Raises SlurmError if the queue cannot be asked or takes nothing, InputError for what Slurm has against the pool.
        """
        with self._alone():
            queue = slurm.read_queue(self.experiment.queue_name)
            self._cancel_strays(queue)
            alive = [one for one in self.handed_in() if _alive(queue, one.attempt)]
            there = {one.name for one in alive}
            new = [job for job in self.experiment.missing() if job.name not in there]
            return alive, self._submit(new, alive) if new else []

    def handed_in(self) -> list[HandedIn]:
        """All that was ever handed in."""
        lines = [line for line in read_lines(self.record) if fits(line, KEYS)]
        return [one for line in lines for one in _tasks(line["job"], line["names"])]

    def follow(self, tasks: Sequence[HandedIn], poll_s: float, reporter: JobReporter) -> dict[str, str]:
        """Wait until none of the tasks is alive; returns how those ended that did not complete, by job name."""
        last: dict[str, QueuedTask] = {}
        while True:
            queue = slurm.queue(self.experiment.queue_name)
            if queue is not None:
                last |= queue
                stuck = [one for one in tasks if one.attempt in queue and queue[one.attempt].stuck]
                with suppress(SlurmError):  # if not now, then at the next look
                    slurm.cancel_words([one.in_slurm for one in stuck])
                alive = [one for one in tasks if _alive(queue, one.attempt)]
                waiting = sum(queue[one.attempt].waits for one in alive)
                reporter.show(len(tasks) - len(alive), len(alive) - waiting, waiting)
                if not alive:
                    break
            time.sleep(poll_s)
        told = slurm.endings([one.attempt for one in tasks if one.attempt not in last or last[one.attempt].alive])
        told |= {attempt: task.ending for attempt, task in last.items() if not task.alive}
        return {one.name: self._ending(one, told.get(one.attempt, "")) for one in tasks
                if not told.get(one.attempt, "").startswith("COMPLETED")}  # fmt: skip

    def log(self, task: HandedIn) -> Path:
        """What a job prints."""
        return self.files / f"{task.in_slurm}_0_log.out"

    def _ending(self, task: HandedIn, told: str) -> str:
        """How a task ended, in the words of its node if it left any, else in Slurm's, and what it said last."""
        note = self.files / f"{task.in_slurm}_0.failed"
        end = note.read_text(encoding="utf-8").strip() if note.exists() else told
        words = "" if "killed" in end or "CANCELLED" in end else last_words(self.log(task))
        return ", ".join(word for word in (end or "is gone from Slurm's queue", words) if word)

    def _submit(self, new: Sequence[ExperimentJob], alive: Sequence[HandedIn]) -> list[HandedIn]:
        settings = self.experiment.hand_in(self.files)
        queued = {one.name: one for one in alive}
        size = slurm.largest_array() if len(new) > 1 else 1
        for part in _arrays(new, size):
            queued |= {one.name: one for one in self._submit_array(settings, part, queued)}
        return list(queued.values())[len(alive) :]

    def _submit_array(
        self, settings: Path, jobs: Sequence[ExperimentJob], queued: Mapping[str, HandedIn]
    ) -> list[HandedIn]:
        """Hand in jobs as one array, on hold until Slurm knows which of them wait for which."""
        from render_farm.pools.submission import submit_array  # submitit takes its time to load

        names = [job.name for job in jobs]
        needs = {job.needs for job in jobs if job.needs in queued or job.needs in names}
        room = self.pool.parallel - len(queued)
        # Slurm's limit is one of a single array: the next begins when those before are through
        wait = "" if room > 0 else "afterany:" + ":".join(sorted({one.job for one in queued.values()}))
        more = self._parameters(hold=bool(needs), wait=wait, room=room)
        calls = [self._call(settings, job) for job in jobs]
        number = submit_array(
            self.pool, calls, self.files.resolve(), self.experiment.queue_name, pool_name=self.pool_name, **more
        )
        tasks = _tasks(number, names)
        known = {**queued, **{one.name: one for one in tasks}}
        try:
            for need in needs:
                behind = [k for k, job in enumerate(jobs) if job.needs == need]
                words = (wait, f"afterok:{known[str(need)].in_slurm}")
                slurm.depend(f"{number}_[{slurm.index_ranges(behind)}]" if len(jobs) > 1 else number,
                             ",".join(word for word in words if word))  # fmt: skip
            if needs:
                slurm.release(number)
        except BaseException:
            with suppress(SlurmError):  # or the next call does
                slurm.cancel_words([number])
            raise
        line = {"t": round(time.time(), 3), "pool": self.pool_name, "job": number, "names": names}
        with self.record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        return tasks

    def _call(self, settings: Path, job: ExperimentJob) -> ProgramCall:
        hidden = {} if granted_gpus(self.pool) else {"CUDA_VISIBLE_DEVICES": ""}  # without gres: others' GPUs
        words = ("compare", str(settings.resolve()), "--job", job.name)
        return ProgramCall(words, self.experiment.queue_name, str(self.files.resolve()), hidden)

    def _parameters(self, hold: bool, wait: str, room: int) -> dict[str, Any]:
        more: dict[str, Any] = {"requeue": True, "kill_on_invalid_dep": "yes", **self.pool.additional}
        if hold:  # until its tasks know what they wait for
            more["hold"] = True
        parameters: dict[str, Any] = {"additional_parameters": more, "stderr_to_stdout": True}
        if wait:  # Slurm's limit is one of a single array: the next begins when those before are through
            return {**parameters, "dependency": wait}
        return {**parameters, "array_parallelism": min(room, self.pool.parallel)}

    def _cancel_strays(self, queue: Mapping[str, QueuedTask]) -> None:
        """A call that was killed between handing in an array and writing that down leaves tasks that nobody knows."""
        known = {one.job for one in self.handed_in()}
        jobs = {attempt.partition("_")[0] for attempt, task in queue.items() if task.alive}
        slurm.cancel_words(sorted(jobs - known))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Within, no other process hands jobs of this experiment in."""
        self.files.mkdir(parents=True, exist_ok=True)
        with (self.files / ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def in_slurm(experiment: Experiment, cluster: Cluster, name: str, gpus: int | None, parallel: int | None) -> Arrays:
    """An experiment in a Slurm pool of the cluster, with so many GPUs a job and jobs at a time.

    Raises InputError if the pool has no GPUs or there is no Slurm here.
    """
    pool = cluster.pools[name]
    assert isinstance(pool, SlurmPool)
    if gpus and not granted_gpus(pool):
        raise InputError(f"--gpus {gpus}: pool {name} has no gres such as gpu:1; choose another --pool")
    if not slurm.available():
        raise InputError("no Slurm here (squeue is not found); submit from a login node, or use --cluster local")
    changes: dict[str, Any] = {} if gpus is None or not granted_gpus(pool) else {"gres": with_gpus(pool.gres, gpus)}
    if parallel is not None:
        changes["parallel"] = parallel
    files = cluster.folder / experiment.queue_name if cluster.folder else experiment.out / "slurm"
    return Arrays(experiment, name, pool.model_copy(update=changes), files)


def _arrays(jobs: Sequence[ExperimentJob], size: int) -> list[Sequence[ExperimentJob]]:
    """As few arrays as the site allows. Those that wait for others come last: what is free to begin is begun first."""
    order = sorted(jobs, key=lambda job: job.needs is not None)
    return [order[first : first + size] for first in range(0, len(order), size)]


def _tasks(job: str, names: Sequence[str]) -> list[HandedIn]:
    return [HandedIn(name, f"{job}_{k}", len(names) > 1) for k, name in enumerate(names)]


def _alive(queue: Mapping[str, QueuedTask], attempt: str) -> bool:
    return attempt in queue and queue[attempt].alive
