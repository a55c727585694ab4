"""What of a job is on disk: done means verified samples in files, never a job's word.

Recomputing all digests reads everything, which takes an hour where there are a million
samples. A file that is as large and as old as when its digests were last recomputed, which
its journal tells, is the same file; only the others need to be opened.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py

from blender_gen.sample import SCHEMA, SampleFile, combined_digest, verify_samples
from render_farm.disk.folder import Folder, Job
from render_farm.disk.journal import Attempt, VerifiedShard, read_journals
from render_farm.planning.plan import Shard
from semforge.errors import InputError

Trust = Literal["nothing", "journal", "shape"]
"""What makes a shard count without its pixels being read.

nothing: all digests are recomputed; finds whatever has changed, and takes as long as reading everything.
journal: that it is as large and as old as when it was last verified; the others are recomputed.
shape: that, or that it opens whole, is of the job, holds the samples of its name, and that its
digest follows from theirs: finds truncation, but not changed pixels.
"""

OTHER_JOB = "holds samples of another recipe or seed"

Vouched = dict[tuple[str, int, int], str]  # name, bytes, mtime_ns -> digest, as the journals tell


@dataclass(frozen=True)
class ShardState:
    """A shard file and what is wrong with it; `problem` is None if it counts as done.

    `bytes` and `mtime_ns` are from before the file was looked into, so that a change in the
    meantime shows. `digest` is None if there is a problem.
    """

    shard: Shard
    folder: Path
    problem: str | None
    bytes: int = 0
    mtime_ns: int = 0
    digest: str | None = None

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / f"{self.shard.name}.h5"

    @property
    def verified(self) -> VerifiedShard:
        """What a journal says of the shard, after its digests were recomputed. Raises ValueError with a problem."""
        if self.digest is None:
            raise ValueError(f"{self.path}: {self.problem}")
        return VerifiedShard(self.shard.name, self.bytes, self.mtime_ns, self.digest)


def survey(
    folder: Folder,
    job: Job,
    trust: Trust,
    attempts: Iterable[Attempt] | None = None,
    seen: Callable[[ShardState], None] = lambda state: None,
) -> list[ShardState]:
    """Check every shard file in the folder, by first index; `seen` is told each one as it is checked.

    `attempts` are the folder's journals if they have been read already. In a folder that was
    copied the files have other times: it takes longer there, the result is the same.
    """
    vouched: Vouched = {}
    if trust != "nothing":
        vouched = vouched_for(read_journals(folder.journal) if attempts is None else attempts)
    states, shards = [], folder.shards
    for shard, name, stat in _files(shards):
        if digest := vouched.get((name, stat.st_size, stat.st_mtime_ns)):
            state = ShardState(shard, shards, None, stat.st_size, stat.st_mtime_ns, digest)
        else:
            state = _check(shard, shards, stat, job, deep=trust != "shape")
        states.append(state)
        seen(state)
    return states


def check_shard(folder: Folder, job: Job, shard: Shard, deep: bool) -> ShardState:
    """Check one shard file against the job, whatever the journals say.

    `deep` recomputes the digest of every sample. Otherwise the file must open whole, be of
    the job, hold the samples its name says, and its digest must follow from theirs: a few
    milliseconds, which finds truncation but not changed pixels.
    """
    try:
        stat = folder.shard_path(shard).stat()
    except FileNotFoundError:
        return ShardState(shard, folder.shards, "is missing")
    return _check(shard, folder.shards, stat, job, deep)


def vouched_for(attempts: Iterable[Attempt]) -> Vouched:
    """All shards as they were when their digests were last recomputed."""
    return {(s.name, s.bytes, s.mtime_ns): s.digest for attempt in attempts for s in attempt.shards}


def set_aside(state: ShardState) -> str:
    """Rename a shard that does not count, so that it is rendered again; says what was done."""
    aside = state.path.with_name(state.path.name + ".bad")
    os.replace(state.path, aside)
    return f"{state.path}: {state.problem}; set aside as {aside.name}, rendering it again"


def done_indices(states: Iterable[ShardState]) -> set[int]:
    """The samples in shards without a problem."""
    return {index for state in states if state.problem is None for index in state.shard.indices}


def dataset_problem(folder: Folder, job: Job, states: Iterable[ShardState], digests: bool = False) -> str | None:
    """Why dataset.h5 is not the job's data set, judged by its links to sound shards, or None if it is.

    `states` are the shards as surveyed. `digests`: also whether its digest follows from those
    of its samples. Not a pixel is read.
    """
    again = f"run render-farm resume {folder.root}"
    sound = {f"{state.shard.name}.h5" for state in states if state.problem is None}
    try:
        with h5py.File(folder.dataset.resolve(), "r") as file:
            if file.attrs["schema"] != SCHEMA:
                return f"is not a semforge sample file of schema {SCHEMA}; {again}"
            if (file.attrs["recipe_hash"], file.attrs["seed"]) != (job.recipe_hash, job.seed):
                return OTHER_JOB
            index = file["index"][:]
            if index.tolist() != list(range(job.count)):
                return f"holds {len(index)} samples of {job.count}; {again}"
            if digests and file.attrs["digest"] != combined_digest(
                (text.decode() for text in file["digest"][:]), job.recipe_hash, job.seed
            ):
                return f"the file's digest does not follow from its samples; {again}"
            lost = [name for name in _linked(file) if name not in sound]
    except FileNotFoundError:
        return f"is not there yet; {again}"
    except Exception as error:  # damaged bytes make HDF5 raise nearly anything
        return f"cannot be read ({error}); {again}"
    if lost:
        others = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
        return f"links {lost[0]}, which is missing or bad{others}; {again}"
    return None


def header_problem(file: SampleFile, job: Job) -> str | None:
    """Why a sample file does not belong to the job, or None if it does."""
    if (file.header.recipe_hash, file.header.seed) != (job.recipe_hash, job.seed):
        return OTHER_JOB
    return None


def _linked(file: h5py.File) -> dict[str, None]:
    """The names of the shards that a data set links."""
    arrays = file["image"].id.get_create_plist()  # h5py's `virtual_sources` takes ten times as long
    if arrays.get_layout() != h5py.h5d.VIRTUAL:
        return {}
    links = range(arrays.get_virtual_count())
    return dict.fromkeys(arrays.get_virtual_filename(k).rpartition("/")[2] for k in links)


def _files(shards: Path) -> Iterator[tuple[Shard, str, os.stat_result]]:
    """The shard files with their names, by first index, each asked once for its size and time; others are left."""
    found = []
    try:
        with os.scandir(shards) as entries:
            for entry in entries:
                name, _, kind = entry.name.rpartition(".")
                if kind == "h5" and (shard := Shard.from_name(name)):
                    found.append((shard, name, entry))
    except FileNotFoundError:
        return
    for shard, name, entry in sorted(found, key=lambda one: (one[0].start, one[0].stop)):
        try:
            yield shard, name, entry.stat()
        except FileNotFoundError:
            continue  # set aside by a run that is at work


def _check(shard: Shard, shards: Path, stat: os.stat_result, job: Job, deep: bool) -> ShardState:
    path = shards / f"{shard.name}.h5"
    digest = None
    try:
        digest, problem = _inspect(path, job, shard, deep)
    except InputError as error:
        problem = str(error).removeprefix(f"{path}: ")
    except Exception as error:  # damaged bytes make HDF5 raise nearly anything
        problem = f"cannot be read: {error}"
    return ShardState(shard, shards, problem, stat.st_size, stat.st_mtime_ns, digest if problem is None else None)


def _inspect(path: Path, job: Job, shard: Shard, deep: bool) -> tuple[str, str | None]:
    """The file's digest, and what is wrong with it."""
    if deep:
        file, bad = verify_samples(path)
    else:
        file, bad = SampleFile(path), []
    with file:
        return file.digest, _problem(file, bad, job, shard)


def _problem(file: SampleFile, bad: list[int], job: Job, shard: Shard) -> str | None:
    if wrong := header_problem(file, job):
        return wrong
    if file.index.tolist() != list(shard.indices):
        return "does not hold the samples that its name says"
    if bad:
        return f"{len(bad)} of {len(file)} samples do not match their digest"
    if combined_digest(file.stored_digests(), job.recipe_hash, job.seed) != file.digest:
        return "the file's digest does not follow from its samples"
    return None
