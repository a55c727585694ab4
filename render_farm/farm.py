"""The three things that are done to a folder: run it, hand it in, link it. Each holds the folder meanwhile."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import yaml

from render_farm.clusters import Cluster
from render_farm.coordinator import Coordinator, RunFailed
from render_farm.disk.check import ShardState, done_indices, set_aside, survey
from render_farm.disk.failures import quarantined, read_failures
from render_farm.disk.folder import Folder, Job
from render_farm.disk.merge import merge
from render_farm.disk.room import BAD_DISK, cannot_write
from render_farm.pools import Pool
from render_farm.pools.opening import cancel_strays
from render_farm.views.progress import Reporter
from render_farm.work.probe import probe
from semforge.errors import SemforgeError
from semforge.files import write_text


@dataclass(frozen=True)
class Outcome:
    """What a run did: samples found verified, samples rendered, how long it all took, the data set's digest."""

    found: int
    rendered: int
    seconds: float
    digest: str


def run_job(
    folder: Folder, job: Job, cluster: Cluster, open_pools: Callable[[], Sequence[Pool]],
    reporter: Reporter, deep: bool = False,
) -> Outcome:  # fmt: skip
    """Bring `folder` to hold `dataset.h5` with the job's samples; what is on disk and verifies is kept.

    With a smaller count than before the data set links the first samples only, and the shards
    beyond are kept. `deep`: recompute the digests of all shards first, also of those that are
    as large and as old as when they were last verified. Raises InputError if the folder holds
    another job or another run is at work there, RunFailed if samples failed in every attempt or
    no task gets anywhere.
    """
    began = time.monotonic()
    with _held(folder):
        coordinator, found = _begin(folder, job, cluster, open_pools, reporter, deep)
        try:
            coordinator.work()
        finally:
            coordinator.leave()
        given_up = coordinator.given_up
        if given_up:
            raise RunFailed(_quarantine_text(folder, job))
        digest = _merge(folder, job, survey(folder, job, trust="journal"))
    return Outcome(found, job.count - found, time.monotonic() - began, digest)


def submit_job(
    folder: Folder, job: Job, cluster: Cluster, open_pools: Callable[[], Sequence[Pool]], reporter: Reporter,
    with_probe: bool = False, deep: bool = False,
) -> dict[str, int]:  # fmt: skip
    """Hand in what is missing and return: tasks by pool. Raises InputError as `run_job`.

    `with_probe`: if no pool's speed is known, render a few samples here first. `deep` as in `run_job`.
    """
    with _held(folder):
        coordinator, _ = _begin(folder, job, cluster, open_pools, reporter, deep)
        if with_probe and coordinator.needs_probe:
            reporter.note("rendering a few samples here, to size the tasks")
            coordinator.learn_from_probe(probe(folder))
        handed_in = coordinator.hand_in_all()
        if left := coordinator.not_handed_in:
            reporter.note(
                f"Slurm takes no more now; hand in the other {len(left)} samples later, with "
                f"render-farm resume {folder.root} --detach"
            )
        return handed_in


def merge_job(folder: Folder, job: Job) -> str:
    """Link the shards on disk into `dataset.h5`; returns its digest. Raises SemforgeError if samples are missing."""
    with _held(folder):
        states = survey(folder, job, trust="journal")
        missing = set(range(job.count)) - done_indices(states)
        if missing:
            raise SemforgeError(
                f"{folder.root}: {len(missing)} of {job.count} samples are not on disk yet; "
                f"see render-farm status, go on with render-farm resume {folder.root}"
            )
        return _merge(folder, job, states)


@contextmanager
def _held(folder: Folder) -> Iterator[None]:
    """The folder locked; a disk that takes no more is one line that says what to do."""
    try:
        with folder.locked():
            yield
    except OSError as error:
        if error.errno not in BAD_DISK:
            raise
        raise cannot_write(folder, os.strerror(error.errno)) from error


def _merge(folder: Folder, job: Job, states: Sequence[ShardState]) -> str:
    return merge(folder, job, [state.shard for state in states if state.problem is None])


def _begin(
    folder: Folder, job: Job, cluster: Cluster, open_pools: Callable[[], Sequence[Pool]], reporter: Reporter,
    deep: bool,
) -> tuple[Coordinator, int]:  # fmt: skip
    folder.begin(job)
    write_text(folder.cluster_file, yaml.safe_dump(cluster.model_dump(mode="json")))
    pools = open_pools()
    if strays := cancel_strays(folder, cluster.pools):
        reporter.note(f"{strays} tasks in Slurm's queue that are of no pool of this cluster were cancelled")
    coordinator = Coordinator(folder, job, cluster, pools, reporter)
    if not coordinator.adopted:
        folder.sweep()
    done = done_indices(_keep_verified(folder, job, reporter, deep))
    found = sum(index < job.count for index in done)
    coordinator.begin(done)
    return coordinator, found


def _keep_verified(folder: Folder, job: Job, reporter: Reporter, deep: bool) -> list[ShardState]:
    """Verify the shards on disk, unless `deep` only those that no journal vouches for; set bad ones aside."""
    on_disk = folder.shards_on_disk()
    reporter.verifying(sum(map(len, on_disk)))
    checked = 0

    def seen(state: ShardState) -> None:
        nonlocal checked
        checked += len(state.shard)
        reporter.show(checked)
        if state.problem is not None:
            reporter.note(set_aside(state))

    return survey(folder, job, trust="nothing" if deep else "journal", seen=seen)


def _quarantine_text(folder: Folder, job: Job) -> str:
    bad = {i: f for i, f in quarantined(read_failures(folder), job.attempts).items() if i < job.count}
    shown = "; ".join(f"sample {i}: {f.problem} (log: {folder.log_path(f.attempt)})" for i, f in list(bad.items())[:3])
    more = f"; and {len(bad) - 3} more, see render-farm status" if len(bad) > 3 else ""
    return f"{len(bad)} of {job.count} samples are in quarantine, the others are on disk; {shown}{more}"
