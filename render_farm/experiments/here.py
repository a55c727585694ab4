"""The jobs of an experiment as processes on this machine, several at a time, each on its cores and GPUs."""

import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from render_farm import programs
from render_farm.clusters import DebugPool, LocalPool
from render_farm.experiments.plan import Experiment, ExperimentJob
from render_farm.experiments.progress import JobReporter
from render_farm.programs import BEAT_S, how_it_ended, last_words
from semforge.errors import InputError

PATIENCE_S = 120.0  # after which a job that was told to save and end is killed
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Slots:
    """How this machine is shared: jobs at a time, and what each of them has to itself."""

    count: int
    threads: int
    gpus: tuple[str, ...] = ()  # all of them, as CUDA_VISIBLE_DEVICES has them
    gpus_each: int = 0

    def environment(self, slot: int) -> dict[str, str]:
        """Of the job in a slot, counted from 0."""
        first = slot * self.gpus_each
        mine = ",".join(self.gpus[first : first + self.gpus_each])
        return {"OMP_NUM_THREADS": str(self.threads), "CUDA_VISIBLE_DEVICES": mine}


def share_machine(
    pool: LocalPool | DebugPool, gpus: int | None, parallel: int | None, found: Sequence[str], cores: int
) -> Slots:
    """`parallel` jobs at a time, or as many as the pool says, or one a GPU, or one a core; `gpus` of each job.

    `found` are the GPUs of this machine. Raises InputError if they are too few.
    """
    each = min(1, len(found)) if gpus is None else gpus
    if each > len(found):
        raise InputError(f"--gpus {each}: this machine has {len(found)}; 0 trains on the CPU")
    most = len(found) // each if each else cores
    told = parallel or (1 if isinstance(pool, DebugPool) else pool.workers)
    if each and told and told > most:
        raise InputError(f"{told} jobs at a time with {each} GPUs each, but this machine has {len(found)}; "
                         f"expected --parallel {most} or less, or --gpus 0")  # fmt: skip
    count = told or most
    return Slots(count, max(1, cores // count), tuple(found), each)


def gpus_here() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES has them; none without nvidia-smi."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is not None:
        return [name for name in told.split(",") if name.strip()]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout
    return [str(k) for k, line in enumerate(line for line in listed.splitlines() if line.startswith("GPU "))]


@dataclass
class Processes:
    """Runs the jobs that are missing; leaves a log of each in `files`."""

    experiment: Experiment
    slots: Slots
    files: Path
    echo: bool = False  # jobs print to the terminal
    _running: dict[int, tuple[ExperimentJob, subprocess.Popen[bytes]]] = field(default_factory=dict)

    def run(self, reporter: JobReporter) -> dict[str, str]:
        """Run all jobs that can be; returns how those ended that failed, by name.

        Raises KeyboardInterrupt when stopped, after all have saved and ended.
        """
        settings = self.experiment.hand_in(self.files)
        waiting = self.experiment.missing()
        total, unfinished = len(waiting), {job.name for job in waiting}
        reasons: dict[str, str] = {}
        try:
            while waiting or self._running:
                for slot, status in self._ended():
                    job, _ = self._running.pop(slot)
                    if status == 0:
                        unfinished.discard(job.name)
                    else:
                        reasons[job.name] = self._reason(job, status)
                ready = [job for job in waiting if job.needs not in unfinished]
                for slot in range(self.slots.count):
                    if slot not in self._running and ready:
                        job = ready.pop(0)
                        waiting.remove(job)
                        self._running[slot] = (job, self._start(settings, job, slot))
                reporter.show(total - len(waiting) - len(self._running), len(self._running), len(waiting))
                if not self._running:
                    break  # what waits now waits for one that failed
                time.sleep(BEAT_S)
        finally:
            self._stop()
        return reasons

    def log(self, job: ExperimentJob) -> Path:
        """What a job prints."""
        return self.files / f"{job.name}.log"

    def _ended(self) -> list[tuple[int, int]]:
        return [(slot, status) for slot, (_, process) in self._running.items()
                if (status := process.poll()) is not None]  # fmt: skip

    def _start(self, settings: Path, job: ExperimentJob, slot: int) -> "subprocess.Popen[bytes]":
        command = [*programs.SEM_TRAIN, "compare", str(settings), "--job", job.name]
        with self.log(job).open("wb") as log:
            out = None if self.echo else log
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env=os.environ | self.slots.environment(slot),
                start_new_session=True,  # Ctrl-C reaches this process only, which then tells its jobs to save
                preexec_fn=_end_with_parent,
            )  # fmt: skip

    def _reason(self, job: ExperimentJob, status: int) -> str:
        words = "" if status < 0 else last_words(self.log(job))
        return ", ".join(word for word in (how_it_ended(status), words) if word)

    def _stop(self) -> None:
        """End all jobs: first told to save, then, after a while or at the second Ctrl-C, killed."""
        processes = [process for _, process in self._running.values()]
        for process in processes:
            process.send_signal(signal.SIGTERM)
        end = time.monotonic() + PATIENCE_S
        try:
            while time.monotonic() < end and None in [process.poll() for process in processes]:
                time.sleep(BEAT_S)
        finally:
            for process in processes:
                process.kill()
                process.wait()


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
