"""What the time of a farm's tasks was spent on. Pure: attempts in, figures out.

All times of a task are *slot seconds*: a task has one slot of its pool from its start to its
end, however many renderers share it. A sample's seconds are divided by the renderers that
worked side by side.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from render_farm.clusters import PoolSettings, SlurmPool
from render_farm.disk.journal import Attempt
from render_farm.planning.estimate import gpus
from render_farm.planning.plan import Shard, Task
from render_farm.views.activity import latest

PAUSE_S = 600.0  # nothing ran for so long, until something was handed in: nobody wanted it to run
HOUR_S = 3600.0
ALL = "all"

Kind = Literal["start-up", "samples", "lost"]


@dataclass(frozen=True)
class Span:
    """A stretch of time of one attempt."""

    begin: float
    end: float
    kind: Kind


@dataclass(frozen=True)
class Stint:
    """An attempt in the books: from `begin` to `end` it had a slot of `pool` on `node`.

    `end` is the last line of its journal if it was killed, and now if it runs.
    """

    attempt: str
    pool: str
    engine: str
    node: str
    threads: int
    begin: float
    end: float
    runs: bool
    repeated: bool  # its samples had been given to an earlier attempt
    samples: int  # that count: on disk from this attempt, or not written yet while it runs
    rendered: int  # whether they count or not
    render_s: float  # what renderers took for those
    startup_s: float | None  # None: no renderer got ready
    useful_s: float  # on samples that count
    unwritten_s: float  # on samples that were rendered and are not on disk
    failed_s: float  # on samples and start-ups that failed, since the line before in the journal
    failures: int
    spans: tuple[Span, ...]

    @property
    def slot_s(self) -> float:
        """How long it had its slot."""
        return self.end - self.begin

    @property
    def lost_s(self) -> float:
        """What would not have been spent had nothing failed."""
        again = (self.startup_s if self.startup_s is not None else self.slot_s) if self.repeated else 0.0
        return min(self.slot_s, self.unwritten_s + self.failed_s + again)


@dataclass(frozen=True)
class Pause:
    """Time between two runs, when nobody wanted the farm to work."""

    begin: float
    end: float


@dataclass(frozen=True)
class Account:
    """A pool, or all of them together, from the first start of a task to the last end.

    `slots` is the most tasks that ran at a time. `speedup` is what one process of the
    reference would have taken for the samples over the wall time. `efficiency` is the share
    of slot time (slots times wall time) spent on samples that count, `occupied` that in which
    tasks ran at all. What is not known is None.
    """

    pool: str
    samples: int
    tasks: int  # attempts at tasks
    slots: int
    seconds_per_sample: float | None  # of a renderer
    startup_s: float | None  # of a task, mean
    wall_s: float
    speedup: float | None
    efficiency: float | None
    occupied: float | None
    repeated_tasks: int
    failed_samples: int
    lost_s: float
    core_hours: float | None
    gpu_hours: float | None
    energy_kwh: float | None

    @property
    def retries(self) -> int:
        """Tasks begun again and renderers started again."""
        return self.repeated_tasks + self.failed_samples


def stints(
    attempts: Sequence[Attempt], running: Collection[str], on_disk: Collection[int],
    handed_over: Mapping[str, set[int]], now: float,
) -> list[Stint]:  # fmt: skip
    """The books' view of all attempts, which come by the time they began; `running` are the ids of those that run."""
    journals = latest(attempts)
    runs = [attempt.ended is None and attempt.id in running and attempt is journals[attempt.id] for attempt in attempts]
    counted = _counted(attempts, runs, on_disk)
    given: set[int] = set()
    found = []
    for attempt, is_running, counts in zip(attempts, runs, counted, strict=True):
        indices = set(Task.parse(attempt.task).indices)
        found.append(_stint(attempt, is_running, counts, not given.isdisjoint(indices), now))
        given |= indices - handed_over.get(attempt.id, set())
    return found


def pauses(found: Sequence[Stint], submitted: Iterable[float]) -> list[Pause]:
    """The gaps of more than ten minutes in which no task ran, up to when the next was handed in.

    Time in which tasks waited in a queue is no pause. `submitted` are the times of submissions.
    """
    times = sorted(submitted)
    gaps: list[Pause] = []
    reached = None
    for stint in sorted(found, key=lambda stint: stint.begin):
        if reached is not None and stint.begin - reached > PAUSE_S:
            resumed = next((t for t in times if reached < t <= stint.begin), None)
            if resumed is not None and resumed - reached > PAUSE_S:
                gaps.append(Pause(reached, resumed))
        reached = stint.end if reached is None else max(reached, stint.end)
    return gaps


def without_pauses(found: Sequence[Stint], left_out: Sequence[Pause]) -> list[Stint]:
    """The stints on a clock that stands still in the pauses."""

    def on_clock(t: float) -> float:
        return t - sum(max(0.0, min(t, pause.end) - pause.begin) for pause in left_out)

    return [
        replace(
            stint, begin=on_clock(stint.begin), end=on_clock(stint.end),
            spans=tuple(Span(on_clock(span.begin), on_clock(span.end), span.kind) for span in stint.spans),
        )
        for stint in found
    ]  # fmt: skip


def account(found: Sequence[Stint], pools: Mapping[str, PoolSettings], reference_s: float | None) -> list[Account]:
    """A row a pool, by the time of its first task, and the total last; nothing without a stint."""
    if not found:
        return []
    by_pool: dict[str, list[Stint]] = defaultdict(list)
    for stint in found:
        by_pool[stint.pool].append(stint)
    rows = [_account(pool, own, pools.get(pool), reference_s) for pool, own in by_pool.items()]
    return [*rows, _total(rows, found, reference_s)]


