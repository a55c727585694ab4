"""Where a job stands, and whether its data set is sound. Reads only; works whether or not a run is at work."""

import json
from dataclasses import asdict, dataclass
from typing import Literal

from rich.table import Table

from blender_gen.sample import SampleFile, verify_samples
from render_farm.check import done_indices, header_problem, survey
from render_farm.folder import Folder, Job
from semforge.errors import InputError

State = Literal["running", "complete", "damaged", "incomplete"]


@dataclass(frozen=True)
class BadShard:
    """A shard file that does not count, and why."""

    shard: str
    problem: str


@dataclass(frozen=True)
class Status:
    """Samples wanted, done (on disk and checked) and missing; worker seconds a sample, None before the first shard."""

    state: State
    wanted: int
    done: int
    missing: int
    bad_shards: tuple[BadShard, ...]
    seconds_per_sample: float | None

    def to_json(self) -> str:
        """One line of JSON with the fields as keys."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Verification:
    """Each of the wanted samples is either verified, bad or missing; the digest is None unless all verify.

    `rejected` counts the draws that failed their audit or could not be built and were replaced; None unless
    all verify.
    """

    samples: int
    bad: int
    missing: int
    digest: str | None
    problems: tuple[str, ...]
    rejected: int | None = None

    @property
    def passed(self) -> bool:
        """Whether the data set holds every sample, unchanged."""
        return self.digest is not None

    def to_json(self) -> str:
        """One line of JSON with the fields as keys."""
        return json.dumps(asdict(self))


def read_status(folder: Folder, deep: bool = False) -> Status:
    """Where the job in `folder` stands. Raises InputError if there is none.

    Unless `deep`, sample digests are not recomputed: quick at any size, blind to changed pixels.
    """
    job = folder.job()
    states = survey(folder, job, deep)
    done = sum(index < job.count for index in done_indices(states))
    bad = tuple(BadShard(state.shard.name, state.problem) for state in states if state.problem is not None)
    state: State = "incomplete"
    if folder.is_locked():
        state = "running"
    elif bad:
        state = "damaged"
    elif done == job.count and _dataset_problem(folder, job) is None:
        state = "complete"
    return Status(state, job.count, done, job.count - done, bad, _seconds_per_sample(folder))


def status_table(folder: Folder, status: Status) -> Table:
    """The status as a table for people."""
    pace = "not known yet" if status.seconds_per_sample is None else f"{status.seconds_per_sample:.2f}"
    table = Table(title=str(folder.root), show_header=False)
    for row in (
        ("state", status.state), ("samples wanted", str(status.wanted)), ("done", str(status.done)),
        ("missing", str(status.missing)), ("seconds a sample and worker", pace),
        *(("bad shard", f"{bad.shard}: {bad.problem}") for bad in status.bad_shards),
    ):  # fmt: skip
        table.add_row(*row)
    return table


def verify(folder: Folder) -> Verification:
    """Recompute every digest of the data set, through the links that its readers use.

    Raises InputError if there is no job in `folder`.
    """
    job = folder.job()
    problem = _dataset_problem(folder, job, deep=True)
    if problem is None:
        with SampleFile(folder.dataset) as file:
            return Verification(job.count, 0, 0, file.digest, (), file.rejected())
    states = survey(folder, job, deep=True)
    good = {index for index in done_indices(states) if index < job.count}
    on_disk = {index for state in states for index in state.shard.indices if index < job.count}
    bad_shards = tuple(f"{state.path}: {state.problem}" for state in states if state.problem is not None)
    return Verification(
        samples=len(good), bad=len(on_disk - good), missing=job.count - len(on_disk), digest=None,
        problems=(f"{folder.dataset}: {problem}", *bad_shards),
    )  # fmt: skip


def _dataset_problem(folder: Folder, job: Job, deep: bool = False) -> str | None:
    """Why dataset.h5 is not the job's data set, or None if it is."""
    if not folder.dataset.exists():
        return "is not there yet; run render-farm again"
    try:
        file, bad = verify_samples(folder.dataset) if deep else (SampleFile(folder.dataset), [])
        with file:
            if wrong := header_problem(file, job):
                return wrong
            if file.index.tolist() != list(range(job.count)):
                return f"holds {len(file)} samples of {job.count}; run render-farm again"
            if bad:
                return f"{len(bad)} of {len(file)} samples do not match their digest; run render-farm again"
            return None
    except InputError as error:
        return str(error).removeprefix(f"{folder.dataset}: ")
    except Exception as error:  # damaged bytes make HDF5 raise nearly anything
        return f"cannot be read: {error}"


def _seconds_per_sample(folder: Folder) -> float | None:
    if not folder.timings.exists():
        return None
    samples, seconds = 0, 0.0
    for line in folder.timings.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
            samples, seconds = samples + record["samples"], seconds + record["seconds"]
        except (ValueError, KeyError, TypeError):
            continue  # a line cut short by a crash
    return round(seconds / samples, 3) if samples else None
