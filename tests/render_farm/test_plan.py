import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from render_farm.planning.balance import Load, finish_s
from render_farm.planning.plan import (
    UNTIMED_TASK,
    Capacity,
    Shard,
    Task,
    plan_tasks,
    sample_seconds,
    shards_of,
    shares,
    spans,
    task_sizes,
)

counts = st.integers(0, 5000)
indices = st.sets(st.integers(0, 500))
capacities = st.builds(
    Capacity,
    pool=st.just("a"),
    slots=st.integers(1, 40),
    seconds_per_sample=st.none() | st.floats(0.02, 200.0),
    startup_s=st.floats(0.0, 60.0),
    longest_s=st.floats(10.0, 3600.0),
    most_samples=st.none() | st.integers(1, 300),
    relative_speed=st.floats(0.1, 10.0),
    busy_s=st.floats(0.0, 5000.0),
)
timed = capacities.map(lambda pool: replace(pool, seconds_per_sample=pool.seconds_per_sample or 1.0))


def named(pools: list[Capacity]) -> list[Capacity]:
    return [replace(pool, pool=name) for pool, name in zip(pools, "abcdef", strict=False)]


some_pools = st.lists(capacities, min_size=1, max_size=5).map(named)
timed_pools = st.lists(timed, min_size=1, max_size=5).map(named)


def begin_s(pool: Capacity) -> float:
    return pool.busy_s + pool.startup_s


def common_end(count: int, pools: list[Capacity]) -> float:
    """When `count` samples are made if work is divided at will: bisection, another way than the planner's."""
    early, late = 0.0, max(map(begin_s, pools)) + count * max(pool.seconds_per_sample for pool in pools)
    for _ in range(200):
        middle = (early + late) / 2
        made = sum(max(0.0, middle - begin_s(pool)) * pool.slots / pool.seconds_per_sample for pool in pools)
        early, late = (middle, late) if made < count else (early, middle)
    return late


# --- which samples go where ---


@given(indices, some_pools)
def test_every_sample_is_planned_once_and_no_other(samples: set[int], pools: list[Capacity]) -> None:
    plan = plan_tasks(samples, pools)
    planned = [index for tasks in plan.values() for task in tasks for index in task.indices]
    assert sorted(planned) == sorted(samples)
    assert list(plan) == [pool.pool for pool in pools]
    assert all(len(task) for tasks in plan.values() for task in tasks)


@given(counts, some_pools)
def test_shares_are_whole_and_sum_to_the_count(count: int, pools: list[Capacity]) -> None:
    found = shares(count, pools)
    assert sum(found) == count
    assert all(isinstance(share, int) and share >= 0 for share in found)


@given(counts, timed_pools)
def test_all_pools_end_together_but_for_a_sample(count: int, pools: list[Capacity]) -> None:
    end_s = common_end(count, pools)
    for pool, share in zip(pools, shares(count, pools), strict=True):
        exact = max(0.0, end_s - begin_s(pool)) * pool.slots / pool.seconds_per_sample
        assert abs(share - exact) < 1 + 1e-6


@given(counts, st.lists(timed, min_size=2, max_size=2).map(named))
def test_a_pool_that_begins_after_the_rest_has_made_all_gets_nothing(count: int, pools: list[Capacity]) -> None:
    free, late = replace(pools[0], busy_s=0.0), replace(pools[1], busy_s=0.0)
    alone_s = free.startup_s + count * free.seconds_per_sample / free.slots
    assert shares(count, [free, replace(late, busy_s=alone_s + 1.0)]) == [count, 0]
    assert shares(count, [free, replace(late, startup_s=alone_s + 1.0)]) == [count, 0]


def test_a_pool_gets_samples_as_its_speed_and_slots_say() -> None:
    slow, fast = Capacity("slow", 4, 8.0), Capacity("fast", 4, 1.0)
    assert shares(900, [slow, fast]) == [100, 800]
    assert shares(900, [replace(slow, slots=32), fast]) == [450, 450]
    # Fast begins 100 s later, when slow has made 50; then they share as before.
    assert shares(950, [slow, replace(fast, busy_s=100.0)]) == [150, 800]
    assert shares(950, [replace(slow, startup_s=0.0), replace(fast, startup_s=100.0)]) == [150, 800]


def test_no_pool_is_an_error() -> None:
    with pytest.raises(ValueError, match="no pool"):
        plan_tasks(range(3), [])


