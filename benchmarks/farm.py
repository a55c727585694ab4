"""Figures of the render farm itself, without Blender.

`python -m benchmarks.farm simulation` runs a million samples through the planner and a model
of a cluster whose pools differ eightfold in speed, with failures and without, and prints how
far the makespan is from the ideal.

`python -m benchmarks.farm linking` makes folders of more and more shards and measures what
linking them takes in time, memory and bytes, and what reading through the links takes.

`python -m benchmarks.farm status` makes a folder of 100,000 tiny samples with shards and
journals as tasks leave them, and measures how long `render-farm status` takes on it.
"""

import json
import resource
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

from blender_gen.sample import Header, Sample, SampleFile, write_samples
from render_farm.clusters import Cluster, load_cluster
from render_farm.disk.check import survey
from render_farm.disk.folder import Folder, Job
from render_farm.disk.journal import Journal
from render_farm.disk.merge import merge
from render_farm.planning.plan import Shard, shards_of
from render_farm.planning.simulate import Chances, simulate
from render_farm.views.status import read_status
from semforge import cli
from semforge.tables import plain_table

TASKS = 200
EIGHTFOLD = Path(__file__).parents[1] / "configs/clusters/eightfold.yaml"
NO_FAILURES = {"task_failures_per_hour": 0.0, "preemptions_per_hour": 0.0, "node_failures_per_day": 0.0}
TRUTH_BYTES = 9000  # truth and imaging of a sample of the shipped recipes: 7 to 23 kB
READS = 200

app = cli.application("Figures of the render farm itself, without Blender.")


@dataclass(frozen=True)
class StatusTimes:
    """Seconds that a status takes: the call, and the command with the start of Python.

    `processor_s` is what the call takes of a core: on a machine that is also doing other work the others are longer.
    """

    samples: int
    shards: int
    shard_size: int
    call_s: float  # median
    processor_s: float  # median
    command_s: float  # median
    done: int
    state: str


def make_folder(root: Path, count: int, shard_size: int, truth_bytes: int = 0) -> Folder:
    """A job of `count` samples of 4 x 4 pixels, rendered by 200 tasks, not linked yet; `truth_bytes` pad the truths."""
    folder = Folder(root)
    job = Job(recipe="family: fake\n", recipe_hash="0" * 64, seed=0, count=count, shard_size=shard_size)
    folder.begin(job)
    header = Header(job.recipe, job.recipe_hash, 0, ("matrix", "pore"), {"fake": "1"}, "CPU")
    shards = shards_of(range(count), shard_size)
    a_task = -(-len(shards) // TASKS)
    for k, first in enumerate(range(0, len(shards), a_task)):
        _one_task(folder, f"local-0123abcd_{k}", shards[first : first + a_task], header, truth_bytes)
    return folder


def measure_status(count: int = 100_000, shard_size: int = 100, repeats: int = 5) -> StatusTimes:
    """Make the folder and take the status of it, the first time left out: the disk's cache is warm."""
    with tempfile.TemporaryDirectory() as place:
        folder = make_folder(Path(place), count, shard_size)
        merge(folder, folder.job(), folder.shards_on_disk())
        shards = len(survey(folder, folder.job(), "shape"))
        calls, processor, commands = [], [], []
        for _ in range(repeats):
            began, used = time.perf_counter(), time.process_time()
            status = read_status(folder)
            calls.append(time.perf_counter() - began)
            processor.append(time.process_time() - used)
            began = time.perf_counter()
            line = [sys.executable, "-m", "render_farm", "status", place, "--json"]
            subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
            commands.append(time.perf_counter() - began)
    call_s, processor_s, command_s = (round(statistics.median(times), 3) for times in (calls, processor, commands))
    return StatusTimes(
        count, shards, shard_size, call_s, processor_s, command_s, status.done, status.state
    )  # fmt: skip


@app.callback()
def figures() -> None:
    """Figures of the render farm itself, without Blender."""


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
            f"{found.samples} samples in {found.shards} shards of {found.shard_size}: status {found.call_s:.2f} s "
            f"({found.processor_s:.2f} s of a core), the command {found.command_s:.2f} s; "
            f"{found.done} done, {found.state}"
        )


@dataclass(frozen=True)
class Simulated:
    """Makespan over ideal of one seed, and the seconds that simulating it took."""

    samples: int
    seed: int
    ratio: float  # with failures
    undisturbed: float  # without
    took_s: float  # of the first


