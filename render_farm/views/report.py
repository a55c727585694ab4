"""The table and the picture that a farm is judged by, from what its tasks wrote down.

`read_report` says what a run took and what was lost; `write_report` files it: a page that
opens anywhere (.html), the picture alone (.png) or the figures (.json).
"""

import base64
import io
import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from rich.console import Group

from blender_gen.sample import SampleFile
from render_farm.clusters import LocalPool, PoolSettings
from render_farm.disk.check import ShardState, done_indices, survey
from render_farm.disk.folder import Folder
from render_farm.disk.handovers import handed_over
from render_farm.disk.journal import read_journals
from render_farm.planning.estimate import duration
from render_farm.pools.slurm_commands import queue
from render_farm.views import accounts
from render_farm.views.accounts import ALL, Account, Pause, Stint
from render_farm.views.charged import charged_core_hours
from render_farm.views.never_began import last_cluster
from render_farm.views.status import UNKNOWN, AskQueue, Work, who_works
from render_farm.work.probe import PROBE
from semforge.errors import InputError
from semforge.files import whole_file, write_text
from semforge.pages import page_environment
from semforge.tables import turned_table

AskCharged = Callable[[Collection[str]], float | None]


@dataclass(frozen=True)
class Reference:
    """Seconds that one local process takes for a sample, for the speed-up, and where they are from."""

    seconds_per_sample: float
    source: str


@dataclass(frozen=True)
class PerImage:
    """Wall time over images."""

    name: str
    images: int
    seconds: float
    seconds_per_image: float

    @property
    def text(self) -> str:
        """For people."""
        return (
            f"{_number(self.seconds_per_image)} s an image: {self.name}, {self.images} images in {self.seconds:,.0f} s"
        )


PUBLISHED = tuple(
    PerImage(f"published reference, {name} (other images, other machines)", 100, seconds, seconds / 100)
    for name, seconds in (("one local CPU", 1980.0), ("cluster CPUs", 65.0), ("cluster GPUs", 45.0))
)


@dataclass(frozen=True)
class Report:
    """What a folder's samples took: a row a pool, the total, and in words what the figures rest on.

    `images_per_sample` is how many micrographs of a specimen a sample holds.
    """

    folder: str
    wanted: int
    done: int
    pools: tuple[Account, ...]
    total: Account | None  # None before the first task
    reference: Reference | None
    images_per_sample: int
    notes: tuple[str, ...]

    def to_json(self) -> str:
        """One line of JSON with the fields as keys, and the seconds an image."""
        found = asdict(self) | {
            "pools": [_with_retries(row) for row in self.pools],
            "total": self.total and _with_retries(self.total),
            "per_image": [asdict(one) for one in self.per_image],
        }
        return json.dumps(found)

    @property
    def rows(self) -> tuple[Account, ...]:
        """The pools and, if there are several, the total."""
        return (*self.pools, self.total) if self.total is not None and len(self.pools) > 1 else self.pools

    @property
    def per_image(self) -> tuple[PerImage, ...]:
        """Of every pool, of all, and as published by others."""
        ours = [
            PerImage("all pools" if row.pool == ALL else f"pool {row.pool}", images, row.wall_s, row.wall_s / images)
            for row in self.rows
            if (images := row.samples * self.images_per_sample)
        ]
        return (*ours, *PUBLISHED)

    def __rich__(self) -> Group:
        """The report as a table for people."""
        title = f"{self.folder}: {self.done} of {self.wanted} samples on disk"
        notes = "\n".join([*self.notes, "", *(one.text for one in self.per_image)])
        return turned_table(title, HEADINGS, [cells(row) for row in self.rows], notes)


def _with_retries(row: Account) -> dict[str, object]:
    return asdict(row) | {"retries": row.retries}


HEADINGS = (
    "pool", "samples", "tasks", "slots", "s/sample", "start-up", "wall time", "speed-up", "efficiency", "occupied",
    "retries", "lost", "core-h", "GPU-h", "kWh",
)  # fmt: skip


@dataclass(frozen=True)
class Books:
    """A report, and the attempts that it sums up, on a clock that stands still in the pauses."""

    report: Report
    stints: tuple[Stint, ...]
    pauses: tuple[Pause, ...]


