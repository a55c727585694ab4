"""What was handed in: a line a submission, so that any later process knows which samples an attempt has."""

import json
import time
from collections.abc import Sequence

from render_farm.disk.folder import Folder
from render_farm.disk.journal import read_lines
from render_farm.planning.plan import Task


def record_submission(folder: Folder, pool: str, engine: str, job: str, tasks: Sequence[Task]) -> None:
    """Note that attempt `f"{job}_{k}"` has the samples of `tasks[k]`."""
    line = {"t": round(time.time(), 3), "pool": pool, "engine": engine, "job": job, "tasks": [str(t) for t in tasks]}
    with folder.submissions.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def read_submissions(folder: Folder, pool: str | None = None) -> dict[str, Task]:
    """The task of every attempt that was handed in to a pool, or to any."""
    return {
        f"{line['job']}_{k}": Task.parse(task)
        for line in read_lines(folder.submissions)
        if pool is None or line["pool"] == pool
        for k, task in enumerate(line["tasks"])
    }
