"""Samples that failed: a file of lines a sample, so that attempts count across tasks, nodes and runs.

A sample that failed as often as it may, or once in a way that another attempt would repeat,
is in quarantine: no run renders it until its file is gone.
"""

import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from render_farm.disk.folder import Folder
from render_farm.disk.journal import NUMBER, Kinds, fits, read_lines

KEYS: Kinds = {
    "t": NUMBER,
    "node": str,
    "attempt": str,
    "problem": str,
    "final": bool,
}  # a line without them is damaged


@dataclass(frozen=True)
class SampleFailure:
    """One failed attempt at a sample."""

    t: float  # seconds since 1970
    node: str
    attempt: str  # names journal and log
    problem: str
    final: bool  # another attempt would end in the same way


def record_failure(folder: Folder, index: int, failure: SampleFailure) -> None:
    """Add a failed attempt at sample `index`."""
    folder.failures.mkdir(exist_ok=True)
    line = json.dumps(asdict(failure)) + "\n"
    file = os.open(_path(folder, index), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


def failure(node: str, attempt: str, problem: str, final: bool = False) -> SampleFailure:
    """A failure of this moment."""
    return SampleFailure(round(time.time(), 3), node, attempt, problem, final)


def read_failures(folder: Folder, indices: Iterable[int] | None = None) -> dict[int, list[SampleFailure]]:
    """The failed attempts, oldest first, of every sample that had any, or of those named. Damaged lines are skipped."""
    if indices is None:
        named = (re.fullmatch(r"sample_(\d{6,})", path.stem) for path in folder.failures.glob("sample_*.jsonl"))
        indices = sorted(int(match[1]) for match in named if match)
    return {
        index: [
            SampleFailure(**{key: line[key] for key in KEYS})
            for line in read_lines(_path(folder, index))
            if fits(line, KEYS)
        ]
        for index in indices
    }


def quarantined(failures: Mapping[int, list[SampleFailure]], attempts: int) -> dict[int, SampleFailure]:
    """The samples that are not to be tried again, with their last failure."""
    return {
        index: tries[-1]
        for index, tries in sorted(failures.items())
        if tries and (len(tries) >= attempts or any(one.final for one in tries))
    }


def release(folder: Folder) -> None:
    """Forget all failures, so that every sample gets its attempts anew."""
    for path in folder.failures.glob("sample_*.jsonl"):
        path.unlink()


def _path(folder: Folder, index: int) -> Path:
    return folder.failures / f"sample_{index:06d}.jsonl"