def read_report(
    folder: Folder, reference_s: float | None = None, ask_queue: AskQueue = queue,
    ask_charged: AskCharged = charged_core_hours,
) -> Report:  # fmt: skip
    """What the samples of `folder` took. Raises InputError if there is no job.

    The speed-up is against `reference_s` seconds a sample, else against what the folder's
    local processes took, else against the fastest pool; the report says which.
    """
    return read_books(folder, reference_s, ask_queue, ask_charged).report


def read_books(
    folder: Folder, reference_s: float | None = None, ask_queue: AskQueue = queue,
    ask_charged: AskCharged = charged_core_hours,
) -> Books:  # fmt: skip
    """As `read_report`, with what the picture needs."""
    if reference_s is not None and reference_s <= 0:
        raise InputError(f"reference {reference_s:g} s a sample: expected more than 0")
    now, job = time.time(), folder.job()
    attempts = read_journals(folder.journal)
    work = who_works(folder, attempts, now, ask_queue)
    states = survey(folder, job, "shape", attempts)
    on_disk = {index for index in done_indices(states) if index < job.count}
    running = {attempt for attempt, state in work.alive.items() if state == "running"}
    taken = handed_over(folder)
    found = accounts.stints(attempts, running, on_disk, taken, now)
    left_out = accounts.pauses(found, (one.t for one in work.submitted))
    found = accounts.without_pauses(found, left_out)
    pools, reference = _pools(folder), _reference(found, reference_s)
    rows = accounts.account(found, pools, reference.seconds_per_sample if reference else None)
    report = Report(
        folder=str(folder.root), wanted=job.count, done=len(on_disk), pools=tuple(rows[:-1]),
        total=rows[-1] if rows else None, reference=reference, images_per_sample=_images_per_sample(states),
        notes=(
            *_notes(found, left_out, reference, len(on_disk)), *_notes_on_hours(folder, found, pools),
            *_notes_on_slurm(work, ask_charged),
        ),
    )  # fmt: skip
    return Books(report, tuple(found), tuple(left_out))


def write_report(
    folder: Folder, path: Path, reference_s: float | None = None, ask_queue: AskQueue = queue,
    ask_charged: AskCharged = charged_core_hours,
) -> Report:  # fmt: skip
    """Write the report of `folder`, whole or not at all: .html the page, .png the picture, .json the figures.

    Raises InputError if there is no job, or for any other suffix.
    """
    if path.suffix not in (".html", ".png", ".json"):
        raise InputError(f"{path}: cannot be written, expected a name that ends in .html, .png or .json")
    books = read_books(folder, reference_s, ask_queue, ask_charged)
    if path.suffix == ".png" and not books.stints:
        raise InputError(f"{folder.root}: no task has begun yet, so there is nothing to draw")
    if path.suffix == ".json":
        write_text(path, books.report.to_json() + "\n")
    elif path.suffix == ".html":
        write_text(path, render_page(books))
    else:
        with whole_file(path) as temporary:
            temporary.write_bytes(picture(books))
    return books.report


def picture(books: Books) -> bytes:
    """The tasks on their nodes over time, as PNG."""
    from render_farm.views.gantt import gantt  # Matplotlib takes its time to load

    buffer = io.BytesIO()
    gantt(books.stints, books.pauses).savefig(buffer, format="png", dpi=160)
    return buffer.getvalue()


def render_page(books: Books) -> str:
    """The page as text."""
    environment = page_environment("render_farm.views")
    environment.filters["num"] = _number
    report = books.report
    image = base64.b64encode(picture(books)).decode() if books.stints else None
    return environment.get_template("report.html.j2").render(
        r=report, name=Path(report.folder).resolve().name, today=date.today().isoformat(), headings=HEADINGS,
        rows=[cells(row) for row in report.pools], total=cells(report.rows[-1]) if len(report.rows) > 1 else None,
        keys=_keys(report), image=image,
    )  # fmt: skip


def cells(row: Account) -> list[str]:
    """A row of the table, in the order of its headings."""
    return [
        row.pool, str(row.samples), str(row.tasks), str(row.slots), _number(row.seconds_per_sample),
        _short(row.startup_s), _short(row.wall_s), _number(row.speedup), _percent(row.efficiency),
        _percent(row.occupied), str(row.retries), _short(row.lost_s), _number(row.core_hours),
        _number(row.gpu_hours), _number(row.energy_kwh),
    ]  # fmt: skip


