"""What the farm costs and gains on this machine, with Blender: `python -m benchmarks.farm_rendering RECIPE`.

Two questions, both answered from journals of real runs, so that only ratios within one run count:

- of a task that writes a shard a minute, how much time is not Blender's: writing, reading back, starting;
- how much faster are as many workers as cores than one worker, with one render thread each and as shipped,
  where a single worker's Blender uses all cores.
"""

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from blender_gen.recipe import Recipe, load_recipe, recipe_hash, recipe_text
from render_farm.clusters import Cluster
from render_farm.disk.folder import Folder, Job
from render_farm.disk.journal import Attempt, read_journals
from render_farm.farm import run_job
from render_farm.pools.opening import open_pools
from render_farm.views.progress import Reporter
from semforge import cli


@dataclass(frozen=True)
class Overhead:
    """One worker: shares of the time from the first sample's begin to the task's end, and of all of it."""

    samples: int
    shards: int
    task_s: float
    startup_s: float
    rendering_s: float

    @property
    def beside_rendering(self) -> float:
        """Share of a running task that is neither Blender rendering nor Blender starting."""
        return 1 - self.rendering_s / (self.task_s - self.startup_s)

    @property
    def with_startup(self) -> float:
        """The same with Blender's start counted as overhead too."""
        return 1 - self.rendering_s / self.task_s


@dataclass(frozen=True)
class Workers:
    """Wall seconds of the same samples, from the first task's start to the last one's end."""

    samples: int
    one_worker_s: float  # its Blender may use all cores
    one_core_s: float  # one worker, one render thread
    all_workers_s: float  # as many workers as cores, one render thread each
    workers: int

    @property
    def gain(self) -> float:
        """Of all workers over one that has one core."""
        return self.one_core_s / self.all_workers_s

    @property
    def gain_as_shipped(self) -> float:
        """Of all workers over one that may use all cores."""
        return self.one_worker_s / self.all_workers_s


def measure_overhead(recipe: Recipe, count: int, shard_s: float) -> Overhead:
    """Render `count` samples in one task that writes a shard every `shard_s` seconds."""
    attempts = _render(recipe, count, workers=1, checkpoint_s=shard_s)
    ended = sum((a.ended or a.last) - a.began for a in attempts)
    return Overhead(
        samples=sum(len(a.samples) for a in attempts), shards=sum(len(a.shards) for a in attempts),
        task_s=ended, startup_s=sum(a.startup_s or 0.0 for a in attempts),
        rendering_s=sum(a.sample_s for a in attempts),
    )  # fmt: skip


def measure_workers(recipe: Recipe, count: int) -> Workers:
    """Render `count` samples three times: by one worker, by one worker with one thread, by one worker a core."""
    cores = len(os.sched_getaffinity(0))
    one = _wall_s(_render(recipe, count, workers=1))
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(mine)})  # inherited by the task and its renderer
    try:
        one_core = _wall_s(_render(recipe, count, workers=1))
    finally:
        os.sched_setaffinity(0, mine)
    return Workers(count, one, one_core, _wall_s(_render(recipe, count, workers=cores)), cores)


def _render(recipe: Recipe, count: int, workers: int, checkpoint_s: float = 60.0) -> list[Attempt]:
    cluster = Cluster.model_validate({
        "pools": {"local": {"engine": "local", "workers": workers, "samples_per_task": -(-count // workers),
                            "seconds_per_sample": 1.0}},
        "poll_s": 0.1, "checkpoint_s": checkpoint_s,
    })  # fmt: skip
    job = Job(recipe=recipe_text(recipe), recipe_hash=recipe_hash(recipe), seed=0, count=count, shard_size=100_000)
    with tempfile.TemporaryDirectory() as place:
        folder = Folder(Path(place))
        with Reporter(cli.console) as reporter:
            run_job(folder, job, cluster, partial(open_pools, cluster, folder), reporter)
        return read_journals(folder.journal)


def _wall_s(attempts: list[Attempt]) -> float:
    return max(a.ended or a.last for a in attempts) - min(a.began for a in attempts)


def main(
    recipe: Annotated[Path, typer.Argument(help="Recipe (YAML).")],
    count: Annotated[int, typer.Option(help="Samples, about two minutes' worth.", min=2)] = 240,
    shard_s: Annotated[float, typer.Option(help="Seconds between two shards.", min=1)] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure both and print them."""
    loaded = load_recipe(recipe)
    overhead, workers = measure_overhead(loaded, count, shard_s), measure_workers(loaded, count // 2)
    if as_json:
        print(json.dumps({"overhead": asdict(overhead), "workers": asdict(workers)}))
        return
    print(
        f"one task, {overhead.samples} samples in {overhead.shards} shards, {overhead.task_s:.1f} s: "
        f"{overhead.beside_rendering:.1%} of it beside rendering, {overhead.with_startup:.1%} with Blender's start "
        f"({overhead.startup_s:.1f} s)\n"
        f"{workers.samples} samples: one worker {workers.one_worker_s:.1f} s, one worker on one core "
        f"{workers.one_core_s:.1f} s, {workers.workers} workers {workers.all_workers_s:.1f} s: "
        f"{workers.gain:.2f} times one core, {workers.gain_as_shipped:.2f} times one worker"
    )


if __name__ == "__main__":
    typer.run(main)
