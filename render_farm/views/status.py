"""Where a job stands, and whether its data set is sound. Reads only; works whether or not a run is at work."""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from rich.console import Console, Group, RenderableType
from rich.filesize import decimal
from rich.live import Live
from rich.table import Table

from blender_gen.sample import SampleFile, verify_samples
from render_farm.disk.check import ShardState, dataset_problem, done_indices, header_problem, survey
from render_farm.disk.failures import quarantined, read_failures
from render_farm.disk.folder import Folder, Job
from render_farm.disk.handovers import handed_over
from render_farm.disk.journal import Attempt, read_journals
from render_farm.planning.estimate import duration
from render_farm.pools import Alive
from render_farm.pools.slurm_commands import QueuedTask, queue
from render_farm.pools.submissions import Submitted, submitted_tasks
from render_farm.views import activity
from render_farm.views.never_began import NeverBegan, log_of, never_began, slurm_files
from semforge.errors import InputError
from semforge.tables import plain_table

State = Literal["running", "queued", "complete", "unmerged", "damaged", "quarantined", "incomplete"]
"""What is true of the folder now, the first that holds:

running      samples are rendered, checked or merged
queued       tasks wait in Slurm's queue, none runs
damaged      nobody is at work, and files in `shards/` do not count
complete     dataset.h5 links all samples
unmerged     all samples are on disk, dataset.h5 does not link them yet
quarantined  all but samples that failed as often as they may
incomplete   samples are missing and nobody is at work on them
"""

QUEUE_EVERY_S = 10.0  # between two questions to Slurm's queue while somebody watches

AskQueue = Callable[[str], Mapping[str, QueuedTask] | None]


@dataclass(frozen=True)
class BadShard:
    """A shard file that does not count, and why."""

    shard: str
    problem: str


@dataclass(frozen=True)
class Quarantined:
    """A missing sample that no run tries again: its last failure, and the log of that."""

    index: int
    problem: str
    log: str


@dataclass(frozen=True)
class PoolStatus:
    """What a pool has done and does. Times are in seconds, None where they are not known yet."""

    pool: str
    engine: str
    done: int  # samples of it that are on disk
    running: int  # tasks
    queued: int  # tasks
    failed: int  # attempts that ended otherwise than by finishing or being asked to stop, before they began or after
    samples_per_s: float  # over the last minutes; 0 if none of its tasks runs
    seconds_per_sample: float | None  # of a renderer
    seconds_left: float | None  # for the tasks it has
    nodes: tuple[str, ...]  # on which its tasks run