def test_a_speed_that_is_not_known_follows_from_one_that_is() -> None:
    known, unknown = Capacity("a", 1, 6.0, relative_speed=0.5), Capacity("b", 1, relative_speed=2.0)
    assert sample_seconds([known, unknown]) == [6.0, 1.5]
    assert shares(500, [known, unknown]) == [100, 400]
    assert shares(500, [replace(known, seconds_per_sample=None), unknown]) == [100, 400]


# --- how large tasks are ---


@given(counts, capacities)
def test_tasks_sum_to_the_count_and_get_no_larger(count: int, pool: Capacity) -> None:
    sizes = task_sizes(count, pool)
    assert sum(sizes) == count
    assert all(sizes)
    assert all(before >= after for before, after in pairwise(sizes))


@given(counts, capacities)
def test_no_task_is_larger_or_longer_than_allowed(count: int, pool: Capacity) -> None:
    for size in task_sizes(count, pool):
        assert size <= (pool.most_samples or size)
        if pool.seconds_per_sample is None:
            assert size <= UNTIMED_TASK[1]
        else:
            assert size == 1 or size * pool.seconds_per_sample <= pool.longest_s


@given(counts, timed)
def test_starting_takes_no_longer_than_rendering(count: int, pool: Capacity) -> None:
    pool = replace(pool, most_samples=None, longest_s=1e9)
    a_start = max(1, round(pool.startup_s / pool.seconds_per_sample))  # in samples
    assert len(task_sizes(count, pool)) <= 1 + count / a_start


@given(counts, timed)
def test_without_a_start_up_the_slots_end_within_a_sample_of_each_other(count: int, pool: Capacity) -> None:
    pool = replace(pool, startup_s=0.0, busy_s=0.0, most_samples=None)
    tasks, begin = [], 0
    for size in task_sizes(count, pool):
        tasks.append(Task((Shard(begin, begin + size),)))
        begin += size
    assert finish_s(Load(pool, tuple(tasks))) == pytest.approx(math.ceil(count / pool.slots) * pool.seconds_per_sample)


def test_tasks_halve_what_is_left_until_they_would_hardly_pay_their_start() -> None:
    # Two slots, a start-up worth 10 samples: 160 of 640 each, then 80, 40, and the 80 that are left evenly.
    assert task_sizes(640, Capacity("a", 2, 1.0, startup_s=10.0)) == [160, 160, 80, 80, 40, 40, 40, 40]
    assert task_sizes(640, Capacity("a", 2, 1.0, startup_s=10.0, longest_s=100.0))[:3] == [100, 100, 100]


# --- names ---


@given(indices)
def test_spans_are_the_runs_of_the_indices(samples: set[int]) -> None:
    found = spans(samples)
    assert [index for span in found for index in span.indices] == sorted(samples)
    assert all(before.stop < after.start for before, after in pairwise(found))


@given(indices, st.integers(1, 50))
def test_shards_hold_all_indices_and_are_no_larger_than_asked(samples: set[int], size: int) -> None:
    shards = shards_of(samples, size)
    assert [index for shard in shards for index in shard.indices] == sorted(samples)
    assert all(1 <= len(shard) <= size for shard in shards)
    for before, after in pairwise(shards):
        assert before.stop < after.start or len(before) == size


@given(indices.filter(bool))
def test_a_task_reads_back_as_it_is_written(samples: set[int]) -> None:
    task = Task.of(samples)
    assert Task.parse(str(task)) == task
    assert len(task) == len(samples)
    assert task.indices == sorted(samples)


def test_a_task_is_written_as_its_first_and_last_indices() -> None:
    assert str(Task.of([3, 0, 1, 2, 7, 9, 10])) == "0-3,7,9-10"


@pytest.mark.parametrize("text", ["", "x", "3-1", "1,", "-4", "0-3,2", "0-3,4-5", "5,1", "1 - 2"])
def test_other_texts_are_no_tasks(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Task.parse(text)


@given(st.integers(0, 10_000_000), st.integers(1, 50))
def test_a_name_says_which_samples_a_shard_holds(start: int, length: int) -> None:
    shard = Shard(start, start + length)
    assert Shard.from_name(shard.name) == shard
    assert shard.name.endswith(f"-{shard.indices[-1]:06d}")


@pytest.mark.parametrize(
    "name", ["", "samples_000000", "samples_000007-000003", "samples_0-7", "samples_0000000-0000007", "x"]
)
def test_other_names_are_no_shards(name: str) -> None:
    assert Shard.from_name(name) is None
