"""A farm without Blender: jobs, and a worker process that makes samples out of random numbers."""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

from blender_gen.sample import Header, Sample
from render_farm.cluster import LocalPool
from render_farm.folder import Job

WORKER = Path(__file__).with_name("fake_worker.py")


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


def worker_command(**behaviour: object) -> tuple[str, ...]:
    """The command of a fake worker, see fake_worker.py for what it can be told to do."""
    return (sys.executable, str(WORKER), json.dumps(behaviour))


def fake_pool(workers: int = 2, **behaviour: object) -> LocalPool:
    """A local pool of fake workers."""
    return LocalPool(workers, worker_command(**behaviour))