@dataclass(frozen=True)
class Status:
    """Samples wanted, done (on disk and checked) and missing, and who is at work.

    `unwritten` samples are rendered but not on disk yet. `deep` tells whether digests were
    recomputed. `queue_asked` is False if there are Slurm jobs whose queue cannot be asked here.
    """

    state: State
    wanted: int
    done: int
    missing: int
    unwritten: int
    bad_shards: tuple[BadShard, ...]
    quarantined: tuple[Quarantined, ...]
    never_began: tuple[NeverBegan, ...]  # tasks that died before they wrote a line
    dataset: str | None  # why dataset.h5 is not the job's data set, None if it is
    pools: tuple[PoolStatus, ...]
    samples_per_s: float
    seconds_per_sample: float | None
    seconds_left: float | None
    queue_asked: bool
    deep: bool
    bytes: int = 0  # of the shards that count

    @property
    def at_work(self) -> bool:
        """Whether it will change without anybody doing anything."""
        return self.state in ("running", "queued")

    def to_json(self) -> str:
        """One line of JSON with the fields as keys."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Work:
    """Tasks that were handed in, those of them that run or wait, and whether a run holds the folder."""

    submitted: tuple[Submitted, ...]
    alive: Mapping[str, Alive]
    locked: bool
    queue_asked: bool
    never_began: tuple[NeverBegan, ...] = ()


@dataclass(frozen=True)
class Verification:
    """Each of the wanted samples is either verified, bad or missing; the digest is None unless all verify.

    `deep`: every digest was recomputed from the pixels. Otherwise the files' structure was
    checked, and that the data set's digest follows from those of its samples.
    `rejected` counts the draws that failed their audit or could not be built and were replaced; None unless
    all verify and `deep`.
    """

    deep: bool
    samples: int
    bad: int
    missing: int
    digest: str | None
    problems: tuple[str, ...]
    rejected: int | None = None

    @property
    def passed(self) -> bool:
        """Whether the data set holds every sample, unchanged as far as was looked."""
        return self.digest is not None

    @property
    def summary(self) -> str:
        """One line that says what was checked and what came out."""
        how = "every digest recomputed" if self.deep else "structure checked, pixels not read"
        if not self.passed:
            return f"{self.samples} samples sound, {self.bad} bad, {self.missing} missing ({how})"
        replaced = f", {self.rejected} draws rejected and replaced" if self.rejected else ""
        return f"{self.samples} samples sound ({how}){replaced}, digest {self.digest}"

    def to_json(self) -> str:
        """One line of JSON with the fields as keys."""
        return json.dumps(asdict(self))


def read_status(folder: Folder, deep: bool = False, ask_queue: AskQueue = queue) -> Status:
    """Where the job in `folder` stands. Raises InputError if there is none.

    Unless `deep`, files that are as their journal says are not opened: quick at any size, blind
    to pixels that changed without the file's size or time.
    """
    now, job = time.time(), folder.job()
    attempts = read_journals(folder.journal)
    work = who_works(folder, attempts, now, ask_queue)
    states = survey(folder, job, "nothing" if deep else "shape", attempts)
    on_disk = done_indices(states)
    done = on_disk if not on_disk or max(on_disk) < job.count else {i for i in on_disk if i < job.count}
    dataset = dataset_problem(folder, job, states)
    given_up = {
        index: last
        for index, last in quarantined(read_failures(folder), job.attempts).items()
        if index < job.count and index not in done
    }
    pools = _pools(work, attempts, done, handed_over(folder), now)
    unwritten = {i for a in activity.latest(attempts).values() if a.id in work.alive for i in a.samples} - done
    bad = tuple(BadShard(state.shard.name, state.problem) for state in states if state.problem is not None)
    files = slurm_files(folder) if given_up else folder.root
    missing, speed = job.count - len(done), sum(pool.samples_per_s for pool in pools)
    return Status(
        state=_state(work, bad, missing, dataset, len(given_up)),
        wanted=job.count, done=len(done), missing=missing, unwritten=len(unwritten), bad_shards=bad,
        quarantined=tuple(
            Quarantined(index, last.problem, str(log_of(folder, last.attempt, files) or folder.log_path(last.attempt)))
            for index, last in given_up.items()
        ),
        never_began=work.never_began,
        dataset=dataset, pools=pools, samples_per_s=round(speed, 4),
        seconds_per_sample=_rounded(activity.seconds_per_sample(attempts)),
        seconds_left=_seconds_left(missing - len(given_up) - len(unwritten), speed),
        queue_asked=work.queue_asked, deep=deep, bytes=sum(s.bytes for s in states if s.problem is None),
    )  # fmt: skip


def who_works(folder: Folder, attempts: Sequence[Attempt], now: float, ask_queue: AskQueue = queue) -> Work:
    """Who is at work in `folder`, by the queue if there are Slurm jobs, and by the folder's lock."""
    submitted = list(submitted_tasks(folder))
    in_slurm = "slurm" in {one.engine for one in submitted} | {attempt.engine for attempt in attempts}
    in_queue = ask_queue(folder.queue_name) if in_slurm else {}
    locked, holder = folder.is_locked(), folder.holder()
    run_since = activity.time_of(holder.since) if holder else 0.0
    alive = activity.alive(submitted, attempts, in_queue, run_since if locked else None, now)
    early = never_began(folder, submitted, {attempt.id for attempt in attempts}, in_queue, now)
    return Work(tuple(submitted), alive, locked, in_queue is not None, tuple(early))


