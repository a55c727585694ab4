"""Folders of jobs as tasks leave them, with times that a test chooses, without rendering or waiting."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from farm_fakes import make_header, make_job, make_sample

from blender_gen.sample import write_samples
from render_farm.disk.check import check_shard
from render_farm.disk.folder import Folder, Job
from render_farm.planning.plan import Shard


def begun_folder(root: Path, count: int = 8, seed: int = 0) -> Folder:
    """A folder in which nothing was rendered yet."""
    folder = Folder(root)
    folder.begin(make_job(count=count, seed=seed))
    return folder


def put_shard(folder: Folder, start: int, stop: int, job: Job | None = None) -> Path:
    """Write the shard of samples start ... stop - 1; no journal knows it."""
    job, shard = job or folder.job(), Shard(start, stop)
    write_samples(folder.shard_path(shard), [make_sample(job, index) for index in shard.indices], make_header(job))
    return folder.shard_path(shard)


def submit(folder: Folder, job: str, *tasks: str, pool: str = "cpu", engine: str = "slurm", t: float = 0.0) -> None:
    """Note a submission."""
    _append(folder.submissions, {"t": t, "pool": pool, "engine": engine, "job": job, "tasks": tasks})


def fail(folder: Folder, index: int, attempt: str, problem: str = "fell apart", final: bool = False) -> None:
    """Note a failure of a sample."""
    folder.failures.mkdir(exist_ok=True)
    line = {"t": 0.0, "node": "n1", "attempt": attempt, "problem": problem, "final": final}
    _append(folder.failures / f"sample_{index:06d}.jsonl", line)


class Told:
    """An attempt, told line by line: `Told(folder, "12_0", 100.0).ready(104).sample(105, 0, 1.0).end(105)`."""

    def __init__(
        self, folder: Folder, attempt: str, t: float, pool: str = "cpu", engine: str = "slurm", node: str = "n1",
        task: str = "0-3", restart: int = 0, processes: int = 1, threads: int = 1,
    ):  # fmt: skip
        self._folder, self._path = folder, folder.journal_path(attempt)
        self._line(
            t, "start", pool=pool, engine=engine, node=node, task=task, device="cpu", threads=threads,
            processes=processes, restart=restart,
        )  # fmt: skip

    def ready(self, t: float) -> "Told":
        """The renderer is up."""
        return self._line(t, "ready", device="cpu")

    def sample(self, t: float, index: int, seconds: float) -> "Told":
        """A sample was finished."""
        return self._line(t, "sample", index=index, seconds=seconds)

    def shard(self, t: float, start: int, stop: int) -> "Told":
        """A shard was written and verified: it is, now."""
        put_shard(self._folder, start, stop)
        return self.vouch(t, start, stop)

    def vouch(self, t: float, start: int, stop: int) -> "Told":
        """A shard that is on disk was verified."""
        state = check_shard(self._folder, self._folder.job(), Shard(start, stop), deep=True)
        return self._line(t, "shard", **asdict(state.verified))

    def failed(self, t: float, index: int | None, problem: str = "fell apart") -> "Told":
        """A renderer failed."""
        return self._line(t, "failed", index=index, problem=problem)

    def cut(self) -> "Told":
        """A line that a full disk cut short."""
        with self._path.open("a") as file:
            file.write('{"t":1,"event":"sam')
        return self

    def end(self, t: float, why: str = "done") -> "Told":
        """The attempt ended."""
        return self._line(t, "end", why=why)

    def _line(self, t: float, event: str, **values: Any) -> "Told":
        _append(self._path, {"t": t, "event": event, **values})
        return self


def _append(path: Path, line: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
