"""A run: find out what is done, render the rest, link it all into one data set."""

import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from render_farm.check import ShardState, check_shard, done_indices, survey
from render_farm.cluster import Pool, SampleMade, ShardEnded
from render_farm.folder import Folder, Job
from render_farm.merge import merge
from render_farm.plan import Shard, plan_shards
from render_farm.progress import Reporter
from semforge.errors import SemforgeError

ATTEMPTS = 3


class RunFailed(SemforgeError):
    """Some shards could not be rendered. The message names them and their logs; the others are on disk."""


@dataclass(frozen=True)
class Outcome:
    """What a run did: samples found verified, samples rendered, how long it all took, the data set's digest."""

    found: int
    rendered: int
    seconds: float
    digest: str


def run_job(folder: Folder, job: Job, pool: Pool, reporter: Reporter, attempts: int = ATTEMPTS) -> Outcome:
    """Bring `folder` to hold `dataset.h5` with the job's samples; what is on disk and verifies is kept.

    With a smaller count than before the data set links the first samples only, and the shards
    beyond are kept. Raises InputError if the folder holds another job or another run is at
    work there, RunFailed if a shard failed in every attempt.
    """
    began = time.monotonic()
    with folder.locked():
        folder.begin(job)
        done = done_indices(_keep_verified(folder, job, reporter))
        shards = plan_shards(job.count, done, job.shard_size)
        found = sum(index < job.count for index in done)
        if shards:
            reporter.rendering(found, job.count)
            _render(folder, job, pool, reporter, shards, attempts, found)
        digest = merge(folder, job, [state.shard for state in survey(folder, job, deep=False) if state.problem is None])
    return Outcome(found, job.count - found, time.monotonic() - began, digest)


def _keep_verified(folder: Folder, job: Job, reporter: Reporter) -> list[ShardState]:
    """Verify all shards on disk; those with a problem are set aside, beside the others."""
    on_disk = folder.shards_on_disk()
    reporter.verifying(sum(map(len, on_disk)))
    checked = 0

    def seen(state: ShardState) -> None:
        nonlocal checked
        checked += len(state.shard)
        reporter.show(checked)
        if state.problem is not None:
            aside = state.path.with_name(state.path.name + ".bad")
            os.replace(state.path, aside)
            reporter.note(f"{state.path}: {state.problem}; set aside as {aside.name}, rendering it again")

    return survey(folder, job, deep=True, seen=seen)


def _render(
    folder: Folder, job: Job, pool: Pool, reporter: Reporter, shards: Sequence[Shard], attempts: int, done: int
) -> None:
    """Render the shards, those that fail up to `attempts` times. Raises RunFailed if some failed to the end."""
    failures: dict[Shard, str] = {}
    todo = list(shards)
    for attempt in range(1, attempts + 1):
        made: Counter[Shard] = Counter()  # samples of shards that are being rendered
        again: list[Shard] = []
        try:
            with closing(pool.run(folder, todo)) as events:
                for event in events:
                    if isinstance(event, SampleMade):
                        made[event.shard] += 1
                    else:
                        del made[event.shard]
                        state = check_shard(folder, job, event.shard, deep=True)
                        if state.problem is None:
                            done += len(event.shard)
                            _record(folder, event)
                        elif event.retry and attempt < attempts:
                            again.append(event.shard)
                            reporter.note(f"{event.shard.name}: {_why(event, state)}; it gets another attempt")
                        else:
                            failures[event.shard] = _why(event, state)
                    reporter.show(done + made.total())
        finally:
            folder.sweep()  # a worker that was killed leaves its half-written file
        todo = sorted(again)
        if not todo:
            break
    if failures:
        named = "; ".join(f"{shard.name}: {why} (log: {folder.log_path(shard)})" for shard, why in failures.items())
        raise RunFailed(f"{len(failures)} of {len(shards)} shards failed, the others are on disk; {named}")


def _why(event: ShardEnded, state: ShardState) -> str:
    return f"what it wrote {state.problem}" if state.path.exists() else event.problem


def _record(folder: Folder, event: ShardEnded) -> None:
    """Note what a shard took, for `status` to tell the seconds a sample."""
    line = {"shard": event.shard.name, "samples": len(event.shard), "seconds": round(event.seconds, 3)}
    with folder.timings.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
