"""A farm without Blender: jobs, and a renderer process that makes samples out of random numbers."""

import hashlib
import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console

from blender_gen.sample import Header, Sample
from render_farm.clusters import Cluster
from render_farm.disk.folder import Folder, Job
from render_farm.farm import Outcome, run_job
from render_farm.pools.opening import open_pools
from render_farm.views.progress import Reporter

RENDERER = Path(__file__).with_name("fake_renderer.py")


def make_job(count: int = 8, seed: int = 0, shard_size: int = 4, recipe: str = "family: fake\n") -> Job:
    """A job of the fake family."""
    digest = hashlib.sha256(recipe.encode()).hexdigest()
    return Job(recipe=recipe, recipe_hash=digest, seed=seed, count=count, shard_size=shard_size)


def make_header(job: Job, device: str = "fake") -> Header:
    """What all fake samples of a job share."""
    return Header(job.recipe, job.recipe_hash, job.seed, ("matrix", "pore"), {"fake": "1"}, device)


def make_sample(job: Job, index: int, size: int = 16) -> Sample:
    """A sample that depends on the job's seed and the index only."""
    rng = np.random.default_rng(np.random.SeedSequence(entropy=job.seed, spawn_key=(index,)))
    phase = rng.integers(0, 2, (size, size), dtype=np.uint8)
    return Sample(
        index=index, image=rng.integers(0, 256, (2, size, size), dtype=np.uint8), phase=phase,
        instance=phase.astype(np.uint32) * (index + 1), pixel_size_um=0.5, truth={"porosity": float(phase.mean())},
        imaging=[{"beam_kev": 15.0}, {"beam_kev": 20.0}],
    )  # fmt: skip


def renderer_command(**behaviour: object) -> tuple[str, ...]:
    """The command of a fake renderer, see fake_renderer.py for what it can be told to do."""
    return (sys.executable, str(RENDERER), json.dumps(behaviour))


def fake_cluster(**settings: object) -> Cluster:
    """This machine, looked at often."""
    return Cluster.model_validate({"pools": {"local": {"engine": "local", "workers": 2}}, "poll_s": 0.05} | settings)


def render(
    folder: Folder, job: Job, console: Console | None = None, cluster: Cluster | None = None, attempts: int = 3,
    deep: bool = False, **behaviour: object,
) -> Outcome:  # fmt: skip
    """A whole run with fake renderers."""
    cluster = cluster or fake_cluster()
    job = job.model_copy(update={"attempts": attempts})
    opener = partial(open_pools, cluster, folder, command=renderer_command(**behaviour))
    with Reporter(console or Console(quiet=True)) as reporter:
        return run_job(folder, job, cluster, opener, reporter, deep)