def status_table(folder: Folder, status: Status) -> RenderableType:
    """The status as tables for people."""
    summary = Table(title=str(folder.root), title_justify="left", show_header=False, box=None, pad_edge=False)
    unwritten = f" (and {status.unwritten} rendered, not on disk yet)" if status.unwritten else ""
    for name, value in (
        ("state", status.state), ("samples wanted", str(status.wanted)), ("done", f"{status.done}{unwritten}"),
        ("missing", str(status.missing)), ("seconds a sample", _number(status.seconds_per_sample)),
        ("samples a second now", f"{status.samples_per_s:.2f}" if status.at_work else UNKNOWN),
        ("time left", _left(status.seconds_left) if status.at_work else UNKNOWN),
        ("on disk", _room(status)),
        ("checked", "every digest recomputed" if status.deep else "files as their journals say, pixels not read"),
    ):  # fmt: skip
        if value != UNKNOWN:
            summary.add_row(name, value)
    if status.dataset is not None and not status.missing:
        summary.add_row("dataset.h5", status.dataset)
    if not status.queue_asked:
        summary.add_row("Slurm", "cannot be asked here; tasks count as running while they write their journals")
    for bad in status.bad_shards:
        summary.add_row("bad shard", f"{bad.shard}: {bad.problem}")
    if status.bad_shards:
        how = " --deep" if status.deep else ""
        summary.add_row("", f"set them aside and render them again with: render-farm resume {folder.root}{how}")
    for lost in status.quarantined:
        summary.add_row("in quarantine", f"sample {lost.index}: {lost.problem} (log: {lost.log})")
    unmended = status.never_began if status.missing else ()
    for early in unmended[-SHOWN:]:
        log = f" (log: {early.log})" if early.log else ""
        summary.add_row("failed at once", f"task {early.attempt}: {early.problem}{log}")
    if (more := len(unmended) - SHOWN) > 0:
        summary.add_row("", f"and {more} before")
    return Group(summary, _pools_table(status.pools)) if status.pools else summary


def _room(status: Status) -> str:
    return f"{decimal(status.bytes)}, {decimal(status.bytes // status.done)} a sample" if status.done else UNKNOWN


def watch(
    folder: Folder, console: Console, every_s: float = 2.0, deep: bool = False, ask_queue: AskQueue = queue,
    queue_every_s: float = QUEUE_EVERY_S,
) -> Status:  # fmt: skip
    """Show the status until nobody is at work or Ctrl-C; returns the last one.

    Drawn anew from disk every `every_s` seconds; the queue, which others need too, is asked every
    `queue_every_s` at most.
    """
    ask_queue = _seldom(ask_queue, queue_every_s)
    status = read_status(folder, deep, ask_queue=ask_queue)
    with Live(status_table(folder, status), console=console, auto_refresh=False) as live:
        try:
            while status.at_work:
                time.sleep(every_s)
                status = read_status(folder, deep, ask_queue=ask_queue)
                live.update(status_table(folder, status), refresh=True)
        except KeyboardInterrupt:
            pass  # the last picture stays on the screen
    return status


def _seldom(ask_queue: AskQueue, every_s: float) -> AskQueue:
    """The same, asked again only when the last answer is so old."""
    last: tuple[float, Mapping[str, QueuedTask] | None] | None = None

    def ask(name: str) -> Mapping[str, QueuedTask] | None:
        nonlocal last
        if last is None or time.monotonic() - last[0] >= every_s:
            last = time.monotonic(), ask_queue(name)
        return last[1]

    return ask


def verify(folder: Folder, deep: bool) -> Verification:
    """Check the data set and the shards that it links. Raises InputError if there is no job in `folder`.

    `deep` recomputes every digest, through the links that its readers use, and finds any
    change. Otherwise: the structure, that all samples are there, and that the data set's
    digest follows from those of its samples; changed pixels are not seen.
    """
    job = folder.job()
    states: list[ShardState] | None = None
    if deep:
        problem, digest, rejected = _read_all(folder, job)
    else:
        states = survey(folder, job, "shape")
        problem, digest, rejected = dataset_problem(folder, job, states, digests=True), None, None
        if problem is None:
            with SampleFile(folder.dataset) as file:
                digest = file.digest
    if problem is None:
        return Verification(deep, job.count, 0, 0, digest, (), rejected)
    states = states or survey(folder, job, "nothing" if deep else "shape")
    good = {index for index in done_indices(states) if index < job.count}
    on_disk = {index for state in states for index in state.shard.indices if index < job.count}
    bad_shards = tuple(f"{state.path}: {state.problem}" for state in states if state.problem is not None)
    return Verification(
        deep, samples=len(good), bad=len(on_disk - good), missing=job.count - len(on_disk), digest=None,
        problems=(f"{folder.dataset}: {problem}", *bad_shards),
    )  # fmt: skip


UNKNOWN = "–"
SHOWN = 3  # of tasks that died at once, which are often many


