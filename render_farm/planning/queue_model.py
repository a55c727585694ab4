"""A model of pools at work: slots, nodes, a queue and the coordinator that looks at them, as discrete events.

Tasks are the unit, not samples: what a task's samples take together is drawn once, and how
far it is at any moment is read off that. The tasks and the moves are those of `plan_tasks` and
`rebalance`, the very functions that a run uses.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import Any, Literal

import numpy as np

from render_farm.planning.balance import Load, apply, busy, rebalance, split_last
from render_farm.planning.plan import STARTUP_S, Capacity, Task, plan_tasks
from render_farm.planning.speed import ENOUGH
from semforge.errors import SemforgeError

HOUR_S = 3600.0
SECOND_LOOK_S = 60.0  # the policy is asked when a task has ended, and so often if none has
HOPELESS, AT_LEAST_S = 100.0, 1e5  # times the ideal, and no less: what has not ended then never will
LEAST_SPREAD = 1e-6  # below it there is none

# How a slot spends its time. `away`: its node is down or somebody else's; `idle`: nothing is queued for it.
Use = Literal["rendering", "startup", "lost", "waiting", "idle", "away"]
USES: tuple[Use, ...] = ("rendering", "startup", "lost", "waiting", "idle", "away")


@dataclass(frozen=True)
class Site:
    """A pool as it really is; rates are of one task or one node, times those of one task. Spreads are sd over mean."""

    capacity: Capacity  # with the true seconds a sample and start-up
    believed_s: float  # a sample, until it is measured
    tasks_per_node: int
    sample_spread: float
    node_spread: float
    startup_spread: float
    latency_s: float  # from a slot being free until a queued task begins, on the average
    task_failures_per_hour: float
    preemptions_per_hour: float
    preempted_s: float  # until the slot comes back
    node_failures_per_hour: float
    repair_s: float
    node_timeout_s: float  # until a node that is gone is noticed
    limit_s: float  # of a task, which stops in time


@dataclass(eq=False)
class _Slot:
    """Where one task runs at a time. `epoch` counts changes, so that what was due before them is void."""

    pool: "_Pool"
    pace: float  # of its node: times the pool's seconds a sample
    node: int
    state: Literal["idle", "waiting", "running", "away"] = "idle"
    since: float = 0.0
    epoch: int = 0
    run: "_Run | None" = None


@dataclass(eq=False)
class _Run:
    """A task that runs: its samples, when rendering begins, and what they take together."""

    task: Task
    began: float
    ready: float
    render_s: float
    version: int = 0  # counts handovers
    stopped: float | None = None  # when it ended, if nobody has noticed yet
    complete: bool = False

    def made(self, now: float) -> int:
        """Samples rendered by now."""
        if self.complete:
            return len(self.task)
        if self.stopped is not None:
            now = min(now, self.stopped)
        if now <= self.ready:
            return 0
        return min(len(self.task), int(len(self.task) * (now - self.ready) / self.render_s + 1e-9))


@dataclass(eq=False)
class _Pool:
    site: Site
    slots: list[_Slot]
    idle: list[_Slot]
    queue: deque[Task] = field(default_factory=deque)
    runs: dict[_Run, None] = field(default_factory=dict)  # that the coordinator takes to be alive, in their order
    waiting: int = 0  # slots for which a queued task is about to begin
    spent: dict[Use, float] = field(default_factory=lambda: dict.fromkeys(USES, 0.0))
    tasks: int = 0  # begun
    retries: int = 0  # ended without all their samples
    samples: int = 0  # on disk
    startups_s: float = 0.0
    measured: int = 0  # samples of ended tasks, and what they took
    measured_s: float = 0.0

    @property
    def mean_pace(self) -> float:
        """Of its slots."""
        return sum(slot.pace for slot in self.slots) / len(self.slots)


class QueueModel:
    """Renders `count` samples when `run` is called; the attributes then tell how it went."""

    def __init__(self, count: int, sites: Sequence[Site], poll_s: float, checkpoint_s: float, seed: int):
        self.count = count
        self.now = self.makespan_s = 0.0
        self.on_disk = np.zeros(count, np.uint8)  # how often each sample was written
        self.rendered = 0  # samples, those included that were lost
        self.withdrawals = self.handovers = 0
        # Nodes are drawn apart, so that runs with other chances have the same nodes.
        of_nodes, of_events = np.random.SeedSequence(seed).spawn(2)
        self._nodes, self._random = np.random.default_rng(of_nodes), np.random.default_rng(of_events)
        self._poll_s, self._checkpoint_s = poll_s, checkpoint_s
        self._done = 0
        self._events: list[tuple[Any, ...]] = []
        self._number = 0
        self._next_look: float | None = None
        self._ended: list[tuple[float, _Pool, _Run, Task]] = []  # when it can be seen, and what is missing
        self.pools = {site.capacity.pool: self._open(site) for site in sites}

    @property
    def ideal_s(self) -> float:
        """The makespan if the work could be divided at will and nothing but rendering took time."""
        return self.count / sum(
            1 / ((pool.site.capacity.seconds_per_sample or 0.0) * slot.pace)
            for pool in self.pools.values()
            for slot in pool.slots
        )

    def run(self) -> None:
        """Until all samples are on disk. Raises SemforgeError if failures let nothing be finished."""
        self._submit(range(self.count))
        self._look_at(self._poll_s)
        hopeless_s = max(HOPELESS * self.ideal_s, AT_LEAST_S)
        while self._done < self.count:
            self.now, _, happen, *arguments = heappop(self._events)
            happen(*arguments)
            if self.now > hopeless_s:
                raise SemforgeError(f"{self._done} of {self.count} samples done after {self.now:.0f} s, ideally it "
                                    f"takes {self.ideal_s:.0f} s: tasks end before they have much to show")  # fmt: skip
        self.makespan_s = self.now
        for pool in self.pools.values():
            for slot in pool.slots:
                self._pass(slot)

    # --- slots and nodes ---

    def _open(self, site: Site) -> _Pool:
        slots = site.capacity.slots
        paces = [_around_1(self._nodes, site.node_spread) for _ in range(-(-slots // site.tasks_per_node))]
        pool = _Pool(site, [], [])
        for k in range(slots):
            node = k // site.tasks_per_node
            pool.slots.append(_Slot(pool, paces[node], node))
        pool.idle = pool.slots[::-1]
        for node in range(len(paces)):
            self._await_failure(pool, node)
        return pool

    def _await_failure(self, pool: _Pool, node: int) -> None:
        if pool.site.node_failures_per_hour:
            self._at(self._random.exponential(HOUR_S / pool.site.node_failures_per_hour), self._node_fails, pool, node)

    def _node_fails(self, pool: _Pool, node: int) -> None:
        for slot in pool.slots:
            if slot.node == node:
                if slot.state == "running":
                    self._stop(slot, warned=False, seen_after_s=pool.site.node_timeout_s)
                self._leave(slot, pool.site.repair_s)
        self._at(pool.site.repair_s, self._await_failure, pool, node)

    def _leave(self, slot: _Slot, seconds: float) -> None:
        """The slot is not ours for so long."""
        self._pass(slot)
        if slot.state == "waiting":
            slot.pool.waiting -= 1
        elif slot.state == "idle":
            slot.pool.idle.remove(slot)
        slot.state = "away"
        slot.epoch += 1
        self._at(seconds, self._come_back, slot, slot.epoch)
        self._dispatch(slot.pool)

    def _come_back(self, slot: _Slot, epoch: int) -> None:
        if epoch == slot.epoch:
            self._free(slot)

    def _free(self, slot: _Slot) -> None:
        self._pass(slot)
        slot.state = "idle"
        slot.pool.idle.append(slot)
        self._dispatch(slot.pool)

    def _dispatch(self, pool: _Pool) -> None:
        """Let queued tasks begin on idle slots, after the scheduler's latency."""
        while pool.idle and len(pool.queue) > pool.waiting:
            slot = pool.idle.pop()
            self._pass(slot)
            slot.state = "waiting"
            pool.waiting += 1
            latency_s = pool.site.latency_s and self._random.exponential(pool.site.latency_s)
            self._at(latency_s, self._begin, slot, slot.epoch)

    def _pass(self, slot: _Slot) -> None:
        """Book what the slot did until now; a running one is booked when its task stops."""
        if slot.state == "running":
            if slot.run is None:
                return
            self._book(slot.pool, slot.run, self.now, slot.run.made(self.now))
        else:
            slot.pool.spent[slot.state] += self.now - slot.since
        slot.since = self.now

    # --- tasks ---

    def _begin(self, slot: _Slot, epoch: int) -> None:
        if epoch != slot.epoch:
            return
        pool, site = slot.pool, slot.pool.site
        pool.waiting -= 1
        if not pool.queue:  # withdrawn in the meantime
            self._pass(slot)
            slot.state = "idle"
            pool.idle.append(slot)
            return
        self._pass(slot)
        startup_s = site.capacity.startup_s * _around_1(self._random, site.startup_spread)
        task = pool.queue.popleft()
        run = _Run(task, self.now, self.now + startup_s, self._render_s(site, len(task)) * slot.pace)
        slot.state, slot.run = "running", run
        slot.epoch += 1
        pool.runs[run] = None
        pool.tasks += 1
        pool.startups_s += startup_s
        self._at(startup_s + run.render_s, self._finish, slot, run, run.version)
        ends = [(site.limit_s, True, 0.0)]
        if site.task_failures_per_hour:
            ends.append((self._random.exponential(HOUR_S / site.task_failures_per_hour), False, 0.0))
        if site.preemptions_per_hour:
            ends.append((self._random.exponential(HOUR_S / site.preemptions_per_hour), True, site.preempted_s))
        after_s, warned, away_s = min(ends)
        if after_s < startup_s + run.render_s:
            self._at(after_s, self._interrupt, slot, run, warned, away_s)

    def _finish(self, slot: _Slot, run: _Run, version: int) -> None:
        if slot.run is run and run.version == version:
            run.complete = True
            self._end(slot, run, len(run.task), 0.0)
            self._free(slot)

    def _interrupt(self, slot: _Slot, run: _Run, warned: bool, away_s: float) -> None:
        if slot.run is run:
            self._stop(slot, warned, seen_after_s=0.0)
            if away_s:
                self._leave(slot, away_s)
            else:
                self._free(slot)

    def _stop(self, slot: _Slot, warned: bool, seen_after_s: float) -> None:
        """The task ends before its time; what is on disk stays: all it has made if it was warned, else a checkpoint."""
        run = slot.run
        assert run is not None
        saved_at = self.now
        if not warned and run.ready < self.now:
            saved_at = run.ready + (self.now - run.ready) // self._checkpoint_s * self._checkpoint_s
        self._end(slot, run, run.made(saved_at), seen_after_s)

    def _end(self, slot: _Slot, run: _Run, saved: int, seen_after_s: float) -> None:
        pool = slot.pool
        made = run.made(self.now)
        self._book(pool, run, self.now, saved)
        slot.since, slot.state, slot.run = self.now, "running", None
        slot.epoch += 1
        run.stopped = self.now
        written, missing = split_last(run.task, len(run.task) - saved)
        for span in written.spans:
            self.on_disk[span.start : span.stop] += 1
        self._done += saved
        self.rendered += made
        pool.samples += saved
        pool.retries += bool(missing.spans)
        self._ended.append((self.now + seen_after_s, pool, run, missing))
        self._look_at(self.now + seen_after_s)

    def _book(self, pool: _Pool, run: _Run, now: float, saved: int) -> None:
        ready = min(run.ready, now)
        rendering_s = min(now - ready, saved * run.render_s / max(1, len(run.task)))
        pool.spent["startup"] += ready - run.began
        pool.spent["rendering"] += rendering_s
        pool.spent["lost"] += now - ready - rendering_s

    # --- the coordinator ---

    def _look_at(self, time: float) -> None:
        """Have the coordinator look at its next look from `time` on."""
        time = max(math.ceil(time / self._poll_s - 1e-9) * self._poll_s, self.now)
        if self._next_look is None or time < self._next_look:
            self._next_look = time
            self._at(time - self.now, self._look, time)

    def _look(self, time: float) -> None:
        if time != self._next_look:
            return
        self._next_look = None
        missing: list[int] = []
        ended, self._ended = self._ended, []
        for seen, pool, run, left in ended:
            if seen > self.now:
                self._ended.append((seen, pool, run, left))
                continue
            del pool.runs[run]
            made = run.made(self.now)
            pool.measured += made
            pool.measured_s += made * run.render_s / max(1, len(run.task))
            missing += left.indices
        if missing:
            self._submit(missing)
        self._rebalance()
        self._look_at(self.now + max(SECOND_LOOK_S, self._poll_s))
        for seen, *_ in self._ended:
            self._look_at(seen)

    def _submit(self, samples: Sequence[int]) -> None:
        for name, tasks in plan_tasks(samples, busy(self._loads())).items():
            self._enqueue(self.pools[name], tasks)

    def _enqueue(self, pool: _Pool, tasks: Sequence[Task]) -> None:
        pool.queue.extend(tasks)
        self._dispatch(pool)

    def _rebalance(self) -> None:
        loads = self._loads()
        moves = rebalance(loads)
        if not moves:
            return
        self.withdrawals += len(moves.withdraw)
        self.handovers += len(moves.handovers)
        running = {name: [run for run in pool.runs if self._left(run)] for name, pool in self.pools.items()}
        for load in apply(loads, replace(moves, handovers=())):
            self.pools[load.capacity.pool].queue = deque(load.queued)
        for move in moves.handovers:
            self._shorten(self.pools[move.from_pool], running[move.from_pool][move.position], len(move.task))
            self.pools[move.to_pool].queue.append(move.task)
        for pool in self.pools.values():
            self._dispatch(pool)

    def _shorten(self, pool: _Pool, run: _Run, count: int) -> None:
        """The task drops its last samples."""
        before = len(run.task)
        run.task, _ = split_last(run.task, count)
        run.render_s *= len(run.task) / before
        run.version += 1
        if run.stopped is None:
            slot = next(slot for slot in pool.slots if slot.run is run)
            self._at(max(0.0, run.ready + run.render_s - self.now), self._finish, slot, run, run.version)
            return
        self._ended = [
            (seen, pool, other, split_last(left, count)[0] if other is run else left)
            for seen, pool, other, left in self._ended
        ]

    def _loads(self) -> list[Load]:
        return [
            Load(
                self._capacity(pool), tuple(pool.queue),
                tuple(split_last(run.task, left)[1] for run in pool.runs if (left := self._left(run))),
            )
            for pool in self.pools.values()
        ]  # fmt: skip

    def _left(self, run: _Run) -> int:
        return len(run.task) - run.made(self.now)

    def _capacity(self, pool: _Pool) -> Capacity:
        """As the coordinator knows it: what is measured, or else believed."""
        made, seconds = pool.measured, pool.measured_s
        for run in pool.runs:
            here = run.made(self.now)
            made += here
            seconds += here * run.render_s / len(run.task)
        startup_s = pool.startups_s / pool.tasks if pool.tasks else STARTUP_S
        seconds_per_sample = seconds / made if made >= ENOUGH else pool.site.believed_s
        return replace(pool.site.capacity, seconds_per_sample=seconds_per_sample, startup_s=startup_s)

    # --- chance, and time ---

    def _render_s(self, site: Site, samples: int) -> float:
        """What so many samples take together: a gamma variate of the mean and the spread of their sum."""
        mean_s = samples * (site.capacity.seconds_per_sample or 0.0)
        if site.sample_spread < LEAST_SPREAD:
            return mean_s
        shape = samples / site.sample_spread**2
        return float(self._random.gamma(shape, mean_s / shape))

    def _at(self, seconds: float, happen: Callable[..., None], *arguments: object) -> None:
        self._number += 1
        heappush(self._events, (self.now + seconds, self._number, happen, *arguments))


def _around_1(random: np.random.Generator, spread: float) -> float:
    """A lognormal variate of mean 1."""
    if spread < LEAST_SPREAD:
        return 1.0
    sigma = math.sqrt(math.log1p(spread**2))
    return float(random.lognormal(-(sigma**2) / 2, sigma))
