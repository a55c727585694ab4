"""From a cluster's settings to its pools."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from render_farm.clusters import SAMPLE_TIMEOUT_MIN, Cluster, PoolSettings
from render_farm.clusters import LocalPool as LocalSettings
from render_farm.clusters import SlurmPool as SlurmSettings
from render_farm.disk.folder import Folder
from render_farm.planning.plan import Task
from render_farm.pools import Pool
from render_farm.pools import slurm_commands as slurm
from render_farm.pools.debug import DebugPool
from render_farm.pools.local import LocalPool, MakeOrder
from render_farm.pools.slurm import SlurmPool, SlurmQueue
from render_farm.pools.slurm_commands import SlurmError
from render_farm.pools.submissions import read_submissions, submitted_tasks
from render_farm.work.child import RENDERER
from render_farm.work.task import Order
from semforge.errors import InputError

SLURM_FILES = "slurm"  # submitit's own files, below the job's folder


def open_pools(
    cluster: Cluster, folder: Folder, workers: int | None = None, command: Sequence[str] = RENDERER
) -> list[Pool]:
    """The pools of a cluster, for the job in `folder`; `workers` goes over what local pools say.

    Raises InputError if a pool needs a Slurm that is not here, or one that would not take its
    tasks; SlurmError if Slurm cannot be asked.
    """
    in_slurm = {name: pool for name, pool in cluster.pools.items() if isinstance(pool, SlurmSettings)}
    if in_slurm:
        _check_slurm(in_slurm, cluster, folder)
    queue = SlurmQueue(folder.queue_name, cluster.poll_s / 2)
    return [
        _open(name, settings, cluster, folder, workers, tuple(command), queue)
        for name, settings in cluster.pools.items()
    ]


def slots(settings: PoolSettings) -> int:
    """Tasks that a pool runs at a time, most."""
    if isinstance(settings, SlurmSettings):
        return settings.parallel
    return (settings.workers or available_cores()) if isinstance(settings, LocalSettings) else 1


def available_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


def cancel_strays(folder: Folder, pools: Collection[str]) -> int:
    """Cancel what is in Slurm's queue under this folder's name but of none of these pools; returns how many.

    A run that was killed between handing in an array and writing that down leaves such tasks,
    and so does one that worked with another cluster. Raises SlurmError if the queue cannot be asked.
    """
    if not slurm.available() or not _uses_slurm(folder):
        return 0  # where there is no Slurm the pools are local, and render what is left in any case
    known = {attempt.partition("_")[0] for pool in pools for attempt in read_submissions(folder, pool)}
    tasks = _ask_queue(folder, "tasks of an earlier run may be alive; try again later")
    strays = [attempt for attempt, task in tasks.items() if task.alive and attempt.partition("_")[0] not in known]
    slurm.cancel(strays)
    return len(strays)


def cancel_all(folder: Folder) -> list[str]:
    """Stop the run at work in the folder, if there is one, and cancel its tasks in Slurm's queue; says what it did.

    Raises SlurmError, and does nothing, if tasks were handed in to Slurm and its queue cannot be asked.
    """
    said = []
    tasks = _ask_queue(folder, "nothing was cancelled") if _uses_slurm(folder) else {}
    folder.cancel_mark.touch()
    alive = [attempt for attempt, task in tasks.items() if task.alive]
    slurm.cancel(alive)
    if alive:
        said.append(f"{len(alive)} tasks cancelled in Slurm's queue")
    if folder.is_locked():
        holder = folder.holder()
        who = f" (process {holder.pid} of {holder.user} on {holder.host})" if holder else ""
        said.append(f"the run at work here{who} is told to stop")
    else:
        said = said or ["nothing is at work here"]
    return said


def _check_slurm(pools: Mapping[str, SlurmSettings], cluster: Cluster, folder: Folder) -> None:
    if not slurm.available():
        raise InputError("no Slurm here (squeue is not found); submit from a login node, or use --cluster local")
    from render_farm.pools.submission import check_pools  # submitit takes its time to load

    _ask_queue(folder, "nothing was handed in; try again later")
    check_pools(pools, _files(cluster, folder), folder.queue_name)


def _files(cluster: Cluster, folder: Folder) -> Path:
    """Where submitit's files go."""
    return cluster.folder or folder.root / SLURM_FILES


def _uses_slurm(folder: Folder) -> bool:
    """Whether tasks were ever handed in to Slurm, or may have been and nobody wrote it down."""
    return (
        any(one.engine == "slurm" for one in submitted_tasks(folder))
        or (folder.root / SLURM_FILES).is_dir()
        or (folder.cluster_file.exists() and "engine: slurm" in folder.cluster_file.read_text(encoding="utf-8"))
    )


def _ask_queue(folder: Folder, so: str) -> dict[str, slurm.QueuedTask]:
    try:
        return slurm.read_queue(folder.queue_name)
    except SlurmError as error:
        raise SlurmError(f"Slurm's queue cannot be asked ({error}), {so}") from error


def sample_timeout_s(settings: PoolSettings) -> float:
    """Silence after which a renderer is killed: as the settings say, or 30 min, or what a task's time limit leaves."""
    if settings.sample_timeout_min is not None:
        return settings.sample_timeout_min * 60
    if isinstance(settings, SlurmSettings):
        return min(SAMPLE_TIMEOUT_MIN, settings.longest_silence_min) * 60
    return SAMPLE_TIMEOUT_MIN * 60


def _open(
    name: str, settings: PoolSettings, cluster: Cluster, folder: Folder, workers: int | None,
    command: tuple[str, ...], queue: SlurmQueue,
) -> Pool:  # fmt: skip
    wide = (workers or slots(settings)) if settings.engine == "local" else slots(settings)
    order = _orders(name, settings, cluster, folder, wide, command)
    if isinstance(settings, SlurmSettings):
        return SlurmPool(name, settings, folder, order, queue, _files(cluster, folder))
    if settings.engine == "debug":
        return DebugPool(name, folder, order)
    return LocalPool(name, wide, folder, order)


def _orders(
    name: str, settings: PoolSettings, cluster: Cluster, folder: Folder, wide: int,
    command: tuple[str, ...],
) -> MakeOrder:  # fmt: skip
    def order(attempt: str, task: Task) -> Order:
        return Order(
            folder=str(folder.root.resolve()), attempt=attempt, pool=name, engine=settings.engine, task=str(task),
            device=settings.device, threads=0 if settings.engine == "slurm" else max(1, available_cores() // wide),
            processes=settings.processes_per_task, checkpoint_s=cluster.checkpoint_s,
            sample_timeout_s=sample_timeout_s(settings), command=command,
        )  # fmt: skip

    return order
