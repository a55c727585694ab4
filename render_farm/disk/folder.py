"""The folder of a job, and the job itself.

::

    DIR/
      job.json                          what was asked for: recipe, seed, count, shard size; and the id; comes first
      cluster.yaml                      where it was last rendered, for `resume`
      shards/samples_000000-000099.h5   verified samples, named by first and last index
      shards/samples_....h5.bad         a shard that did not verify, set aside and rendered again
      journal/12_3.jsonl                what happened in an attempt at a task: see journal.py
      logs/12_3.log                     everything that task and its renderers printed
      failures/sample_000812.jsonl      a line each time this sample failed: see failures.py
      submissions.jsonl                 a line a submission: pool, job, and the samples of its tasks
      handed_over.jsonl                 samples taken from a running task and given to another
      slurm/                            what submitit keeps: pickled tasks, results, batch scripts
      dataset.h5                        all samples in index order, linking the shards; written last
      .lock                             held by the running `render-farm run`, freed by the kernel when it ends
      .cancel                           there since `render-farm cancel`, until the next run
"""

import errno
import fcntl
import getpass
import hashlib
import json
import os
import socket
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import yaml
from pydantic import Field

from blender_gen.sample import DATASET
from render_farm.planning.plan import Shard
from semforge.errors import InputError
from semforge.files import existing_file, remove_temporaries, write_text
from semforge.settings import Settings, validate

LOCK_PATIENCE_S = 0.5  # `status` holds the lock for an instant to see whether it is free
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # what flock says on a file system without it
ID_BYTES = 5


class Job(Settings):
    """What a folder is to hold. Recipe and seed are fixed for its lifetime; the rest may change.

    `id`, `place` and `inode` are the folder's, and `Folder.begin` writes them: see `Folder.identity`.
    """

    recipe: str  # canonical YAML text
    recipe_hash: str
    seed: int = Field(ge=0)
    count: int = Field(gt=0)
    shard_size: int = Field(gt=0)  # samples in a file, most
    attempts: int = Field(3, gt=0)  # how often a sample may fail until it is given up
    id: str = ""  # 10 hex digits, drawn when the folder is made
    place: str = ""  # the folder's path when it was last begun
    inode: int = 0  # and its number on its file system, which a move keeps and a copy does not


@dataclass(frozen=True)
class Holder:
    """The run that holds a folder."""

    user: str
    host: str
    pid: int
    since: str


