"""Tasks of Slurm that died before their journals began: a set-up line that failed, an interpreter that is not there.

No journal tells of them. What is left is Slurm's word while its queue shows it, and the log
that Slurm opens for a task when it starts it, which a task taken back from the queue has not.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from render_farm.clusters import Cluster
from render_farm.disk.folder import Folder
from render_farm.pools.opening import SLURM_FILES
from render_farm.pools.slurm_commands import QueuedTask
from render_farm.pools.submissions import Submitted
from semforge.errors import InputError
from semforge.settings import load_settings

BAD_ENDS = ("BOOT_FAIL", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT")
PATIENCE_S = 60.0  # so long after it was handed in a task may be on its way into the queue or out of it


@dataclass(frozen=True)
class NeverBegan:
    """A task that ended badly before it wrote a line; `log` is None if Slurm opened none."""

    attempt: str
    pool: str
    problem: str
    log: str | None


def never_began(
    folder: Folder,
    submitted: Iterable[Submitted],
    with_journal: Collection[str],
    queue: Mapping[str, QueuedTask] | None,
    now: float,
) -> list[NeverBegan]:
    """The tasks of `submitted` that died early; none where the queue cannot be asked (None)."""
    if queue is None:
        return []
    files, found = slurm_files(folder), []
    for one in submitted:
        if one.engine != "slurm" or one.attempt in with_journal:
            continue
        seen = queue.get(one.attempt)
        if seen is not None and (seen.alive or not seen.state.startswith(BAD_ENDS)):
            continue
        log = log_of(folder, one.attempt, files)
        if seen is not None:
            problem = seen.ending
        elif log is not None and now - one.t > PATIENCE_S:
            problem = "ended before it wrote anything"
        else:
            continue
        found.append(NeverBegan(one.attempt, one.pool, problem, str(log) if log else None))
    return found


def log_of(folder: Folder, attempt: str, files: Path) -> Path | None:
    """What a task printed: its own log, else Slurm's among submitit's `files`, None if there is neither."""
    job, _, position = attempt.rpartition("_")
    names = [f"{job}_{position}_0_log.err", *([f"{job}_0_log.err"] if position == "0" else [])]
    places = (folder.log_path(attempt), *(files / name for name in names))
    return next((place for place in places if place.exists()), None)


def slurm_files(folder: Folder) -> Path:
    """Where submitit's files of the folder are."""
    cluster = last_cluster(folder)
    return (cluster.folder if cluster else None) or folder.root / SLURM_FILES


def last_cluster(folder: Folder) -> Cluster | None:
    """Where the job was last rendered; None if that is not there or cannot be read."""
    try:
        return load_settings(folder.cluster_file, Cluster) if folder.cluster_file.exists() else None
    except InputError:
        return None
