"""Moving work between pools while they run. Pure: no files, no processes, no clock.

Two moves are known. Queued tasks are *withdrawn* and their samples planned again over all
pools, where that ends the queue sooner: speeds turned out other than believed, or a pool ran
dry. And the last part of a running task is *handed over* to a slot that has nothing to do, so
that one slow task does not hold the run up. Both cost a start-up and, on Slurm, a place in
the queue, so a move must gain more than GAIN of the time left and more than STARTUPS of the
longest start-up. The moves of one call leave nothing that a second call would move.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heapreplace

from render_farm.planning.plan import Capacity, Shard, Task, plan_tasks, sample_seconds, shares, task_sizes

GAIN = 0.1  # of the time left
STARTUPS = 2.0  # of the pool that starts slowest
SPARED = 0.02  # of the time left: so much later the end may be for fewer pools to lose their queue


@dataclass(frozen=True)
class Load:
    """What a pool has to do: its queued tasks, and of each running task the samples not made yet, in its order.

    `paces` are the seconds a sample of the running tasks where nodes differ; empty: all run at
    the capacity's.
    """

    capacity: Capacity
    queued: tuple[Task, ...] = ()
    running: tuple[Task, ...] = ()
    paces: tuple[float, ...] = ()

    @property
    def queued_samples(self) -> int:
        """Samples in queued tasks."""
        return sum(map(len, self.queued))

    @property
    def free_slots(self) -> int:
        """Slots that neither run a task nor have one queued for them."""
        return max(0, self.capacity.slots - len(self.running) - len(self.queued))


@dataclass(frozen=True)
class Handover:
    """`task`, the last samples of a pool's running task at `position`, is to be run by `to_pool` instead."""

    from_pool: str
    position: int
    to_pool: str
    task: Task


@dataclass(frozen=True)
class Moves:
    """Pools whose queued tasks are to be taken back and planned again, and parts of running tasks to hand over.

    Several handovers may name the same running task; their samples are disjoint.
    """

    withdraw: frozenset[str] = frozenset()
    handovers: tuple[Handover, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.withdraw or self.handovers)


def finish_s(load: Load) -> float | None:
    """Seconds until the pool has made all it has, its queued tasks in their order; None if its speed is not known."""
    if load.capacity.seconds_per_sample is None:
        return None if load.queued or load.running else 0.0
    return max(_running_end(load), _queue_end(load))


def busy(loads: Sequence[Load]) -> list[Capacity]:
    """The capacities with `busy_s` as the loads say, for `plan_tasks` to plan more samples on top of them."""
    capacities = [load.capacity for load in loads]
    # Where no speed is known, `plan_tasks` has ratios instead of seconds, which a start-up cannot be added to.
    timed = any(capacity.seconds_per_sample is not None for capacity in capacities)
    return [
        replace(capacity, busy_s=_work_s(load, seconds, capacity.startup_s * timed) / capacity.slots)
        for load, capacity, seconds in zip(loads, capacities, sample_seconds(capacities), strict=True)
    ]


def rebalance(loads: Sequence[Load]) -> Moves:
    """The moves that are worth it now, mostly none.

    While a speed is not known, the only move is to take queued tasks back for a pool that has
    none and would get some.
    """
    if any(load.capacity.seconds_per_sample is None for load in loads):
        return Moves(_withdraw_for_idle(loads))
    withdraw = _withdraw(loads)
    settled = apply(loads, Moves(withdraw))
    handovers: list[Handover] = []
    while more := _hand_over(settled):
        handovers += more
        settled = apply(settled, Moves(handovers=tuple(more)))
    if handovers and _withdraw(settled):  # the parts that were handed over would be taken back at once
        return Moves(withdraw)
    return Moves(withdraw, tuple(handovers))


