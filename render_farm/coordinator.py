"""The one that keeps the pools at work.

It decides from two things only: which samples are on disk, and which attempts are alive.
What is neither on disk, nor in quarantine, nor in a live attempt is planned and handed in,
until nothing is missing. So it does not matter what was lost, nor how.
"""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby

from render_farm.cancellation import Cancellations
from render_farm.clusters import Cluster
from render_farm.disk.check import check_shard, set_aside
from render_farm.disk.failures import failure, quarantined, read_failures, record_failure
from render_farm.disk.folder import Folder, Job
from render_farm.disk.handovers import handed_over, record_handover
from render_farm.disk.journal import Attempt, read_journal, read_journals
from render_farm.disk.room import cannot_write, is_full
from render_farm.planning.balance import Load, busy, rebalance
from render_farm.planning.plan import UNTIMED_TASK, Task, plan_tasks
from render_farm.planning.speed import Speeds
from render_farm.pools import Ending, Pool
from render_farm.pools.slurm_commands import SlurmError
from render_farm.views.progress import Reporter
from render_farm.work.probe import seconds_per_sample
from render_farm.work.task import DISK, DONE, NODE, STOPPED
from semforge.errors import SemforgeError

FRUITLESS = 10  # attempts in a row that ended without a new sample on disk while none is at work, and the run gives up
HAND_INS = 10  # of one sample that every time came back not made, and the run gives up
CANCELLATIONS = 2  # of one sample, by somebody else: then it is meant
MADE_WAY = ("PREEMPTED", "TIMEOUT", "NODE_FAIL")  # Slurm's words
LONGEST_PAUSE_S = 300.0  # between two hand-ins of what failed
REFUSALS = 20  # looks in a row at which Slurm took no task while none was alive, and the run gives up


@dataclass(frozen=True)
class Fault:
    """An attempt that ended short of its samples."""

    attempt: str
    pool: str
    node: str
    problem: str
    samples: frozenset[int]  # that it was to make and that are still missing
    counts: bool  # it is a fault, and no making way for others
    fruitless: bool  # it left nothing on disk
    cancelled: bool  # by somebody else

    def __str__(self) -> str:
        where = f" on {self.node}" if self.node and not self.problem.endswith(f" on {self.node}") else ""
        return f"pool {self.pool}{where}: {self.problem}"


class RunFailed(SemforgeError):
    """Some samples could not be rendered. The message names them and their logs; the others are on disk."""


class Cancelled(SemforgeError):
    """`render-farm cancel` was called."""


