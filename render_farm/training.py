"""Training as one Slurm job of many processes: handed in, followed, and requeued from its last checkpoint.

The job runs `sem-train fit` as a child of each of its tasks and stays free of PyTorch itself. What the
nodes need, settings as they were handed in and logs, lies in the run's folder, below `slurm`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from render_farm.clusters import Cluster, SlurmPool
from render_farm.planning.estimate import gpus as granted_gpus
from render_farm.pools import slurm_commands as slurm
from render_farm.programs import BEAT_S, LOST, ProgramCall, ask, last_words
from semforge.errors import InputError, SemforgeError
from semforge.files import write_text


@dataclass(frozen=True)
class TrainingRun:
    """What `sem-train fit CONFIG --check` says about a run."""

    out: Path
    state: str  # new, unfinished or finished
    config: dict[str, Any]  # all settings, validated

    @property
    def queue_name(self) -> str:
        """The name of this run's job in Slurm's queue; no other run's jobs have it."""
        return f"semforge-train-{sha256(str(self.out.resolve()).encode()).hexdigest()[:10]}"


@dataclass(frozen=True)
class Layout:
    """How a training is spread: one process a GPU, or one a node where there are none."""

    nodes: int
    gpus: int  # of each node

    @property
    def tasks_per_node(self) -> int:
        """Processes on each node."""
        return max(1, self.gpus)

    @property
    def processes(self) -> int:
        """All processes."""
        return self.nodes * self.tasks_per_node


def read_run(config: Path, overrides: Sequence[str]) -> TrainingRun:
    """Have `sem-train` validate settings and folder. Raises InputError with its words."""
    said = ask("fit", str(config), *overrides, "--check")
    return TrainingRun(Path(said["out"]), said["state"], said["config"])


def choose_pool(cluster: Cluster, name: str | None, gpus: int | None) -> SlurmPool:
    """The Slurm pool of that name, or the only one that fits. Raises InputError naming those there are."""
    pools = {key: pool for key, pool in cluster.pools.items() if isinstance(pool, SlurmPool)}
    if not pools:
        raise InputError("--cluster: has no Slurm pool; to train on this machine use sem-train fit, training.devices=N")
    if name is not None:
        if name not in pools:
            raise InputError(f"--pool {name}: no such Slurm pool, expected one of {', '.join(pools)}")
        return pools[name]
    fit = [pool for pool in pools.values() if gpus is None or (gpus > 0) == (granted_gpus(pool) > 0)]
    if len(fit) != 1:
        wanted = "" if gpus is None else " with GPUs" if gpus else " without GPUs"
        raise InputError(f"--cluster: has {len(fit)} Slurm pools{wanted}; choose by --pool: {', '.join(pools)}")
    return fit[0]


def lay_out(pool: SlurmPool, nodes: int, gpus: int | None, batch_size: int) -> Layout:
    """Processes on the nodes of a pool; `gpus` of each node, by default those of the pool's gres.

    Raises InputError if the pool has no GPUs or the batch cannot be shared evenly.
    """
    granted = granted_gpus(pool)
    if gpus and not granted:
        raise InputError(f"--gpus {gpus}: the pool has no gres such as gpu:1; choose another --pool")
    layout = Layout(nodes, granted if gpus is None else gpus)
    if batch_size % layout.processes:
        raise InputError(
            f"training.batch_size is {batch_size}, expected a multiple of {layout.processes}: the processes share it"
        )
    return layout


def job_parameters(pool: SlurmPool, layout: Layout) -> dict[str, Any]:
    """What a training asks of Slurm beyond what a pool asks for one task, in submitit's words."""
    gres = with_gpus(pool.gres, layout.gpus) if granted_gpus(pool) else pool.gres
    return {
        "nodes": layout.nodes, "ntasks_per_node": layout.tasks_per_node, "gres": gres,
        "mem": f"{round(pool.memory_gb * 1024 * layout.tasks_per_node)}M", "stderr_to_stdout": True,
        # A process that fails takes the others with it: they would wait for it. srun of Slurm 22.05 and later
        # does not inherit the cores of a task.
        "srun_args": ["--kill-on-bad-exit=1", f"--cpus-per-task={pool.cpus}"],
    }  # fmt: skip


def with_gpus(gres: str | None, gpus: int) -> str | None:
    """The same gres with another number of GPUs: gpu:a100:1 -> gpu:a100:4; without GPUs what else there is."""
    parts = []
    for part in (gres or "").split(","):
        name, *words = part.split(":")
        if name != "gpu":
            parts.append(part)
        elif gpus:
            parts.append(":".join([name, *(word for word in words if not word.isdigit()), str(gpus)]))
    return ",".join(parts) or None


