"""What of a job is on disk: done means verified samples in files, never a job's word."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from blender_gen.sample import SampleFile, combined_digest, verify_samples
from render_farm.folder import Folder, Job
from render_farm.plan import Shard
from semforge.errors import InputError


@dataclass(frozen=True)
class ShardState:
    """A shard file and what is wrong with it; `problem` is None if it counts as done."""

    shard: Shard
    path: Path
    problem: str | None


def survey(
    folder: Folder, job: Job, deep: bool, seen: Callable[[ShardState], None] = lambda state: None
) -> list[ShardState]:
    """Check every shard file in the folder, by first index; `seen` is told each one as it is checked."""
    states = []
    for shard in folder.shards_on_disk():
        states.append(check_shard(folder, job, shard, deep))
        seen(states[-1])
    return states


def check_shard(folder: Folder, job: Job, shard: Shard, deep: bool) -> ShardState:
    """Check one shard file against the job.

    `deep` recomputes the digest of every sample, at the cost of reading everything. Otherwise
    the file must open whole, be of the job, hold the samples its name says, and its digest
    must follow from theirs: a few milliseconds, which finds truncation but not changed pixels.
    """
    path = folder.shard_path(shard)
    try:
        problem = _problem(path, job, shard, deep)
    except InputError as error:
        problem = str(error).removeprefix(f"{path}: ")
    except Exception as error:  # damaged bytes make HDF5 raise nearly anything
        problem = f"cannot be read: {error}"
    return ShardState(shard, path, problem)


def done_indices(states: list[ShardState]) -> set[int]:
    """The samples in shards without a problem."""
    return {index for state in states if state.problem is None for index in state.shard.indices}


def header_problem(file: SampleFile, job: Job) -> str | None:
    """Why a sample file does not belong to the job, or None if it does."""
    if (file.header.recipe_hash, file.header.seed) != (job.recipe_hash, job.seed):
        return "holds samples of another recipe or seed"
    return None


def _problem(path: Path, job: Job, shard: Shard, deep: bool) -> str | None:
    if deep:
        file, bad = verify_samples(path)
    else:
        file, bad = SampleFile(path), []
    with file:
        if wrong := header_problem(file, job):
            return wrong
        if file.index.tolist() != list(shard.indices):
            return "does not hold the samples that its name says"
        if bad:
            return f"{len(bad)} of {len(file)} samples do not match their digest"
        if combined_digest(_digests(file), job.recipe_hash, job.seed) != file.digest:
            return "the file's digest does not follow from its samples"
    return None


def _digests(file: SampleFile) -> Iterator[str]:
    return (file.stored_digest(position) for position in range(len(file)))
