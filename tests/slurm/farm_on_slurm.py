"""Runs of the farm on the test cluster with fake renderers, in a thread, so that a test may interfere."""

import io
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from farm_fakes import make_sample, renderer_command
from rich.console import Console

from blender_gen.sample import combined_digest
from render_farm.clusters import Cluster
from render_farm.disk.folder import Folder, Job
from render_farm.disk.journal import Attempt, read_journals
from render_farm.farm import Outcome, run_job, submit_job
from render_farm.pools.opening import open_pools
from render_farm.pools.slurm_commands import queue
from render_farm.pools.submissions import read_submissions
from render_farm.views.progress import Reporter
from render_farm.views.status import verify

FAKE_FARM = Path(__file__).parents[1] / "render_farm" / "fake_farm.py"
RECIPE = Path(__file__).parents[2] / "configs" / "recipes" / "slurry_coating.yaml"
PATIENCE_S = 120.0

CPU = {"engine": "slurm", "partition": "cpu", "cpus": 2, "memory_gb": 1, "parallel": 2}  # a node to itself
GPU = {**CPU, "partition": "gpu", "gres": "gpu:1"}


def slurm_cluster(**settings: Any) -> Cluster:
    """Two nodes of each pool, looked at often; samples take what `pause_s` of the fakes says, which is known."""
    return Cluster.model_validate({"pools": {"cpu": CPU, "gpu": GPU}, "poll_s": 1, "checkpoint_s": 2} | settings)


def one_pool(partition: str = "cpu", **settings: Any) -> dict[str, dict[str, Any]]:
    """`pools` of a single one."""
    return {partition: {**CPU, "partition": partition, **settings}}


@dataclass
class Run:
    """A run at work, or one that has ended."""

    folder: Folder
    job: Job
    console: Console
    _future: Future[Outcome]

    def wait(self, patience_s: float = PATIENCE_S) -> Outcome:
        """What came of it; raises what it raised."""
        return self._future.result(patience_s)

    @property
    def ended(self) -> bool:
        return self._future.done()

    @property
    def said(self) -> str:
        """All that it told the user by now."""
        return self.console.export_text(clear=False)


@dataclass
class Farm:
    """Starts runs, and ends those that a failed test leaves behind."""

    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4))
    runs: list[Run] = field(default_factory=list)

    def start(
        self, folder: Folder, job: Job, cluster: Cluster, command: Sequence[str] | None = None, **behaviour: object
    ) -> Run:
        """Begin what `render-farm run` does."""
        console = Console(record=True, file=io.StringIO(), width=200)
        opener = partial(open_pools, cluster, folder, command=command or renderer_command(**behaviour))

        def work() -> Outcome:
            with Reporter(console) as reporter:
                return run_job(folder, job, cluster, opener, reporter)

        run = Run(folder, job, console, self.threads.submit(work))
        self.runs.append(run)
        return run

    def end(self) -> None:
        """Stop what is still at work."""
        for run in self.runs:
            if not run.ended:
                run.folder.cancel_mark.touch()
        self.threads.shutdown()


def command_line(*words: object, **behaviour: object) -> subprocess.Popen[str]:
    """`render-farm WORDS` with fake renderers, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, str(FAKE_FARM), json.dumps(behaviour), *map(str, words)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def write_cluster(cluster: Cluster, path: Path) -> Path:
    """The YAML file of a cluster."""
    path.write_text(yaml.safe_dump(cluster.model_dump(mode="json", exclude_unset=True)))
    return path


def submit(folder: Folder, job: Job, cluster: Cluster, **behaviour: object) -> dict[str, int]:
    """What `render-farm submit` does."""
    opener = partial(open_pools, cluster, folder, command=renderer_command(**behaviour))
    with Reporter(Console(quiet=True)) as reporter:
        return submit_job(folder, job, cluster, opener, reporter)


def require_sound(folder: Folder, job: Job) -> None:
    """All samples are there, verified by their pixels, and are those that an undisturbed run makes."""
    found = verify(folder, deep=True)
    assert found.passed, found.problems
    assert found.digest == expected_digest(job)


def expected_digest(job: Job) -> str:
    """The digest of the data set that fake renderers make of a job when nothing goes wrong."""
    return combined_digest((make_sample(job, index).digest for index in range(job.count)), job.recipe_hash, job.seed)


def made(folder: Folder) -> Counter[int]:
    """How often each sample was rendered to its end."""
    return Counter(index for attempt in read_journals(folder.journal) for index in attempt.samples)


def rendered_twice(folder: Folder) -> int:
    """Renderings that were for nothing."""
    counts = made(folder)
    return sum(counts.values()) - len(counts)


def handed_in(folder: Folder) -> Counter[int]:
    """How often each sample was submitted."""
    return Counter(index for task in read_submissions(folder).values() for index in task.indices)


def running(folder: Folder) -> list[Attempt]:
    """The attempts that run and have made a sample, by journals."""
    return [attempt for attempt in read_journals(folder.journal) if attempt.ended is None and attempt.samples]


def in_queue(folder: Folder) -> dict[str, str]:
    """The state of each task of the folder that Slurm has not ended."""
    return {attempt: task.state for attempt, task in (queue(folder.queue_name) or {}).items() if task.alive}


def processes(*words: str) -> dict[int, dict[str, str]]:
    """The environment of every Python process whose command line has all of these words, by process id."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            line = place.joinpath("cmdline").read_bytes().decode().split("\0")
            if "python" in line[0] and set(words) <= set(line):
                pairs = place.joinpath("environ").read_bytes().decode().split("\0")
                found[int(place.name)] = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        except (OSError, UnicodeDecodeError):
            continue  # gone meanwhile
    return found


def renderers(folder: Folder) -> dict[str, int]:
    """The renderer process of each attempt of a folder."""
    return by_attempt(processes(str(folder.root.resolve()), "--threads"))


def task_processes(folder: Folder) -> dict[str, int]:
    """The Python process under srun of each attempt of a folder."""
    return by_attempt(processes("submitit.core._submit", str(folder.root / "slurm")))


def by_attempt(found: dict[int, dict[str, str]]) -> dict[str, int]:
    """Processes by the attempt that they are of."""
    name = lambda env: f"{env.get('SLURM_ARRAY_JOB_ID') or env['SLURM_JOB_ID']}_{env.get('SLURM_ARRAY_TASK_ID') or 0}"
    return {name(env): pid for pid, env in found.items()}
