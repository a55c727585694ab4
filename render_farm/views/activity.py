"""Which attempts are at work, and how fast a pool is now. Pure: what the files and the queue say comes in."""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from render_farm.disk.journal import Attempt
from render_farm.pools import Alive
from render_farm.pools.slurm_commands import QueuedTask
from render_farm.pools.submissions import Submitted

WINDOW_S = 300.0  # "now", for rates
SILENT_S = 600.0  # where the queue cannot be asked, an attempt that wrote nothing for so long does not run


def latest(attempts: Iterable[Attempt]) -> dict[str, Attempt]:
    """Of each journal the last attempt: a task that Slurm requeued has several."""
    return {attempt.id: attempt for attempt in attempts}


def alive(
    submitted: Sequence[Submitted],
    attempts: Sequence[Attempt],
    queue: Mapping[str, QueuedTask] | None,
    run_since: float | None,
    now: float,
) -> dict[str, Alive]:
    """The attempts that run or wait, by id.

    Of Slurm's tasks the queue tells; where it cannot be asked (None), an attempt without an
    end runs as long as its journal is fresh, and nobody knows what waits. The processes of a
    local run end with it: they are alive if it is, and if they are its own. `run_since` is when
    the run that holds the folder took it (0: not known), None if nobody holds it.
    """
    journals = latest(attempts)
    found: dict[str, Alive] = {}
    for id, task in (queue or {}).items():
        if task.alive:
            found[id] = "queued" if task.waits else "running"
    for id, attempt in journals.items():
        if attempt.ended is not None:
            continue
        if attempt.engine != "slurm":
            if run_since is not None and attempt.began >= run_since:
                found[id] = "running"
        elif queue is None and now - attempt.last < SILENT_S:
            found[id] = "running"
    if run_since is not None:
        found |= dict.fromkeys(_waiting_locally(submitted, journals, run_since), "queued")
    return found


def failed(attempt: Attempt, is_alive: bool) -> bool:
    """Whether an attempt ended otherwise than by finishing or by being asked to stop."""
    return not is_alive if attempt.ended is None else attempt.why not in ("done", "stopped")


def rate(attempts: Sequence[Attempt], running: Collection[str], now: float) -> float:
    """Samples a second of a pool's attempts over the last minutes; 0 if none of them runs.

    Time in which no attempt was at work does not count, so the rate of a run that was just resumed is its own.
    """
    if not running:
        return 0.0
    begin = now - max(WINDOW_S, 3 * (seconds_per_sample(attempts) or 0.0))
    journals = latest(attempts)
    finished, spans = 0, []
    for attempt in attempts:
        runs = attempt.id in running and attempt is journals[attempt.id]
        if attempt.last >= begin or runs:
            finished += sum(begin < t <= now for t in attempt.finished.values())
            spans.append((max(attempt.began, begin), now if runs else attempt.last))
    busy_s = covered(spans)
    return finished / busy_s if busy_s > 0 else 0.0


def seconds_per_sample(attempts: Iterable[Attempt]) -> float | None:
    """Mean seconds that a renderer took for a sample; None before the first."""
    count, seconds = 0, 0.0
    for attempt in attempts:
        count, seconds = count + len(attempt.samples), seconds + attempt.sample_s
    return seconds / count if count else None


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals; those that end before they begin are empty."""
    length, reached = 0.0, float("-inf")
    for begin, end in sorted(intervals):
        if end > reached and end > begin:
            length += end - max(begin, reached)
            reached = end
    return length


def time_of(local_time: str) -> float:
    """Seconds since 1970 of `2026-11-21 14:02:50` on this machine's clock; 0 if it is no such text."""
    try:
        return time.mktime(time.strptime(local_time, "%Y-%m-%d %H:%M:%S"))
    except (ValueError, OverflowError):
        return 0.0


def _waiting_locally(submitted: Sequence[Submitted], journals: Collection[str], run_since: float) -> Iterator[str]:
    """Tasks that the run keeps for its own processes.

    It hands a sample in again only after it took the earlier task back, so the last one has it.
    """
    claimed: set[int] = set()
    for one in reversed(submitted):
        if one.t < run_since:
            return
        first = one.task.spans[0].start
        if one.engine != "slurm" and one.attempt not in journals and first not in claimed:
            yield one.attempt
        claimed.update(one.task.indices)
