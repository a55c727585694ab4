"""What was handed in: a line a submission, so that any later process knows which samples an attempt has."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from render_farm.disk.folder import Folder
from render_farm.disk.journal import NUMBER, Kinds, fits, is_task, read_lines
from render_farm.planning.plan import Task

KEYS: Kinds = {"t": NUMBER, "pool": str, "engine": str, "job": str, "tasks": list}


@dataclass(frozen=True)
class Submitted:
    """A task that was handed in; `t` is when, in seconds since 1970."""

    t: float
    pool: str
    engine: str
    attempt: str
    task: Task


def record_submission(folder: Folder, pool: str, engine: str, job: str, tasks: Sequence[Task]) -> None:
    """Note that attempt `f"{job}_{k}"` has the samples of `tasks[k]`."""
    line = {"t": round(time.time(), 3), "pool": pool, "engine": engine, "job": job, "tasks": [str(t) for t in tasks]}
    with folder.submissions.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def read_submissions(folder: Folder, pool: str | None = None) -> dict[str, Task]:
    """The task of every attempt that was handed in to a pool, or to any."""
    return {one.attempt: one.task for one in submitted_tasks(folder) if pool is None or one.pool == pool}


def submitted_tasks(folder: Folder) -> Iterator[Submitted]:
    """All tasks of all submissions, in the order in which they were handed in. Damaged lines are skipped."""
    for line in read_lines(folder.submissions):
        if fits(line, KEYS):
            for k, task in enumerate(line["tasks"]):
                if is_task(task):
                    yield Submitted(line["t"], line["pool"], line["engine"], f"{line['job']}_{k}", Task.parse(task))