def measure_simulation(cluster: Cluster, count: int, seeds: int) -> list[Simulated]:
    """The same nodes with failures and without, for each seed."""
    found = []
    for seed in range(seeds):
        began = time.perf_counter()
        rough = simulate(cluster, count, Chances(), seed)
        took_s = time.perf_counter() - began
        calm = simulate(cluster, count, Chances(**NO_FAILURES), seed)
        found.append(Simulated(count, seed, round(rough.ratio, 3), round(calm.ratio, 3), round(took_s, 1)))
    return found


@app.command()
def simulation(
    cluster: Annotated[Path, typer.Option(help="Cluster (YAML).")] = EIGHTFOLD,
    count: Annotated[int, typer.Option(help="Samples.", min=1)] = 1_000_000,
    seeds: Annotated[int, typer.Option(help="How many runs.", min=1)] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """How far simulated runs are from the ideal."""
    found = measure_simulation(load_cluster(str(cluster)), count, seeds)
    if as_json:
        print(json.dumps([asdict(one) for one in found]))
        return
    table = plain_table("Makespan over ideal", "samples", "seed", "with failures", "without", "simulated in, s")
    for one in found:
        table.add_row(str(one.samples), str(one.seed), f"{one.ratio:.3f}", f"{one.undisturbed:.3f}", f"{one.took_s}")
    cli.console.print(table)


@dataclass(frozen=True)
class Linked:
    """What linking so many shards takes."""

    shards: int
    samples: int
    link_s: float
    memory_mib: float  # that the process grew by, at its peak
    bytes_per_sample: float  # of dataset.h5
    open_s: float
    read_ms: float  # an image through the links


def measure_linking(shards: int, shard_size: int) -> Linked:
    """Make, link and read a folder of tiny samples whose truths are as long as those of shipped recipes."""
    with tempfile.TemporaryDirectory() as place:
        count = shards * shard_size
        folder = make_folder(Path(place), count, shard_size, truth_bytes=TRUTH_BYTES)
        before_mib = _peak_mib()
        began = time.perf_counter()
        merge(folder, folder.job(), folder.shards_on_disk())
        link_s = time.perf_counter() - began
        memory_mib = _peak_mib() - before_mib
        began = time.perf_counter()
        with SampleFile(folder.dataset) as file:
            open_s = time.perf_counter() - began
            positions = np.random.default_rng(0).integers(count, size=READS)
            began = time.perf_counter()
            for position in positions:
                file.image(int(position))
            read_ms = 1000 * (time.perf_counter() - began) / READS
        return Linked(shards, count, round(link_s, 2), round(memory_mib), round(folder.dataset.stat().st_size / count),
                      round(open_s, 3), round(read_ms, 2))  # fmt: skip


@app.command()
def linking(
    shards: Annotated[list[int] | None, typer.Argument(help="Shards in each folder.", min=1)] = None,
    shard_size: Annotated[int, typer.Option(help="Samples in a shard.", min=1)] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What linking shards into dataset.h5 takes, and reading through the links. Name small folders first."""
    found = [measure_linking(many, shard_size) for many in shards or (100, 1000)]
    if as_json:
        print(json.dumps([asdict(one) for one in found]))
        return
    table = plain_table("Linking", "shards", "samples", "s", "memory, MiB", "B a sample", "opening, s", "an image, ms")
    for one in found:
        table.add_row(*map(str, asdict(one).values()))
    cli.console.print(table)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _one_task(folder: Folder, attempt: str, shards: list[Shard], header: Header, truth_bytes: int) -> None:
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
        digest = write_samples(path, [_sample(index, truth_bytes) for index in shard.indices], header)
        state = path.stat()
        journal.write("shard", name=shard.name, bytes=state.st_size, mtime_ns=state.st_mtime_ns, digest=digest)
    journal.write("end", why="done")
    journal.close()


def _sample(index: int, truth_bytes: int) -> Sample:
    pixels = np.zeros((4, 4), np.uint8)
    truth = {"index": index, "more": "x" * truth_bytes}
    return Sample(index, pixels[None], pixels, pixels.astype(np.uint32), 1.0, truth, [{}])


if __name__ == "__main__":
    cli.run(app, "benchmarks.farm")