def _state(work: Work, bad: Sequence[BadShard], missing: int, dataset: str | None, lost: int) -> State:
    if "running" in work.alive.values():
        return "running"
    if any(not attempt.startswith(("local-", "debug-")) for attempt in work.alive):
        return "queued"
    if work.locked:
        return "running"
    if bad:
        return "damaged"
    if not missing:
        return "complete" if dataset is None else "unmerged"
    return "quarantined" if missing == lost else "incomplete"


def _pools(
    work: Work, attempts: Sequence[Attempt], done: set[int], taken: Mapping[str, set[int]], now: float
) -> tuple[PoolStatus, ...]:
    submitted, at_work = work.submitted, work.alive
    engines = {one.pool: one.engine for one in submitted} | {attempt.pool: attempt.engine for attempt in attempts}
    pool_of = {one.attempt: one.pool for one in submitted} | {attempt.id: attempt.pool for attempt in attempts}
    of_pool: dict[str, list[Attempt]] = defaultdict(list)
    maker: dict[int, str] = {}
    for attempt in attempts:
        of_pool[attempt.pool].append(attempt)
        maker.update(dict.fromkeys(attempt.samples, attempt.pool))
    made = Counter(map(maker.get, done))
    left: dict[str, set[int]] = defaultdict(set)
    for one in submitted:
        if one.attempt in at_work:
            left[one.pool].update(set(one.task.indices) - taken.get(one.attempt, set()))
    journals, tasks = activity.latest(attempts), Counter((pool_of.get(id), state) for id, state in at_work.items())
    early = Counter(one.pool for one in work.never_began)
    rows = []
    for pool, engine in engines.items():
        own = of_pool[pool]
        running = {id for id, state in at_work.items() if state == "running" and pool_of.get(id) == pool}
        speed = activity.rate(own, running, now)
        rendered = {index for id in running if id in journals for index in journals[id].samples}
        rows.append(PoolStatus(
            pool=pool, engine=engine, done=made[pool], running=tasks[pool, "running"], queued=tasks[pool, "queued"],
            failed=sum(activity.failed(one, one.id in running and one is journals[one.id]) for one in own)
            + early[pool],
            samples_per_s=round(speed, 4), seconds_per_sample=_rounded(activity.seconds_per_sample(own)),
            seconds_left=_seconds_left(len(left[pool] - done - rendered), speed),
            nodes=tuple(sorted({journals[id].node for id in running if id in journals})),
        ))  # fmt: skip
    return tuple(rows)


def _pools_table(pools: Iterable[PoolStatus]) -> Table:
    table = plain_table(
        "", "pool", "done", "running", "queued", "failed", "samples/s", "s/sample", "time left", "nodes"
    )
    table.collapse_padding, table.pad_edge, table.title = True, False, None  # 80 columns are few
    for row in pools:
        table.add_row(
            row.pool, str(row.done), str(row.running), str(row.queued), str(row.failed), f"{row.samples_per_s:.2f}",
            _number(row.seconds_per_sample), _left(row.seconds_left) if row.running or row.queued else UNKNOWN,
            _some(row.nodes),
        )  # fmt: skip
    return table


def _some(nodes: Sequence[str], shown: int = 4) -> str:
    more = f" and {len(nodes) - shown} more" if len(nodes) > shown else ""
    return ", ".join(nodes[:shown]) + more


def _seconds_left(samples: int, samples_per_s: float) -> float | None:
    if samples <= 0:
        return 0.0
    return round(samples / samples_per_s, 1) if samples_per_s else None


def _left(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else duration(seconds)


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.2f}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _read_all(folder: Folder, job: Job) -> tuple[str | None, str | None, int | None]:
    """What is wrong with dataset.h5, its digest, and the draws rejected, with everything read."""
    again = f"run render-farm resume {folder.root} --deep"
    if not folder.dataset.exists():
        return f"is not there yet; {again}", None, None
    try:
        file, bad = verify_samples(folder.dataset)
        with file:
            if wrong := header_problem(file, job):
                return wrong, None, None
            if file.index.tolist() != list(range(job.count)):
                return f"holds {len(file)} samples of {job.count}; {again}", None, None
            if bad:
                lost = f"{len(bad)} of {len(file)} samples do not match their digest; {again}"
                return lost, None, None
            return None, file.digest, file.rejected()
    except InputError as error:
        return str(error).removeprefix(f"{folder.dataset}: "), None, None
    except Exception as error:  # damaged bytes make HDF5 raise nearly anything
        return f"cannot be read ({error}); {again}", None, None
