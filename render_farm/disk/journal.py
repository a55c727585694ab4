"""What happened, as it happened: a file of lines for each attempt at a task, written by nobody else.

Nothing is decided from a job's word: samples count when they are on disk. The journals tell
the rest: where a sample was rendered and how long it took, what failed, when a task ran
(`status`, `report`), and how large and how old a shard was when it was last verified, so
that an unchanged file need not be read again.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

from render_farm.planning.plan import Task

Kinds = Mapping[str, type | tuple[type, ...]]
NUMBER = (int, float)
LARGEST = 1e11  # of a time in seconds; no clock and no stopwatch tells more

KEYS: Mapping[str, Kinds] = {
    "start": {
        "pool": str, "engine": str, "node": str, "task": str, "device": str, "threads": int, "processes": int,
        "restart": int,
    },
    "ready": {"device": str},
    "sample": {"index": int, "seconds": NUMBER},
    "shard": {"name": str, "bytes": int, "mtime_ns": int, "digest": str},
    "failed": {"index": (int, type(None)), "problem": str},
    "end": {"why": str},
}  # fmt: skip
"""What a line of each event says beside its time; one that does not is damaged."""

Event = Literal["start", "ready", "sample", "shard", "failed", "end"]


class Journal:
    """Appends events to a file; each line is whole once `write` returns, whatever kills the process after."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        if _is_cut(path):
            os.write(self._file.fileno(), b"\n")

    def write(self, event: Event, **values: Any) -> None:
        """Append one event with the time of day."""
        line = json.dumps({"t": round(time.time(), 3), "event": event, **values}, separators=(",", ":"))
        os.write(self._file.fileno(), f"{line}\n".encode())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _is_cut(path: Path) -> bool:
    """Whether a file of lines ends in the middle of one, as a crash of the machine leaves it."""
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


@dataclass(frozen=True)
class Failure:
    """A renderer that failed: at which sample (None: before it was ready), why, and when (seconds since 1970)."""

    t: float
    index: int | None
    problem: str


@dataclass(frozen=True)
class VerifiedShard:
    """A shard as it was when its digests were last recomputed."""

    name: str
    bytes: int
    mtime_ns: int
    digest: str


@dataclass
class Attempt:
    """One attempt at a task, as its journal tells it. Times are seconds since 1970.

    `ended` is None while it runs and when it was killed: only the queue knows which.
    """

    id: str  # the journal's name: 12_3 for Slurm's array task, local-... for a process
    pool: str
    engine: str
    node: str
    task: str  # the samples, as `plan.Task` writes them
    device: str
    threads: int
    processes: int  # renderers at a time
    restart: int  # how often Slurm had requeued it
    began: float
    last: float  # when it last wrote a line
    ready: float | None = None  # when the first renderer was up
    ended: float | None = None
    why: str = ""  # done, stopped, or what went wrong
    samples: dict[int, float] = field(default_factory=dict)  # index -> seconds
    finished: dict[int, float] = field(default_factory=dict)  # index -> when
    shards: list[VerifiedShard] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @property
    def startup_s(self) -> float | None:
        """From the start until a renderer was up."""
        return None if self.ready is None else self.ready - self.began

    @property
    def sample_s(self) -> float:
        """Seconds spent on samples that were finished."""
        return sum(self.samples.values())


def read_journals(folder: Path) -> list[Attempt]:
    """All attempts in a folder of journals, by the time they began. A folder that is not there has none."""
    attempts = [attempt for path in sorted(folder.glob("*.jsonl")) for attempt in read_journal(path)]
    return sorted(attempts, key=lambda attempt: attempt.began)


def read_journal(path: Path) -> list[Attempt]:
    """The attempts in one journal: more than one if Slurm requeued the task. Damaged lines are skipped."""
    attempts: list[Attempt] = []
    for line in read_lines(path):
        event = line.get("event")
        if not (isinstance(event, str) and is_time(line.get("t")) and fits(line, keys := KEYS.get(event, {}))):
            continue
        if event == "start":
            if is_task(line["task"]):
                attempts.append(Attempt(id=path.stem, began=line["t"], last=line["t"], **_only(line, keys)))
        elif attempts:
            _add(attempts[-1], event, line)
    return attempts


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects in a file of lines; what is none, such as a line cut short by a crash, is skipped."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    found: list[Any] = []
    with suppress(ValueError, RecursionError):
        found = _decoder.decode(f"[{b','.join(lines).decode()}]")  # three times as fast as line by line
    # Damaged lines that are JSON only together would hide those between them.
    if len(found) != len(lines) or not all(isinstance(line, dict) for line in found):
        found = [_parsed(line) for line in lines]
    yield from (line for line in found if isinstance(line, dict))


def fits(line: Mapping[str, Any], keys: Kinds) -> bool:
    """Whether a line has those keys, with values of those types."""
    for key, kind in keys.items():  # written out: there may be a million samples
        value = line.get(key, _ABSENT)
        if not isinstance(value, kind):
            return False
        if kind is NUMBER and not is_time(value):
            return False
    return True


def is_time(value: Any) -> bool:
    """Whether it is a number of seconds, since something or of something."""
    return isinstance(value, NUMBER) and 0 <= value < LARGEST


def is_task(text: Any) -> bool:
    """Whether it is the samples of a task, as `plan.Task` writes them."""
    try:
        Task.parse(text)
    except (ValueError, TypeError):
        return False
    return True


_ABSENT = object()


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse)


def _parsed(line: bytes) -> Any:
    try:
        return _decoder.decode(line.decode())
    except (ValueError, RecursionError):
        return None


def _add(attempt: Attempt, event: str, line: dict[str, Any]) -> None:
    attempt.last = line["t"]
    match event:
        case "ready":
            attempt.ready = attempt.ready or line["t"]
            attempt.device = line["device"]
        case "sample":
            attempt.samples[line["index"]] = line["seconds"]
            attempt.finished[line["index"]] = line["t"]
        case "shard":
            attempt.shards.append(VerifiedShard(**_only(line, KEYS["shard"])))
        case "failed":
            attempt.failures.append(Failure(t=line["t"], **_only(line, KEYS["failed"])))
        case "end":
            attempt.ended, attempt.why = line["t"], line["why"]


def _only(line: Mapping[str, Any], keys: Kinds) -> dict[str, Any]:
    return {key: line[key] for key in keys}