def apply(loads: Sequence[Load], moves: Moves) -> list[Load]:
    """The loads once the moves are made and what was withdrawn is planned again; new tasks are queued last."""
    kept = {
        load.capacity.pool: replace(load, queued=()) if load.capacity.pool in moves.withdraw else load for load in loads
    }
    withdrawn = [
        i for load in loads if load.capacity.pool in moves.withdraw for task in load.queued for i in task.indices
    ]
    if withdrawn:
        for pool, tasks in plan_tasks(withdrawn, busy(list(kept.values()))).items():
            kept[pool] = replace(kept[pool], queued=(*kept[pool].queued, *tasks))
    for move in moves.handovers:
        giver = kept[move.from_pool]
        rest, _ = split_last(giver.running[move.position], len(move.task))
        running = (*giver.running[: move.position], rest, *giver.running[move.position + 1 :])
        kept[move.from_pool] = replace(giver, running=running)
        taker = kept[move.to_pool]
        kept[move.to_pool] = replace(taker, queued=(*taker.queued, move.task))
    return list(kept.values())


def split_last(task: Task, count: int) -> tuple[Task, Task]:
    """The task without its last `count` samples, and these."""
    first: list[Shard] = []
    left = len(task) - count
    for position, span in enumerate(task.spans):
        if left < len(span):
            cut = span.start + left
            head = [Shard(span.start, cut)] if left else []
            return Task((*first, *head)), Task((Shard(cut, span.stop), *task.spans[position + 1 :]))
        first.append(span)
        left -= len(span)
    return task, Task(())


# --- withdrawing queued tasks ---


def _withdraw(loads: Sequence[Load]) -> frozenset[str]:
    """The pools whose queue is worth planning again: those with too much, or all where that ends clearly sooner."""
    queued = [load.queued_samples for load in loads]
    if not sum(queued):
        return frozenset()
    everything = frozenset(load.capacity.pool for load, count in zip(loads, queued, strict=True) if count)
    now_s, all_s = max(map(_queue_end, loads)), _replanned_end(loads, everything)
    if now_s - all_s <= _worth_s(loads, _end(loads)):
        return frozenset()
    fair = shares(sum(queued), busy([replace(load, queued=()) for load in loads]))
    too_much = frozenset(
        load.capacity.pool for load, count, share in zip(loads, queued, fair, strict=True) if count > share
    )
    # The queue of a pool that would get all of it back is left alone: it has waited for its turn.
    spared_s = _worth_s(loads, all_s, SPARED)
    return too_much if too_much and _replanned_end(loads, too_much) - all_s <= spared_s else everything


def _withdraw_for_idle(loads: Sequence[Load]) -> frozenset[str]:
    idle = [not load.queued and load.free_slots > 0 for load in loads]
    queued = frozenset(load.capacity.pool for load in loads if load.queued)
    if not queued or not any(idle):
        return frozenset()
    count = sum(load.queued_samples for load in loads)
    fair = shares(count, busy([replace(load, queued=()) for load in loads]))
    return queued if any(share for share, is_idle in zip(fair, idle, strict=True) if is_idle) else frozenset()


def _replanned_end(loads: Sequence[Load], withdrawn: frozenset[str]) -> float:
    """When the queues end if those of the `withdrawn` pools are planned again."""
    count = sum(load.queued_samples for load in loads if load.capacity.pool in withdrawn)
    kept = [replace(load, queued=()) if load.capacity.pool in withdrawn else load for load in loads]
    fair = shares(count, busy(kept))
    return max(_queue_end(load, task_sizes(share, load.capacity)) for load, share in zip(kept, fair, strict=True))


def _worth_s(loads: Sequence[Load], left_s: float, gain: float = GAIN) -> float:
    """What a move must gain if there are so many seconds left."""
    return max(gain * left_s, STARTUPS * max(load.capacity.startup_s for load in loads))


# --- handing over parts of running tasks ---


