"""Files that appear whole or not at all."""

import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from semforge.errors import InputError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success fsync it and rename it into place.

    On any exception the temporary file is removed and `path` is left as it was.
    The temporary name starts with a dot and keeps the suffix, so that writers which
    choose their format by suffix still work.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.stem}.{uuid.uuid4().hex[:8]}.tmp{path.suffix}"
    try:
        yield temporary
        _fsync(temporary)
        os.replace(temporary, path)
        _fsync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text so that readers see the old file or the new one, never half of it."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove_temporaries(folder: Path) -> None:
    """Remove what `whole_file` left in `folder` when its process was killed. Only safe while nothing writes there."""
    for temporary in Path(folder).glob(".*.tmp*"):
        if re.fullmatch(r"\..*\.[0-9a-f]{8}\.tmp(\.\w+)?", temporary.name):
            temporary.unlink(missing_ok=True)


def existing_file(path: Path, what: str) -> Path:
    """Return `path` if it is a file. Raises InputError naming `what` was looked for."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder, expected {what}")
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected {what}")
    return path


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, which is not held in memory."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
