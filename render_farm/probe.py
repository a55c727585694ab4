"""A few samples on this machine, to know what a sample takes before anything is handed in."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from render_farm.child import RENDERER
from render_farm.folder import Folder, Job
from render_farm.journal import Attempt, read_journal
from render_farm.plan import Task
from render_farm.task import DONE, Order, TaskRun
from semforge.errors import SemforgeError

PROBE = "probe"  # the name of its pool in journals
SAMPLES = 4  # the first of them is not counted: it warms Blender up


def probe(folder: Folder, threads: int = 0, samples: int = SAMPLES, command: Sequence[str] = RENDERER) -> Attempt:
    """Render the job's first samples here, as any task would; they stay in the folder.

    Raises SemforgeError if they cannot be rendered.
    """
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


def probe_elsewhere(job: Job, threads: int = 0) -> Attempt:
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