@dataclass(frozen=True)
class _Straggler:
    pool: str
    position: int
    task: Task
    seconds: float  # a sample

    def excess(self, end_s: float) -> int:
        """Samples that it cannot make by then; the one that it is at stays with it."""
        return max(0, len(self.task) - max(1, int(end_s / self.seconds)))


def _hand_over(loads: Sequence[Load]) -> list[Handover]:
    """Parts of running tasks for free slots, so that all running tasks end together as early as they can."""
    free = [load.capacity for load in loads for _ in range(load.free_slots)]
    running = [
        _Straggler(load.capacity.pool, position, task, seconds)
        for load in loads
        for position, (task, seconds) in enumerate(zip(load.running, _paces(load), strict=True))
        if len(task) > 1
    ]
    now_s = _end(loads)
    if not free or not running:
        return []
    late_s = now_s - _worth_s(loads, now_s)
    # No earlier than the queues, nor than the sample that each task is at.
    early_s = max(pace for load in loads for pace in (_queue_end(load), *_paces(load)))
    if late_s <= early_s or (found := _assign(running, free, late_s)) is None:
        return []
    for _ in range(30):  # bisection; far below a sample
        middle_s = (late_s + early_s) / 2
        if (better := _assign(running, free, middle_s)) is None:
            early_s = middle_s
        else:
            late_s, found = middle_s, better
        if late_s - early_s < 1e-3 * now_s:
            break
    return found


def _assign(running: Iterable[_Straggler], free: Iterable[Capacity], end_s: float) -> list[Handover] | None:
    """Handovers for all to end by `end_s`, the largest excess to the slots that make most; None if it cannot be."""
    room = [
        (capacity.pool, int((end_s - capacity.startup_s) / _seconds(capacity)))
        for capacity in free
        if end_s >= 2 * capacity.startup_s  # or it would start for longer than it renders
    ]
    slots = iter(sorted((slot for slot in room if slot[1] > 0), key=lambda slot: -slot[1]))
    handovers = []
    for late in sorted(running, key=lambda task: -task.excess(end_s)):
        rest, excess = late.task, late.excess(end_s)
        while excess:
            pool, most = next(slots, (None, 0))
            if pool is None:
                return None
            rest, part = split_last(rest, min(most, excess))
            handovers.append(Handover(late.pool, late.position, pool, part))
            excess -= len(part)
    return handovers


# --- what a load takes ---


def _end(loads: Sequence[Load]) -> float:
    """When all pools have ended."""
    return max(max(_running_end(load), _queue_end(load)) for load in loads)


def _running_end(load: Load) -> float:
    return max((len(task) * pace for task, pace in zip(load.running, _paces(load), strict=True)), default=0.0)


def _queue_end(load: Load, more: Sequence[int] = ()) -> float:
    """When the last queued task ends, with `more` tasks of so many samples behind them; 0 if there are none."""
    sizes = [*map(len, load.queued), *more]
    if not sizes:
        return 0.0
    seconds, slots = _seconds(load.capacity), load.capacity.slots
    ends = sorted(len(task) * pace for task, pace in zip(load.running, _paces(load), strict=True))[-slots:]
    ends = [0.0] * (slots - len(ends)) + ends
    heapify(ends)
    last = 0.0
    for size in sizes:
        end = ends[0] + load.capacity.startup_s + size * seconds
        heapreplace(ends, end)
        last = max(last, end)
    return last


def _work_s(load: Load, seconds: float, startup_s: float) -> float:
    paces = load.paces or (seconds,) * len(load.running)
    running_s = sum(len(task) * pace for task, pace in zip(load.running, paces, strict=True))
    return running_s + load.queued_samples * seconds + len(load.queued) * startup_s


def _paces(load: Load) -> Sequence[float]:
    return load.paces or (_seconds(load.capacity),) * len(load.running)


def _seconds(capacity: Capacity) -> float:
    assert capacity.seconds_per_sample is not None, capacity
    return capacity.seconds_per_sample