class Coordinator:
    """Keeps the pools at work until every sample is on disk or given up."""

    def __init__(self, folder: Folder, job: Job, cluster: Cluster, pools: Sequence[Pool], reporter: Reporter):
        self._identity = folder.identity
        self.given_up: set[int] = set()  # samples of the job in quarantine
        self._done: set[int] = set()  # samples on disk, also beyond the job's count
        self._left = set(range(job.count))  # neither on disk nor given up
        self._folder, self._job, self._cluster, self._reporter = folder, job, cluster, reporter
        self._pools = {pool.name: pool for pool in pools}
        # Of every live attempt the samples that are still its own, by pool.
        gone = handed_over(folder)
        self._live = {
            pool.name: {a: set(task.indices) - gone.get(a, set()) for a, task in pool.adopt().items()} for pool in pools
        }
        self._adopted = {attempt for live in self._live.values() for attempt in live}
        self._queued: set[str] = set()
        self._seen: set[str] = set()  # shards that were looked at
        self._withdrawn: set[str] = set()
        self._fruitless = 0
        self._last_problem = ""
        self._came_back: Counter[int] = Counter()  # samples that an attempt ended without, through a fault
        self._cancelled: Counter[int] = Counter()  # samples of attempts that somebody else cancelled
        self._cancellations = Cancellations()
        self._not_before = 0.0  # on the clock of time.monotonic
        self._pause_s = 0.0
        self._told_of_queue = False
        self._node_failures: Counter[str] = Counter()
        self._speeds = Speeds(cluster, {pool.name: pool.slots for pool in pools})
        self._speeds.learn(read_journals(folder.journal))
        self._held_back = False
        self._accepted = {pool for pool, live in self._live.items() if live}  # pools that Slurm took a task for
        self._refusals = 0  # in a row

    @property
    def adopted(self) -> int:
        """Tasks of an earlier run that are alive."""
        return sum(len(live) for live in self._live.values())

    @property
    def needs_probe(self) -> bool:
        """Whether nobody knows what a sample takes."""
        return bool(self._left) and not any(c.seconds_per_sample for c in self._speeds.capacities())

    @property
    def not_handed_in(self) -> set[int]:
        """Missing samples that no live attempt has."""
        return self._left.difference(*(own for live in self._live.values() for own in live.values()))

    def learn_from_probe(self, found: Attempt) -> None:
        """Take a probe's samples as done, and its time as that of a task of relative speed 1."""
        self._find_shards()
        self._speeds.expect(seconds_per_sample(found))

    def begin(self, done: Collection[int]) -> None:
        """Start from what is on disk and what was given up before."""
        self._count_done(done)
        self._give_up(quarantined(read_failures(self._folder), self._job.attempts))

    def work(self) -> None:
        """Hand in, look, and hand in again until nothing is missing."""
        if not self._left:
            return
        self._reporter.rendering(self._made(), self._job.count)
        if self.adopted:
            self._reporter.note(f"{self.adopted} tasks of an earlier run are alive; following them")
        self._hand_in()
        due = False
        while self._left:
            time.sleep(self._cluster.poll_s)
            if not self._folder.is_still(self._identity):
                raise RunFailed(
                    f"{self._folder.root}: was moved or replaced while the run was at work; tasks in Slurm's queue "
                    "go on, end them with render-farm cancel at the new place"
                )
            if self._folder.cancel_mark.exists():
                self.stop()
                raise Cancelled(f"{self._folder.root}: cancelled; what is on disk is kept")
            due = self._look() or due or (self._refusals > 0 and not any(self._live.values()))
            if due and time.monotonic() >= self._not_before:
                due = False
                self._hand_in()
            self._balance()
            self._reporter.show(self._made())
        self.stop()  # slow copies of samples that are on disk by now

    def hand_in_all(self) -> dict[str, int]:
        """Hand in everything missing at once, for nobody will be there to hand in more."""
        return self._hand_in(all_at_once=True)

    def stop(self) -> None:
        """End all tasks but those that have said that they are done."""
        spare = [a for live in self._live.values() for a in live if self._has_ended(a)]
        for pool in self._pools.values():
            try:
                pool.stop(spare)
            except SlurmError as error:
                self._reporter.note(f"{error}; tasks of pool {pool.name} go on, end them with render-farm cancel")

    def leave(self) -> None:
        """Go; processes of this machine end, what is in Slurm's queue goes on."""
        for pool in self._pools.values():
            pool.leave()

    def _has_ended(self, attempt: str) -> bool:
        journal = None if attempt in self._queued else self._journal(attempt)
        return journal is not None and journal.ended is not None

    def _journal(self, attempt: str) -> Attempt | None:
        """What an attempt has written since it last began; None if it has not begun."""
        written = read_journal(self._folder.journal_path(attempt))
        return written[-1] if written else None

    def _count_done(self, indices: Collection[int]) -> None:
        self._done.update(indices)
        self._left.difference_update(indices)

    def _give_up(self, indices: Iterable[int]) -> None:
        given_up = self._left.intersection(indices)
        self.given_up |= given_up
        self._left -= given_up

    def _hand_in(self, all_at_once: bool = False) -> dict[str, int]:
        """Plan and submit the missing samples that no live attempt has; returns tasks by pool."""
        todo = sorted(self.not_handed_in)
        capacities = busy(self._loads())
        untimed = not any(capacity.seconds_per_sample for capacity in capacities)
        at_first = sum(capacity.slots for capacity in capacities) * UNTIMED_TASK[1]
        # While nobody knows what a sample takes, a first task a slot finds out; planned by time is planned better.
        self._held_back = untimed and not all_at_once and len(todo) > at_first
        if self._held_back:
            todo = todo[: max(0, at_first - (len(self._left) - len(todo)))]
        if not todo:
            return {}
        plan = plan_tasks(todo, capacities)
        handed_in = dict.fromkeys(plan, 0)
        for name, tasks in plan.items():
            if tasks:
                handed_in[name] = self._submit(name, tasks)
        return handed_in

    def _submit(self, pool: str, tasks: Sequence[Task]) -> int:
        """Hand in as many of the tasks as Slurm takes now; the others are planned again later."""
        try:
            submitted = self._pools[pool].submit(tasks)
        except SlurmError as error:
            self._refusals += 1
            # At first it is the settings that are wrong; later the site has a limit, or the controller a break.
            if pool not in self._accepted or (self._refusals > REFUSALS and not any(self._live.values())):
                raise
            if self._refusals == 1:
                self._reporter.note(f"{error}; trying again")
            return 0
        if len(submitted) == len(tasks):
            self._refusals = 0
        else:
            self._refusals += 1
        self._accepted.add(pool)
        self._live[pool] |= {attempt: set(task.indices) for attempt, task in submitted.items()}
        self._queued |= set(submitted)
        return len(submitted)

    def _look(self) -> bool:
        """Take note of what ended and what is on disk now; True if there may be something to hand in."""
        ended: dict[str, list[str]] = {}
        self._queued = set()
        for name, pool in self._pools.items():
            alive = pool.look()
            if alive is None:
                self._queue_is_silent()
                continue
            self._queued |= {attempt for attempt, state in alive.items() if state == "queued"}
            ended[name] = [attempt for attempt in self._live[name] if attempt not in alive]
        before = len(self._done)
        self._find_shards()
        faults: list[Fault] = []
        for name, attempts in ended.items():
            endings = self._pools[name].endings(attempts)
            faults += [
                fault for attempt in attempts if (fault := self._end(name, attempt, endings.get(attempt))) is not None
            ]
        self._weigh(faults, progress=len(self._done) > before)
        learned = self._learn()
        return any(ended.values()) or (self._held_back and learned)

    def _queue_is_silent(self) -> None:
        if not self._told_of_queue:
            self._told_of_queue = True
            self._reporter.note("Slurm's queue cannot be asked; waiting until it can")

    def _weigh(self, faults: Sequence[Fault], progress: bool) -> None:
        """Tell of attempts that ended short of their samples, and see whether it makes sense to go on."""
        for text, alike in groupby(sorted(faults, key=str), key=str):
            found = list(alike)
            count = f" ({len(found)} tasks)" if len(found) > 1 else ""
            samples = sum(len(fault.samples) for fault in found)
            self._reporter.note(f"{text}{count}; {samples} samples go to another attempt")
        for fault in faults:
            (self._cancelled if fault.cancelled else self._came_back).update(fault.samples if fault.counts else ())
        self._stop_if_told_to(faults)
        wrong = [fault for fault in faults if fault.counts and not fault.cancelled]
        if wrong:
            self._last_problem = f"{wrong[-1]} (log: {self._folder.log_path(wrong[-1].attempt)})"
            self._pause_s = min(LONGEST_PAUSE_S, max(self._cluster.poll_s, 2 * self._pause_s))
            self._not_before = time.monotonic() + (self._pause_s if self._pause_s > self._cluster.poll_s else 0.0)
        elif progress:
            self._pause_s = 0.0
        self._fruitless = 0 if progress else self._fruitless + sum(fault.fruitless for fault in wrong)
        at_work = any(self._speeds.made.get(attempt) for live in self._live.values() for attempt in live)
        if self._fruitless >= FRUITLESS and not at_work:
            self.stop()
            raise RunFailed(
                f"the last {self._fruitless} tasks ended without a sample; the last one: {self._last_problem}"
            )
        if hopeless := [index for index, times in self._came_back.items() if times >= HAND_INS and index in self._left]:
            self.stop()
            raise RunFailed(
                f"sample {hopeless[0]} came back not made from {HAND_INS} attempts; the last one: {self._last_problem}"
            )

    def _stop_if_told_to(self, faults: Sequence[Fault]) -> None:
        """Somebody who cancels all tasks, or the same samples again, means it."""
        cancelled = [fault for fault in faults if fault.cancelled]
        live = {attempt for own in self._live.values() for attempt in own}
        everything = self._cancellations.all_struck({fault.attempt for fault in cancelled}, live, time.monotonic())
        again = any(times >= CANCELLATIONS for index, times in self._cancelled.items() if index in self._left)
        if cancelled and (everything or again):
            self.stop()
            raise Cancelled(
                f"{self._folder.root}: its tasks were cancelled ({cancelled[-1].problem}); what is on disk is kept, "
                f"go on with render-farm resume {self._folder.root}"
            )

    def _find_shards(self) -> None:
        for shard in self._folder.shards_on_disk():
            if shard.name not in self._seen:
                self._seen.add(shard.name)
                if not self._done.issuperset(shard.indices):
                    # Quick: the task that wrote it has read it back.
                    state = check_shard(self._folder, self._job, shard, deep=False)
                    if state.problem is None:
                        self._count_done(shard.indices)
                    else:
                        self._reporter.note(set_aside(state))
                        self._seen.discard(shard.name)

    def _end(self, pool: str, attempt: str, ending: Ending | None) -> Fault | None:
        """Find out why an attempt ended short of its samples, and whom it counts against; None if it did not."""
        own = self._live[pool].pop(attempt)
        journal = self._journal(attempt)
        self._give_up(quarantined(read_failures(self._folder, own), self._job.attempts))
        self._speeds.learn([journal] if journal else [])
        left = own & self._left
        if attempt in self._withdrawn or not left:
            return None
        why = journal.why if journal else ""
        # Of a task of an earlier run it was the disk of then.
        if (why.startswith(DISK) and attempt not in self._adopted) or is_full(self._folder):
            self.stop()
            raise cannot_write(self._folder, why.removeprefix(f"{DISK}: ") or "no space left")
        told = ending.problem if ending else "ended, nobody knows why"
        problem = told if why in ("", STOPPED) else why
        node = journal.node if journal else ending.node if ending else ""
        if why.startswith(NODE) and self._cluster.pools[pool].engine == "local":
            self.stop()
            raise RunFailed(f"{problem.removeprefix(f'{NODE}: ')} (log: {self._folder.log_path(attempt)})")
        began = journal is not None and journal.ready is not None
        if why.startswith(NODE) or (ending and (ending.blame == "node" or (ending.blame == "sample" and not began))):
            self._blame_node(node, problem)
        elif not why and ending and ending.blame == "sample" and journal:
            self._blame_sample(own, journal, ending.problem)
        elif journal and why not in ("", DONE, STOPPED):
            self._blame_sample(own, journal, why)
        return Fault(
            attempt, pool, node, problem, frozenset(own & self._left),
            counts=not _was_told_to_go(why, ending), fruitless=not (journal and journal.shards),
            cancelled=ending is not None and ending.cancelled,
        )  # fmt: skip

    def _blame_node(self, node: str, problem: str) -> None:
        self._node_failures[node] += 1
        if node and self._node_failures[node] == self._cluster.node_failures:
            self._reporter.note(f"{node}: failed {self._node_failures[node]} times ({problem}); it gets no more tasks")
            for pool in self._pools.values():
                pool.avoid([node])

    def _blame_sample(self, own: set[int], journal: Attempt, problem: str) -> None:
        """A task died with its renderer: the first sample that it had not made was under way.

        That is known of a task with one renderer that took its samples in order; of another it would be a guess.
        """
        if journal.processes > 1 or journal.failures:
            return
        under_way = [index for index in sorted(own & self._left) if index not in journal.samples]
        if under_way:
            record_failure(self._folder, under_way[0], failure(journal.node, journal.id, problem))
            self._give_up(quarantined(read_failures(self._folder, under_way[:1]), self._job.attempts))

    def _learn(self) -> bool:
        """Take what live attempts have measured by now; True if speeds are known that were not before."""
        running = [a for live in self._live.values() for a in live if a not in self._queued]
        return self._speeds.learn(journal for attempt in running if (journal := self._journal(attempt)) is not None)

    def _loads(self) -> list[Load]:
        loads = []
        for capacity in self._speeds.capacities():
            live = self._live[capacity.pool]
            waiting = (own & self._left for attempt, own in live.items() if attempt in self._queued)
            queued = [Task.of(left) for left in waiting if left]  # a task that was requeued has done some
            running = {a: Task.of(left) for a, left in self._running(capacity.pool).items() if left}
            timed = capacity.seconds_per_sample is not None
            paces = tuple(self._speeds.pace(attempt, capacity) for attempt in running) if timed else ()
            loads.append(Load(capacity, tuple(queued), tuple(running.values()), paces))
        return loads

    def _running(self, pool: str) -> dict[str, set[int]]:
        """The running attempts of a pool with the samples that each has not made yet."""
        return {
            attempt: own - self._done - self._speeds.made.get(attempt, set())
            for attempt, own in self._live[pool].items()
            if attempt not in self._queued
        }

    def _balance(self) -> None:
        """Take back queued tasks and the ends of running ones where that ends the run sooner."""
        if self._held_back:
            return
        moves = rebalance(self._loads())
        for name in moves.withdraw:
            queued = [attempt for attempt in self._live[name] if attempt in self._queued]
            with suppress(SlurmError):  # they are in the queue at the next look, too
                self._pools[name].withdraw(queued)
                self._withdrawn |= set(queued)
        for move in moves.handovers:
            attempt = [name for name, left in self._running(move.from_pool).items() if left][move.position]
            given = set(move.task.indices)
            record_handover(self._folder, attempt, move.task, move.to_pool)
            self._live[move.from_pool][attempt] -= given
            self._submit(move.to_pool, [move.task])

    def _made(self) -> int:
        """Samples on disk and in the memory of live tasks."""
        in_memory = set[int]().union(*self._speeds.made.values())
        return self._job.count - len(self._left) - len(self.given_up) + len(in_memory & self._left)


def _was_told_to_go(why: str, ending: Ending | None) -> bool:
    """Whether an attempt made way for another job: on a busy site that happens to many at once."""
    if ending is None:
        return why == STOPPED
    return not ending.cancelled and (why == STOPPED or ending.problem.startswith(MADE_WAY))