@dataclass(frozen=True)
class Folder:
    """Where everything of a job lies below `root`."""

    root: Path

    @property
    def job_file(self) -> Path:
        return self.root / "job.json"

    @property
    def shards(self) -> Path:
        return self.root / "shards"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def cluster_file(self) -> Path:
        return self.root / "cluster.yaml"

    @property
    def journal(self) -> Path:
        return self.root / "journal"

    @property
    def failures(self) -> Path:
        return self.root / "failures"

    @property
    def submissions(self) -> Path:
        return self.root / "submissions.jsonl"

    @property
    def handed_over(self) -> Path:
        return self.root / "handed_over.jsonl"

    @property
    def cancel_mark(self) -> Path:
        return self.root / ".cancel"

    @property
    def dataset(self) -> Path:
        return self.root / DATASET

    def shard_path(self, shard: Shard) -> Path:
        return self.shards / f"{shard.name}.h5"

    def journal_path(self, attempt: str) -> Path:
        return self.journal / f"{attempt}.jsonl"

    def log_path(self, attempt: str) -> Path:
        return self.logs / f"{attempt}.log"

    @property
    def queue_name(self) -> str:
        """The name of this folder's jobs in Slurm's queue; no other folder's jobs have it."""
        return f"semforge-{self.identity}"

    @property
    def identity(self) -> str:
        """What tells this folder from every other, wherever it is moved or mounted: the id in job.json.

        A copy has the same job.json and is another folder, as long as the original is where
        job.json says. A copy that is yet to be begun, a folder from before there were ids and one
        without a job have a digest of their path instead.
        """
        job = self.job() if self.job_file.exists() else None
        return job.id if job and job.id and not self._is_copy(job) else self._digest_of_path()

    def is_still(self, identity: str) -> bool:
        """Whether the folder of that `identity` is here still: not moved, deleted or replaced since it was begun.

        Reads job.json, nothing else. True where that cannot be read for the moment.
        """
        try:
            return _id_in(self.job_file.read_bytes()) == identity
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True

    def _digest_of_path(self) -> str:
        return hashlib.sha256(str(self.root.resolve()).encode()).hexdigest()[: 2 * ID_BYTES]

    def _is_copy(self, job: Job) -> bool:
        if not job.id or str(self.root.resolve()) == job.place or self.root.stat().st_ino == job.inode:
            return False
        try:  # also an original that was moved to another file system leaves nothing behind
            return _id_in((Path(job.place) / self.job_file.name).read_bytes()) == job.id
        except OSError:
            return False

    def shards_on_disk(self) -> list[Shard]:
        """The shards that have a file, by first index; files of other names are ignored."""
        named = (Shard.from_name(path.stem) for path in self.shards.glob("samples_*.h5"))
        return sorted(shard for shard in named if shard is not None)

    def job(self) -> Job:
        """The job of this folder. Raises InputError if there is none, or half of one."""
        path = existing_file(self.job_file, "the job.json of a folder that `render-farm run` made")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(values, dict):
                raise ValueError(f"found a {type(values).__name__}, expected an object")
        except ValueError as error:
            raise InputError(
                f"{path}: is not valid JSON, cut short or altered ({error}); restore it, or choose another folder"
            ) from error
        return validate(values, Job, str(path))

    def begin(self, job: Job) -> None:
        """Lay out the folder for `job`, or go on with the one it holds. Call it with the lock held.

        Raises InputError if the folder holds another recipe or seed.
        """
        identity = os.urandom(ID_BYTES).hex()
        if self.job_file.exists():
            found = self.job()
            require_same(found, job, self.root)
            if not self._is_copy(found):
                identity = self.identity
        for folder in (self.shards, self.journal, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        place = {"id": identity, "place": str(self.root.resolve()), "inode": self.root.stat().st_ino}
        told = {**job.model_dump(), **place}
        write_text(self.job_file, json.dumps(told, indent=2, ensure_ascii=False) + "\n")
        self.cancel_mark.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove half-written files. Call it with the lock held and no task at work."""
        for folder in (self.root, self.shards):
            remove_temporaries(folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one run.

        Raises InputError if another run holds it, or it cannot be written to or locked.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / ".lock").open("a+", encoding="utf-8")
        except (FileExistsError, NotADirectoryError) as error:
            raise InputError(f"{self.root}: is a file or lies below one, expected a folder for the output") from error
        except OSError as error:
            raise InputError(f"{self.root}: cannot be written to ({error.strerror}); choose another --out") from error
        with lock:
            if not _acquire(lock, LOCK_PATIENCE_S):
                raise InputError(
                    f"{self.root}: another run is at work here{self._held_by()}; wait for it or stop it, then run again"
                )
            _write_holder(lock)
            yield

    def holder(self) -> Holder | None:
        """Who runs here now, or None if nobody does or it is not known."""
        if not self.is_locked():
            return None
        try:
            return Holder(**json.loads((self.root / ".lock").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def _held_by(self) -> str:
        holder = self.holder()
        return f" ({holder.user} on {holder.host}, process {holder.pid}, since {holder.since})" if holder else ""

    def is_locked(self) -> bool:
        """Whether a run is at work here now. Creates nothing. Raises InputError where no lock can be had."""
        try:
            with (self.root / ".lock").open() as lock:
                return not _acquire(lock, 0, fcntl.LOCK_SH)
        except OSError:
            return False


def require_same(found: Job, asked: Job, root: Path) -> None:
    """Raise InputError naming what differs unless both jobs make the same samples."""
    differences = []
    if found.seed != asked.seed:
        differences.append(f"seed (there {found.seed}, asked {asked.seed})")
    if found.recipe_hash != asked.recipe_hash:
        differences += _recipe_differences(found.recipe, asked.recipe)
    if differences:
        shown = ", ".join(differences[:3]) + (f" and {len(differences) - 3} more" if len(differences) > 3 else "")
        raise InputError(f"{root}: holds samples of another job: {shown} differs; choose another --out")


def _write_holder(lock: TextIO) -> None:
    holder = Holder(_user(), socket.gethostname(), os.getpid(), time.strftime("%Y-%m-%d %H:%M:%S"))
    try:
        lock.truncate(0)
        lock.write(json.dumps(asdict(holder)))
        lock.flush()
    except OSError:
        pass  # a full disk: the lock holds all the same


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"user {os.getuid()}"


def _acquire(lock: Any, patience_s: float, kind: int = fcntl.LOCK_EX) -> bool:
    end = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.05)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            raise InputError(
                f"{Path(lock.name).parent}: its file system has no locks ({error.strerror}); expected one with flock, "
                "such as a local disk, NFSv4, or Lustre mounted with -o flock; choose another folder"
            ) from error


def _id_in(job_file: bytes) -> str:
    try:
        return str(json.loads(job_file)["id"])
    except (ValueError, KeyError, TypeError):
        return ""


def _recipe_differences(found: str, asked: str) -> list[str]:
    old, new = (dict(_leaves(yaml.safe_load(text))) for text in (found, asked))
    keys = [key for key in {**old, **new} if old.get(key, _ABSENT) != new.get(key, _ABSENT)]
    keys = [key for key in keys if key != "description"]  # prose, it changes no sample
    return [f"{key} (there {_short(old, key)}, asked {_short(new, key)})" for key in keys] or ["the recipe"]


def _short(leaves: dict[str, Any], key: str) -> str:
    return textwrap.shorten(str(leaves.get(key, _ABSENT)), 40, placeholder="…")


_ABSENT = "nothing"


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """(`layers[0].thickness_um`, 45.0) and so on for every single value of a YAML document."""
    if isinstance(value, dict) and value:
        for name, child in value.items():
            yield from _leaves(child, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and value:
        for position, child in enumerate(value):
            yield from _leaves(child, f"{key}[{position}]")
    else:
        yield key, value
