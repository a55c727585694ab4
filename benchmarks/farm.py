"""Figures of the render farm itself, without Blender.

`python -m benchmarks.farm status` makes a folder of 100,000 tiny samples with shards and
journals as tasks leave them, and measures how long `render-farm status` takes on it.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from blender_gen.sample import Header, Sample, write_samples
from render_farm.check import survey
from render_farm.folder import Folder, Job
from render_farm.journal import Journal
from render_farm.merge import merge
from render_farm.plan import Shard, shards_of
from render_farm.status import read_status
from semforge import cli

TASKS = 200

app = cli.application("Figures of the render farm itself, without Blender.")


@dataclass(frozen=True)
class StatusTimes:
    """Seconds that a status takes: the call, and the command with the start of Python."""

    samples: int
    shards: int
    shard_size: int
    call_s: float  # median
    command_s: float  # median
    done: int
    state: str


def make_folder(root: Path, count: int, shard_size: int) -> Folder:
    """A job of `count` samples of 4 x 4 pixels, rendered by 200 tasks and merged."""
    folder = Folder(root)
    job = Job(recipe="family: fake\n", recipe_hash="0" * 64, seed=0, count=count, shard_size=shard_size)
    folder.begin(job)
    header = Header(job.recipe, job.recipe_hash, 0, ("matrix", "pore"), {"fake": "1"}, "CPU")
    shards = shards_of(range(count), shard_size)
    a_task = -(-len(shards) // TASKS)
    for k, first in enumerate(range(0, len(shards), a_task)):
        _one_task(folder, f"local-0123abcd_{k}", shards[first : first + a_task], header)
    merge(folder, job, shards)
    return folder


def measure_status(count: int = 100_000, shard_size: int = 100, repeats: int = 5) -> StatusTimes:
    """Make the folder and take the status of it, the first time left out: the disk's cache is warm."""
    with tempfile.TemporaryDirectory() as place:
        folder = make_folder(Path(place), count, shard_size)
        shards = len(survey(folder, folder.job(), "shape"))
        calls, commands = [], []
        for _ in range(repeats):
            began = time.perf_counter()
            status = read_status(folder)
            calls.append(time.perf_counter() - began)
            began = time.perf_counter()
            line = [sys.executable, "-m", "render_farm", "status", place, "--json"]
            subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
            commands.append(time.perf_counter() - began)
    return StatusTimes(
        count, shards, shard_size, round(statistics.median(calls), 3), round(statistics.median(commands), 3),
        status.done, status.state,
    )  # fmt: skip


@app.command()
def status(
    count: Annotated[int, typer.Option(help="Samples in the folder.", min=1)] = 100_000,
    shard_size: Annotated[int, typer.Option(help="Samples in a file.", min=1)] = 100,
    repeats: Annotated[int, typer.Option(help="Measurements; their median counts.", min=1)] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """How long `render-farm status` takes."""
    found = measure_status(count, shard_size, repeats)
    if as_json:
        print(json.dumps(asdict(found)))
    else:
        print(
            f"{found.samples} samples in {found.shards} shards of {found.shard_size}: status {found.call_s:.2f} s, "
            f"the command {found.command_s:.2f} s; {found.done} done, {found.state}"
        )


def _one_task(folder: Folder, attempt: str, shards: list[Shard], header: Header) -> None:
    """What a task leaves: its shards and its journal."""
    journal = Journal(folder.journal_path(attempt))
    task = f"{shards[0].start}-{shards[-1].stop - 1}"
    journal.write(
        "start", pool="local", engine="local", node="host", task=task, device="cpu", threads=1, processes=1, restart=0
    )
    journal.write("ready", device="CPU: some processor with a long name")
    for shard in shards:
        for index in shard.indices:
            journal.write("sample", index=index, seconds=1.234)
        path = folder.shard_path(shard)
        digest = write_samples(path, [_sample(index) for index in shard.indices], header)
        state = path.stat()
        journal.write("shard", name=shard.name, bytes=state.st_size, mtime_ns=state.st_mtime_ns, digest=digest)
    journal.write("end", why="done")
    journal.close()


def _sample(index: int) -> Sample:
    pixels = np.zeros((4, 4), np.uint8)
    return Sample(index, pixels[None], pixels, pixels.astype(np.uint32), 1.0, {"index": index}, [{}])


if __name__ == "__main__":
    cli.run(app, "benchmarks.farm")
