"""All images of an analysis, one after the other: what is done is kept, what fails is named at the end."""

import logging
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from sem_train.analysis.field import FieldSettings, analyse_field, files_of
from sem_train.analysis.inputs import Job
from sem_train.analysis.options import AnalysisOptions, provenance_of, settings_digest
from sem_train.analysis.record import SUFFIX, Failure, ImageRecord, read_image_record
from sem_train.analysis.segmentation import segment
from sem_train.data.pictures import file_identity
from sem_train.inference import checkpoint_of, load_run
from sem_train.measure.uncertainty import read_segmentation_error
from semforge.errors import InputError

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """What became of one image."""

    job: Job
    result: ImageRecord | Failure
    was_there: bool = False  # from an earlier call


def analyse_images(
    jobs: Sequence[Job],
    run: Path,
    out: Path,
    options: AnalysisOptions,
    workers: int = 0,
    told: Callable[[Outcome], None] = lambda outcome: None,
) -> tuple[Outcome, ...]:
    """Analyse images and write their files into `out`; outcomes come in the order of `jobs`.

    An image whose record in `out` has the same content, model and options is not analysed again. One that cannot be
    used is an outcome too. `workers` processes measure while the next image is predicted; 0 does both in turn.
    Raises InputError if the run cannot be loaded or `out` is a file.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file, expected a folder for the results")
    model = load_run(run)
    checkpoint, segmentation = file_identity(checkpoint_of(run)), read_segmentation_error(run)
    settings = settings_digest(options, checkpoint, segmentation)
    out.mkdir(parents=True, exist_ok=True)

    provenance = provenance_of(model, run, checkpoint)
    about = FieldSettings(out, model.classes, options, settings, provenance, segmentation)
    outcomes: dict[str, Outcome] = {}

    def note(job: Job, result: ImageRecord | Failure, was_there: bool = False) -> None:
        outcomes[job.name] = Outcome(job, result, was_there)
        told(outcomes[job.name])

    with _measuring(workers) as hand_in:
        waiting: deque[tuple[Job, Future[ImageRecord]]] = deque()
        for job in jobs:
            known = _known(job, out, settings)
            if known is not None:
                note(job, known, was_there=True)
                continue
            found = _attempt(job, partial(segment, job, model, options))
            if isinstance(found, Failure):
                note(job, found)
                continue
            waiting.append((job, hand_in(analyse_field, found, about)))
            while len(waiting) > workers:
                first, future = waiting.popleft()
                note(first, _attempt(first, future.result))
        for first, future in waiting:
            note(first, _attempt(first, future.result))
    return tuple(outcomes[job.name] for job in jobs)


def _known(job: Job, out: Path, settings: str) -> ImageRecord | None:
    """The record of an earlier call, if it is of this very image and these settings and its files are there."""
    path = out / f"{job.name}{SUFFIX}"
    if not path.exists():
        return None
    try:
        record = read_image_record(path)
        same = record.settings == settings and record.sha256 == file_identity(job.path)
    except (InputError, OSError):
        return None
    same &= record.specimen == job.specimen and all(file.exists() for file in files_of(out, job.name))
    return record if same else None


def _attempt(job: Job, work: Callable[[], T]) -> T | Failure:
    """The result, or why there is none: one bad image must not end the work on the others."""
    try:
        return work()
    except InputError as error:
        return Failure(source=str(job.path), reason=str(error).removeprefix(f"{job.path}: "))
    except MemoryError:
        return Failure(source=str(job.path), reason="does not fit into memory")
    except Exception as error:
        log.exception("%s", job.path)
        return Failure(source=str(job.path), reason=f"unexpected {type(error).__name__}: {error}")


@contextmanager
def _measuring(workers: int) -> Iterator[Callable[..., "Future[ImageRecord]"]]:
    """What fields are handed in to: other processes, or this one if there are none."""
    if workers == 0:
        yield _at_once
        return
    # not forked: this process has threads and perhaps a GPU
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_leave_interrupts_to_the_parent)
    try:
        yield pool.submit
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _at_once(work: Callable[..., ImageRecord], *arguments: object) -> "Future[ImageRecord]":
    done: Future[ImageRecord] = Future()
    try:
        done.set_result(work(*arguments))
    except Exception as error:
        done.set_exception(error)
    return done


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