def _counted(attempts: Sequence[Attempt], runs: Sequence[bool], on_disk: Collection[int]) -> list[set[int]]:
    """Of each attempt the samples that count: each sample on disk counts once, for whom wrote it last."""
    there = set(on_disk)
    owner: dict[int, int] = {}
    # Whoever rendered it last has it where no journal tells who wrote it.
    for position, attempt in enumerate(attempts):
        owner.update(dict.fromkeys(there.intersection(attempt.samples), position))
    for position, attempt in enumerate(attempts):
        shards = (Shard.from_name(shard.name) for shard in attempt.shards)
        written = {index for shard in shards if shard for index in shard.indices}
        owner.update(dict.fromkeys(written & there & attempt.samples.keys(), position))
    counted: list[set[int]] = [set() for _ in attempts]
    for index, position in owner.items():
        counted[position].add(index)
    for attempt, is_running, own in zip(attempts, runs, counted, strict=True):
        if is_running:
            own |= attempt.samples.keys() - there
    return counted


def _stint(attempt: Attempt, runs: bool, counts: set[int], repeated: bool, now: float) -> Stint:
    side_by_side = max(1, attempt.processes)
    useful = sum(seconds for index, seconds in attempt.samples.items() if index in counts)
    end = max(attempt.last, now) if runs else attempt.last
    ready = attempt.ready if attempt.ready is not None else (end if not attempt.samples else attempt.began)
    spans = [Span(attempt.began, ready, "start-up")] if ready > attempt.began else []
    spans += [
        Span(max(t - attempt.samples[index], attempt.began), t, "samples" if index in counts else "lost")
        for index, t in attempt.finished.items()
    ]
    failed = _failed_spans(attempt)
    # Starts that failed are part of the start-up, which counts as lost where a task is repeated.
    failed_s = sum(span.end - span.begin for span in failed if not repeated or span.begin >= ready)
    return Stint(
        attempt=attempt.id, pool=attempt.pool, engine=attempt.engine, node=attempt.node, threads=attempt.threads,
        begin=attempt.began, end=end, runs=runs, repeated=repeated, samples=len(counts),
        rendered=len(attempt.samples), render_s=attempt.sample_s, startup_s=attempt.startup_s,
        useful_s=useful / side_by_side, unwritten_s=(attempt.sample_s - useful) / side_by_side,
        failed_s=failed_s / side_by_side, failures=len(attempt.failures),
        spans=(*spans, *failed),
    )  # fmt: skip


def _failed_spans(attempt: Attempt) -> list[Span]:
    """From the line before in the journal to each failure: the journal does not tell when the sample was begun."""
    lines = sorted([attempt.began, *attempt.finished.values(), *(failure.t for failure in attempt.failures)])
    if attempt.ready is not None:
        lines = sorted([*lines, attempt.ready])
    before = {b: a for a, b in pairwise(lines) if b > a}
    return [Span(before.get(failure.t, failure.t), failure.t, "lost") for failure in attempt.failures]


def _account(
    pool: str, found: Sequence[Stint], settings: PoolSettings | None, reference_s: float | None
) -> Account:  # fmt: skip
    slot_s, hours = sum(stint.slot_s for stint in found), sum(stint.slot_s for stint in found) / HOUR_S
    cores = sum(stint.slot_s * _cores(stint, settings) for stint in found) / HOUR_S
    wall_s, slots = _wall(found), _most_at_a_time(found)
    samples = sum(stint.samples for stint in found)
    known = settings is not None
    return Account(
        pool=pool, samples=samples, tasks=len(found), slots=slots,
        seconds_per_sample=_ratio(sum(s.render_s for s in found), sum(s.rendered for s in found)),
        startup_s=_mean([stint.startup_s for stint in found]), wall_s=wall_s,
        speedup=None if reference_s is None else _ratio(reference_s * samples, wall_s),
        efficiency=_ratio(sum(stint.useful_s for stint in found), slots * wall_s),
        occupied=_ratio(slot_s, slots * wall_s), repeated_tasks=sum(stint.repeated for stint in found),
        failed_samples=sum(stint.failures for stint in found), lost_s=sum(stint.lost_s for stint in found),
        core_hours=cores if known else None, gpu_hours=hours * gpus(settings) if settings is not None else None,
        energy_kwh=hours * settings.watts_per_task / 1000 if settings is not None else None,
    )  # fmt: skip


def _total(rows: Sequence[Account], found: Sequence[Stint], reference_s: float | None) -> Account:
    every = _account(ALL, found, None, reference_s)
    slots = sum(row.slots for row in rows)
    return replace(
        every, slots=slots, efficiency=_ratio(sum(stint.useful_s for stint in found), slots * every.wall_s),
        occupied=_ratio(sum(stint.slot_s for stint in found), slots * every.wall_s),
        core_hours=_sum([row.core_hours for row in rows]), gpu_hours=_sum([row.gpu_hours for row in rows]),
        energy_kwh=_sum([row.energy_kwh for row in rows]),
    )  # fmt: skip


def _cores(stint: Stint, settings: PoolSettings | None) -> int:
    """What a task of it is charged for."""
    return settings.cpus if isinstance(settings, SlurmPool) else stint.threads


def _wall(found: Sequence[Stint]) -> float:
    return max(stint.end for stint in found) - min(stint.begin for stint in found)


def _most_at_a_time(found: Sequence[Stint]) -> int:
    changes = sorted([(stint.begin, 1) for stint in found] + [(stint.end, -1) for stint in found])
    most = now = 0
    for _, change in changes:  # at one moment, ends come first
        now += change
        most = max(most, now)
    return max(most, 1)


def _ratio(a: float, b: float) -> float | None:
    return a / b if b else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
