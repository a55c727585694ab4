"""A few samples on this machine, to know what a sample takes before anything is handed in."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from render_farm.clusters import Cluster, SlurmPool
from render_farm.disk.folder import Folder, Job
from render_farm.disk.journal import Attempt, read_journal, read_journals
from render_farm.planning.estimate import Estimate, estimate
from render_farm.planning.plan import Task
from render_farm.planning.speed import Speeds
from render_farm.pools.opening import available_cores, slots
from render_farm.pools.slurm_commands import available, largest_array
from render_farm.work.child import RENDERER
from render_farm.work.task import DONE, Order, TaskRun
from semforge.errors import SemforgeError
from semforge.settings import load_settings

PROBE = "probe"  # the name of its pool in journals
THREADS = 2  # where no cluster says
SAMPLES = 4  # the first of them is not counted: it warms Blender up


def probe(
    folder: Folder, threads: int | None = None, samples: int = SAMPLES, command: Sequence[str] = RENDERER
) -> Attempt:
    """Render the job's first samples here, as any task would; they stay in the folder.

    `threads`: those of a task of the folder's cluster, unless given. Raises SemforgeError if
    the samples cannot be rendered.
    """
    if threads is None:
        threads = _threads_in(folder)
    count = min(samples, folder.job().count)
    attempt = f"{PROBE}-{os.urandom(4).hex()}_0"
    order = Order(
        folder=str(folder.root), attempt=attempt, pool=PROBE, engine="local", task=str(Task.of(range(count))),
        threads=threads, command=tuple(command),
    )  # fmt: skip
    why = TaskRun(order).run()
    found = read_journal(folder.journal_path(attempt))[-1]
    if why != DONE or not found.samples:
        problem = found.failures[-1].problem if found.failures else why
        raise SemforgeError(f"the probe failed: {problem} (log: {folder.log_path(attempt)})")
    return found


def task_threads(cluster: Cluster) -> int:
    """The threads that a probe takes: those of a task of the cluster's first pool, of a login node not all."""
    pool = next(iter(cluster.pools.values()))
    wanted = pool.cpus if isinstance(pool, SlurmPool) else available_cores() // slots(pool)
    return max(1, min(wanted, available_cores()))


def probe_elsewhere(job: Job, threads: int = THREADS) -> Attempt:
    """The same in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="semforge-probe-") as place:
        folder = Folder(Path(place))
        folder.begin(job)
        return probe(folder, threads)


def seconds_per_sample(found: Attempt) -> float:
    """What a sample took, without the first one if there are others."""
    seconds = list(found.samples.values())
    counted = seconds[1:] or seconds
    return sum(counted) / len(counted)


def plan_job(job: Job, cluster: Cluster, folder: Folder | None = None, seconds: float | None = None) -> Estimate:
    """What the job would take on a cluster.

    A sample's time is what `folder` has measured, else `seconds` at relative speed 1, else what a
    few samples take here. Raises SemforgeError if these cannot be rendered.
    """
    speeds = Speeds(cluster, {name: slots(settings) for name, settings in cluster.pools.items()})
    if folder is not None:
        speeds.learn(read_journals(folder.journal))
    measured = {name for name in cluster.pools if speeds.seconds_per_sample(name) is not None}
    if seconds is None and any(capacity.seconds_per_sample is None for capacity in speeds.capacities()):
        seconds = seconds_per_sample(probe_elsewhere(job, task_threads(cluster)))
    if seconds is not None:
        speeds.expect(seconds)
    limit = {"largest_array": largest_array()} if available() else {}
    return estimate(job.count, cluster.pools, speeds.capacities(), cores=available_cores(), measured=measured, **limit)


def _threads_in(folder: Folder) -> int:
    if not folder.cluster_file.exists():
        return min(THREADS, available_cores())
    return task_threads(load_settings(folder.cluster_file, Cluster))