def _reference(found: Sequence[Stint], given_s: float | None) -> Reference | None:
    if given_s is not None:
        return Reference(given_s, "as given")
    local = [stint for stint in found if stint.engine != "slurm"]
    if pace := _pace(local):
        return Reference(pace, f"mean of the local pool {local[0].pool!r} in this folder, as it ran")
    paces = {pool: pace for pool in {stint.pool for stint in found} if (pace := _pace(_of(pool, found)))}
    if not paces:
        return None
    fastest = min(paces, key=lambda pool: paces[pool])
    return Reference(paces[fastest], f"mean of pool {fastest!r}, the fastest: no sample was rendered locally")


def _of(pool: str, found: Iterable[Stint]) -> list[Stint]:
    return [stint for stint in found if stint.pool == pool]


def _pace(found: Sequence[Stint]) -> float | None:
    rendered = sum(stint.rendered for stint in found)
    return sum(stint.render_s for stint in found) / rendered if rendered else None


def _pools(folder: Folder) -> Mapping[str, PoolSettings]:
    """The pools of the last run, as far as its cluster can be read, and the probe before it: processes of a machine."""
    cluster = last_cluster(folder)
    return {PROBE: LocalPool(), **(cluster.pools if cluster else {})}


def _images_per_sample(states: Iterable[ShardState]) -> int:
    for state in states:
        if state.problem is None:
            with SampleFile(state.path) as file:
                return file.images_per_sample
    return 1


def _notes(found: Sequence[Stint], left_out: Sequence[Pause], reference: Reference | None, on_disk: int) -> list[str]:
    if not found:
        return ["No task has begun yet."]
    notes = []
    if reference:
        notes.append(f"Speed-up against {_number(reference.seconds_per_sample)} s a sample: {reference.source}.")
    if running := sum(stint.runs for stint in found):
        notes.append(f"{_count(running, 'task')} at work still: figures up to now.")
    if left_out:
        spent = duration(sum(pause.end - pause.begin for pause in left_out))
        notes.append(f"Left out: {_count(len(left_out), 'pause')} between runs, {spent} together.")
    if (told := sum(stint.samples for stint in found if not stint.runs)) < on_disk:
        notes.append(f"{_count(on_disk - told, 'sample')} on disk in no journal, or in that of a task at work.")
    return notes


def _notes_on_hours(folder: Folder, found: Sequence[Stint], pools: Mapping[str, PoolSettings]) -> list[str]:
    """What the hours rest on."""
    if not found:
        return []
    notes = ["Hours and energy are those of the journals: from a task's first line to its last."]
    if unknown := sorted({stint.pool for stint in found} - set(pools)):
        broken = folder.cluster_file.exists() and last_cluster(folder) is None
        why = f"{folder.cluster_file} cannot be read" if broken else "Not in cluster.yaml"
        notes.append(f"{why}, so without hours and energy: {', '.join(unknown)}.")
    return notes


def _notes_on_slurm(work: Work, ask_charged: AskCharged) -> list[str]:
    """What no journal tells."""
    notes = []
    if early := work.never_began:
        log = f" (log: {early[-1].log})" if early[-1].log else ""
        notes.append(f"{_count(len(early), 'task')} of Slurm failed before a line was written, not in the table{log}.")
    jobs = {one.attempt.rpartition("_")[0] for one in work.submitted if one.engine == "slurm"}
    if jobs and (hours := ask_charged(jobs)) is not None:
        notes.append(f"Slurm charged {_number(hours)} core-hours, Python's start and failed tasks included.")
    return notes


def _keys(report: Report) -> list[tuple[str, str]]:
    """The figures that stand at the head of the page."""
    total = report.total
    if total is None:
        return []
    return [
        (str(report.done), f"of {report.wanted} samples on disk"), (duration(total.wall_s), "wall time"),
        (f"{_number(total.speedup)} ×", "one local process"), (_percent(total.efficiency), "efficiency"),
        (str(total.retries), "retries"), (duration(total.lost_s), "of task time lost"),
    ]  # fmt: skip


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _number(value: float | None, digits: int = 2) -> str:
    """A number as people read it: fewer digits after the point for large ones, more for a small fraction."""
    if value is None:
        return UNKNOWN
    if 0 < value < 0.1:
        return f"{value:.2g}"
    return f"{value:.{0 if value >= 1000 else 1 if value >= 100 else digits}f}"


def _percent(value: float | None) -> str:
    return UNKNOWN if value is None else f"{100 * value:.1f} %"


def _short(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else duration(seconds)