@dataclass(frozen=True)
class TrainingJob:
    """A training and where it is to run."""

    run: TrainingRun
    pool: SlurmPool
    layout: Layout
    files: Path  # Slurm's and submitit's

    def running(self) -> str | None:
        """Id of this run's job in the queue, if there is one."""
        tasks = slurm.queue(self.run.queue_name) or {}
        return next((attempt.partition("_")[0] for attempt, task in tasks.items() if task.alive), None)

    def script(self) -> str:
        """The batch script that would be handed in."""
        from render_farm.pools.submission import batch_script

        return batch_script(self.pool, self.files, self.run.queue_name, 1, **job_parameters(self.pool, self.layout))

    def submit(self) -> str:
        """Hand it in and return Slurm's job id. Raises SlurmError with Slurm's words if it refuses."""
        from render_farm.pools.submission import submit_array

        # As handed in: a requeued job must not meet a file that was edited meanwhile. The job says where it runs.
        device = "gpu" if self.layout.gpus else "cpu"
        training = {**self.run.config["training"], "accelerator": device, "devices": None, "num_nodes": None}
        write_text(self.settings, yaml.safe_dump({**self.run.config, "training": training}, sort_keys=False))
        call = ProgramCall(("fit", str(self.settings.resolve())), self.run.queue_name, str(self.files.resolve()))
        name, more = self.run.queue_name, job_parameters(self.pool, self.layout)
        return submit_array(self.pool, [call], self.files.resolve(), name, **more)

    @property
    def settings(self) -> Path:
        """Settings as the nodes read them."""
        return self.files / "config.yaml"

    def log(self, job: str, rank: int = 0) -> Path:
        """What a process of the job prints."""
        return self.files / f"{job}_{rank}_log.out"

    def follow(self, job: str, poll_s: float, say: Callable[[str], None]) -> None:
        """Pass on what the job's first process prints, until the job ends. Raises SemforgeError if it failed."""
        seen, looked, state = 0, time.monotonic(), "PENDING"
        while True:
            seen = _pass_on(self.log(job), seen, say)
            if time.monotonic() - looked > poll_s:
                looked = time.monotonic()
                found = self.state(job)
                if found != state and found in ("PENDING", "RUNNING"):
                    say(f"render-farm: job {job} is {found.lower()}\n")
                state = found
                if state in slurm.ENDED:
                    break
            time.sleep(BEAT_S)
        _pass_on(self.log(job), seen, say)
        if state != "COMPLETED":
            why = self.cause(job)
            raise SemforgeError(
                f"{self.run.out}: job {job} ended {state}{f': {why}' if why else ''}; "
                "the same command goes on from the last checkpoint"
            )

    def state(self, job: str) -> str:
        """Slurm's word for the state of the job; what the disk says where Slurm forgot."""
        tasks = slurm.queue(self.run.queue_name)
        if tasks is None:
            return "RUNNING"  # or not: Slurm does not answer at present
        if f"{job}_0" in tasks:
            state = tasks[f"{job}_0"].state
            return "RUNNING" if state in ("COMPLETING", "CONFIGURING") else state
        told = slurm.endings([f"{job}_0"]).get(f"{job}_0", "").partition(" ")[0]
        if told:
            return told
        return "COMPLETED" if (self.run.out / "run.json").exists() else "FAILED"

    def cause(self, job: str) -> str:
        """What the process that failed first said last, with its rank and node; empty if none is known to have."""
        notes = sorted(self.files.glob(f"{job}_*.failed"), key=lambda path: path.stat().st_mtime)
        said = [self._last_words(job, int(note.stem.partition("_")[2]), note.read_text().strip()) for note in notes]
        return next((line for line in said if LOST not in line), said[0] if said else "")

    def _last_words(self, job: str, rank: int, end: str) -> str:
        words = "" if "killed" in end else last_words(self.log(job, rank))  # a killed process had no time to say why
        return f"{end}, {words}" if words else end


def plan_training(
    config: Path, overrides: Sequence[str], cluster: Cluster, pool: str | None, nodes: int, gpus: int | None
) -> TrainingJob:
    """The job of a training on a cluster. Raises InputError if settings, folder, pool or batch do not fit."""
    settings = choose_pool(cluster, pool, gpus)
    run = read_run(config, overrides)
    layout = lay_out(settings, nodes, gpus, run.config["training"]["batch_size"])
    return TrainingJob(run, settings, layout, cluster.folder / run.queue_name if cluster.folder else run.out / "slurm")


def _pass_on(log: Path, seen: int, say: Callable[[str], None]) -> int:
    """Say what the log has from byte `seen` on; returns where it ends."""
    try:
        with log.open("rb") as file:
            file.seek(seen)
            new = file.read()
    except FileNotFoundError:
        return seen
    if new:
        say(new.decode(errors="replace"))
    return seen + len(new)
