"""Samples taken from a running task and given to another: written by the coordinator, read by the tasks."""

import json
import time
from collections import defaultdict

from render_farm.disk.folder import Folder
from render_farm.disk.journal import fits, is_task, read_lines
from render_farm.planning.plan import Task


def record_handover(folder: Folder, attempt: str, task: Task, pool: str) -> None:
    """Note that `attempt` is to leave the samples of `task` to another attempt, in `pool`."""
    line = {"t": round(time.time(), 3), "attempt": attempt, "task": str(task), "to": pool}
    with folder.handed_over.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def handed_over(folder: Folder) -> dict[str, set[int]]:
    """The samples that were taken from attempts while they ran, by attempt. Damaged lines are skipped."""
    gone: dict[str, set[int]] = defaultdict(set)
    for line in read_lines(folder.handed_over):
        if fits(line, {"attempt": str, "task": str}) and is_task(line["task"]):
            gone[line["attempt"]].update(Task.parse(line["task"]).indices)
    return gone
