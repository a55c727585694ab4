"""Which samples go into which task. Pure: no files, no processes, no clock.

A *task* is what one worker gets: some samples, as spans of indices. A *shard* is a file of
samples, contiguous, named by the first and the last; a task writes one or several.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

STARTUP_S = 4.0  # what a renderer takes to start, until it is measured: Blender's import and the first scene
SMALLEST_TASK = 3.0  # times the start-up: below that, starting costs more than balancing gains
UNTIMED_TASK = (4, 16)  # samples in a task, least and most, while nobody knows what a sample takes


@dataclass(frozen=True, order=True)
class Shard:
    """The samples start, start + 1, ..., stop - 1."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def indices(self) -> range:
        """The sample indices, ascending."""
        return range(self.start, self.stop)

    @property
    def name(self) -> str:
        """`samples_000000-000007`: first and last index, both included."""
        return f"samples_{self.start:06d}-{self.stop - 1:06d}"

    @classmethod
    def from_name(cls, name: str) -> "Shard | None":
        """The shard of that name, or None if no shard is named so."""
        match = re.fullmatch(r"samples_(\d{6,})-(\d{6,})", name)
        if match is None:
            return None
        shard = cls(int(match[1]), int(match[2]) + 1)
        return shard if len(range(shard.start, shard.stop)) and shard.name == name else None


@dataclass(frozen=True)
class Task:
    """Samples that one worker is to render: ascending, disjoint spans that do not touch."""

    spans: tuple[Shard, ...]

    def __len__(self) -> int:
        return sum(map(len, self.spans))

    def __str__(self) -> str:
        """`0-99,105`: first and last index of each span."""
        return ",".join(f"{s.start}-{s.stop - 1}" if len(s) > 1 else f"{s.start}" for s in self.spans)

    @property
    def indices(self) -> list[int]:
        """The sample indices, ascending."""
        return [index for span in self.spans for index in span.indices]

    @classmethod
    def of(cls, indices: Iterable[int]) -> "Task":
        """The task of those samples."""
        return cls(tuple(spans(indices)))

    @classmethod
    def parse(cls, text: str) -> "Task":
        """The task that `str` wrote. Raises ValueError if it is none."""
        if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
            raise ValueError(f"{text!r}: expected samples such as 0-99,105")
        bounds = [tuple(map(int, part.split("-"))) for part in text.split(",")]
        task = cls(tuple(Shard(part[0], part[-1] + 1) for part in bounds))
        if any(not 0 <= s.start < s.stop for s in task.spans) or any(
            a.stop >= b.start for a, b in pairwise(task.spans)
        ):
            raise ValueError(f"{text!r}: expected ascending spans that do not touch, such as 0-99,105")
        return task


@dataclass(frozen=True)
class Capacity:
    """What a pool can do. Times are those of one task of it; `slots` tasks run at a time."""

    pool: str
    slots: int
    seconds_per_sample: float | None = None  # None: not known
    startup_s: float = STARTUP_S
    longest_s: float = 600.0  # a task should take, most
    most_samples: int | None = None  # in a task
    relative_speed: float = 1.0  # stands in where seconds_per_sample is not known
    busy_s: float = 0.0  # what its slots have still to do, on the average


def spans(indices: Iterable[int]) -> list[Shard]:
    """The maximal runs of consecutive indices, ascending."""
    found: list[Shard] = []
    for index in sorted(set(indices)):
        if found and found[-1].stop == index:
            found[-1] = Shard(found[-1].start, index + 1)
        else:
            found.append(Shard(index, index + 1))
    return found


def shards_of(indices: Iterable[int], shard_size: int) -> list[Shard]:
    """The indices as contiguous shards of at most `shard_size` samples."""
    return [
        Shard(first, min(first + shard_size, span.stop))
        for span in spans(indices)
        for first in range(span.start, span.stop, shard_size)
    ]


def plan_tasks(samples: Collection[int], pools: Sequence[Capacity]) -> dict[str, list[Task]]:
    """All samples as tasks of the pools, in the order in which each pool should begin them.

    Every pool gets what it can render in the time that all of them together need, in tasks
    that get shorter towards the end (each round hands out half of what is left, the
    factoring of Hummel, Schonberg and Flynn, CACM 35(8), 1992), so that one slow task at the
    end holds little up. Pools that get nothing are in the result with an empty list.
    Raises ValueError without a pool.
    """
    ordered = sorted(samples)
    plan: dict[str, list[Task]] = {}
    begin = 0
    for pool, share in zip(pools, shares(len(ordered), pools), strict=True):
        plan[pool.pool] = []
        for size in task_sizes(share, pool):
            plan[pool.pool].append(Task.of(ordered[begin : begin + size]))
            begin += size
    return plan


def shares(count: int, pools: Sequence[Capacity]) -> list[int]:
    """How many of `count` samples each pool gets for all to end at the same time; they sum to `count`.

    A pool that is busy or starting for longer than the others need for everything gets nothing.
    """
    if not pools:
        raise ValueError("no pool to plan for")
    rates = [pool.slots / seconds for pool, seconds in zip(pools, sample_seconds(pools), strict=True)]
    # Where no speed is known, times are only ratios, which a start-up cannot be added to.
    timed = any(pool.seconds_per_sample is not None for pool in pools)
    begins = [pool.busy_s + pool.startup_s * timed for pool in pools]
    end_s = _common_end(count, rates, begins)
    exact = [max(0.0, end_s - begin) * rate for begin, rate in zip(begins, rates, strict=True)]
    whole = [int(share) for share in exact]
    for position in sorted(range(len(pools)), key=lambda i: whole[i] - exact[i])[: count - sum(whole)]:
        whole[position] += 1
    return whole


def _common_end(count: int, rates: Sequence[float], begins: Sequence[float]) -> float:
    """The time at which `count` samples are made by pools that begin then."""
    end_s = work = rate = 0.0
    for begin, pool_rate in sorted(zip(begins, rates, strict=True)):
        if rate and end_s <= begin:
            break
        rate, work = rate + pool_rate, work + pool_rate * begin
        end_s = (count + work) / rate
    return end_s


def sample_seconds(pools: Sequence[Capacity]) -> list[float]:
    """Seconds a sample of each pool: as known, else from a known pool by relative speed, else only their ratios."""
    known = [p.seconds_per_sample * p.relative_speed for p in pools if p.seconds_per_sample is not None]
    at_speed_1 = sum(known) / len(known) if known else 1.0
    return [p.seconds_per_sample or at_speed_1 / p.relative_speed for p in pools]


def task_sizes(count: int, pool: Capacity) -> list[int]:
    """Samples a task, large ones first; they sum to `count`.

    Where half of what is left would make tasks that hardly pay their start-up, the rest is
    dealt out evenly, to no more slots than have at least a start-up's worth of work each.
    """
    if pool.seconds_per_sample is None:
        few, most = UNTIMED_TASK
        least = most
    else:
        startup = pool.startup_s / pool.seconds_per_sample  # in samples
        least, most, few = round(SMALLEST_TASK * startup), int(pool.longest_s / pool.seconds_per_sample), round(startup)
    most = max(1, min(most, pool.most_samples or most))
    sizes: list[int] = []
    left = count
    while left:
        size = -(-left // (2 * pool.slots))
        if size < least:
            size = -(-left // min(pool.slots, max(1, left // max(1, few))))
        for _ in range(pool.slots):
            sizes.append(min(size, most, left))
            left -= sizes[-1]
            if not left:
                break
    return sizes
