from dataclasses import replace

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from render_farm.planning.balance import (
    GAIN,
    STARTUPS,
    Handover,
    Load,
    Moves,
    apply,
    busy,
    finish_s,
    rebalance,
    split_last,
)
from render_farm.planning.plan import Capacity, Shard, Task, plan_tasks


def pool(name: str, slots: int, seconds: float | None, startup_s: float = 4.0, **values: float) -> Capacity:
    return Capacity(name, slots, seconds, startup_s, **values)


def tasks(start: int, *sizes: int) -> tuple[Task, ...]:
    found = []
    for size in sizes:
        found.append(Task((Shard(start, start + size),)))
        start += size
    return tuple(found)


def samples(loads: list[Load]) -> list[int]:
    return sorted(i for load in loads for task in (*load.queued, *load.running) for i in task.indices)


def end_s(loads: list[Load]) -> float:
    return max(finish_s(load) for load in loads)


@st.composite
def pools_at_work(draw: st.DrawFn, known: bool = True) -> list[Load]:
    """Pools with queued and running tasks of any sizes, balanced or not; samples are disjoint."""
    loads, start = [], 0
    for name in "abcd"[: draw(st.integers(1, 4))]:
        seconds = draw(st.floats(0.05, 100.0))
        if not known and draw(st.booleans()):
            seconds = None
        capacity = Capacity(
            name, draw(st.integers(1, 6)), seconds, draw(st.floats(0.0, 60.0)), draw(st.floats(30.0, 900.0)),
            draw(st.none() | st.integers(1, 50)), draw(st.floats(0.1, 10.0)),
        )  # fmt: skip
        sizes = st.integers(1, 200)
        queued = tasks(start, *draw(st.lists(sizes, max_size=12)))
        start += sum(map(len, queued))
        running = tasks(start, *draw(st.lists(sizes, max_size=capacity.slots)))
        start += sum(map(len, running))
        paces = ()
        if seconds is not None and draw(st.booleans()):
            paces = tuple(seconds * draw(st.floats(0.3, 10.0)) for _ in running)
        loads.append(Load(capacity, queued, running, paces))
    return loads


@given(pools_at_work())
def test_a_second_look_at_once_finds_nothing_more_to_move(loads: list[Load]) -> None:
    moves = rebalance(loads)
    event(f"withdraw: {bool(moves.withdraw)}, hand over: {bool(moves.handovers)}")
    assert not rebalance(apply(loads, moves))


@given(pools_at_work(known=False))
def test_a_second_look_finds_nothing_more_where_speeds_are_guessed(loads: list[Load]) -> None:
    moves = rebalance(loads)
    event(f"withdraw: {bool(moves.withdraw)}, hand over: {bool(moves.handovers)}")
    assert not rebalance(apply(loads, moves))


@given(pools_at_work())
def test_moves_lose_no_sample_and_give_none_twice(loads: list[Load]) -> None:
    assert samples(apply(loads, rebalance(loads))) == samples(loads)


@given(pools_at_work())
def test_moves_never_make_the_run_longer(loads: list[Load]) -> None:
    assert end_s(apply(loads, rebalance(loads))) <= end_s(loads) * (1 + 1e-9)


@given(pools_at_work())
def test_handovers_gain_more_than_they_cost(loads: list[Load]) -> None:
    moves = rebalance(loads)
    settled = apply(loads, Moves(moves.withdraw))
    gain = end_s(settled) - end_s(apply(settled, Moves(handovers=moves.handovers)))
    if moves.handovers:
        assert gain >= GAIN * end_s(settled) * (1 - 1e-9)
        assert gain >= STARTUPS * max(load.capacity.startup_s for load in loads) * (1 - 1e-9)


@given(pools_at_work())
def test_who_takes_a_part_is_done_before_the_giver_would_have_been(loads: list[Load]) -> None:
    by_name = {load.capacity.pool: load for load in loads}
    for move in rebalance(loads).handovers:
        giver, taker = by_name[move.from_pool], by_name[move.to_pool].capacity
        pace = (giver.paces or (giver.capacity.seconds_per_sample,) * len(giver.running))[move.position]
        alone_s = len(giver.running[move.position]) * pace
        assert taker.startup_s + len(move.task) * taker.seconds_per_sample < alone_s


@given(pools_at_work())
def test_only_last_samples_of_a_running_task_are_handed_over_and_never_the_first(loads: list[Load]) -> None:
    given_away: dict[tuple[str, int], list[int]] = {}
    for move in rebalance(loads).handovers:
        given_away.setdefault((move.from_pool, move.position), []).extend(move.task.indices)
    by_name = {load.capacity.pool: load for load in loads}
    for (name, position), indices in given_away.items():
        whole = by_name[name].running[position].indices
        assert sorted(indices) == whole[len(whole) - len(indices) :]
        assert len(indices) < len(whole)


@given(pools_at_work())
def test_no_handover_to_a_slot_that_has_work(loads: list[Load]) -> None:
    moves = rebalance(loads)
    settled = apply(loads, Moves(moves.withdraw))
    for load in settled:
        taken = [move for move in moves.handovers if move.to_pool == load.capacity.pool]
        assert len(taken) <= load.free_slots


@given(pools_at_work(known=False))
def test_on_guesses_only_a_pool_without_work_makes_queued_tasks_move(loads: list[Load]) -> None:
    if all(load.capacity.seconds_per_sample is not None for load in loads):
        return
    moves = rebalance(loads)
    assert not moves.handovers
    idle = any(not load.queued and len(load.running) < load.capacity.slots for load in loads)
    assert idle or not moves.withdraw


@given(st.integers(1, 3000), st.lists(st.tuples(st.integers(1, 5), st.floats(0.1, 20.0)), min_size=1, max_size=4))
def test_what_the_planner_planned_is_left_alone(count: int, kinds: list[tuple[int, float]]) -> None:
    capacities = [pool(name, *kind) for name, kind in zip("abcd", kinds, strict=False)]
    plan = plan_tasks(range(count), capacities)
    assert not rebalance([Load(capacity, tuple(plan[capacity.pool])) for capacity in capacities]).withdraw


def test_a_pool_ends_when_its_slots_have_worked_through_its_tasks() -> None:
    load = Load(pool("a", 2, 1.0, 10.0), queued=tasks(100, 20, 5), running=tasks(0, 30, 8))
    # One slot is free after 8 s and runs 20 samples until 38 s, the other after 30 s and runs 5 until 45 s.
    assert finish_s(load) == 45.0
    assert finish_s(replace(load, running=tasks(0, 70, 8))) == 70.0  # all queued ones fit beside the long one
    assert finish_s(replace(load, paces=(2.0, 1.0))) == 60.0
    assert finish_s(Load(pool("a", 2, None))) == 0.0
    assert finish_s(Load(pool("a", 2, None), queued=tasks(0, 3))) is None


def test_busy_is_what_a_slot_has_still_to_do_on_the_average() -> None:
    load = Load(pool("a", 2, 1.0, 10.0), queued=tasks(100, 20, 5), running=tasks(0, 30, 8))
    assert [capacity.busy_s for capacity in busy([load])] == [(20 + 10 + 5 + 10 + 30 + 8) / 2]


def test_queued_tasks_go_where_the_measured_speeds_say() -> None:
    # Planned as equals; then b turns out ten times slower.
    fast, slow = pool("a", 4, 1.0), pool("b", 4, 10.0)
    loads = [Load(fast, tasks(0, *[100] * 8)), Load(slow, tasks(1000, *[100] * 8))]
    assert end_s(loads) == 2 * (4 + 1000)
    moves = rebalance(loads)
    assert moves.withdraw == {"b"}  # a keeps its place in the queue
    settled = apply(loads, moves)
    ideal = 1600 / (4 / 1.0 + 4 / 10.0)
    assert end_s(settled) < 1.15 * ideal
    assert settled[0].queued[:8] == loads[0].queued


def test_tasks_cut_small_for_want_of_a_time_are_joined_once_it_is_known() -> None:
    # 16 samples of 0.25 s a task: half of the time would be start-up.
    load = Load(pool("a", 2, 0.25), queued=tasks(0, *[16] * 200))
    assert finish_s(load) == 100 * (4 + 4)
    assert rebalance([load]).withdraw == {"a"}
    assert end_s(apply([load], rebalance([load]))) < 1.1 * 3200 * 0.25 / 2


def test_the_last_task_is_shared_among_idle_slots() -> None:
    load = Load(pool("a", 4, 1.0), running=tasks(0, 300))
    moves = rebalance([load])
    # All four end together: t + 3 (t - 4) = 300.
    assert [(move.from_pool, move.position, move.to_pool) for move in moves.handovers] == [("a", 0, "a")] * 3
    assert end_s(apply([load], moves)) == pytest.approx(78, abs=1)
    assert not moves.withdraw


def test_a_slow_node_gives_to_a_free_slot_of_its_own_pool() -> None:
    load = Load(pool("a", 2, 1.0), running=tasks(0, 100), paces=(5.0,))
    (move,) = rebalance([load]).handovers
    assert len(move.task) == pytest.approx(100 - 104 / 6, abs=1)  # it keeps k of 100: 5 k = 4 + (100 - k)


def test_no_handover_to_a_pool_whose_start_takes_longer_than_waiting() -> None:
    straggler = Load(pool("a", 1, 1.0), running=tasks(0, 100))
    assert not rebalance([straggler, Load(pool("b", 8, 0.01, startup_s=100.0))])
    # From 2 s on a slot of b renders for as long as it starts; one of them is enough.
    assert rebalance([straggler, Load(pool("b", 8, 0.01, startup_s=1.0))]).handovers == (
        Handover("a", 0, "b", Task((Shard(2, 100),))),
    )


def test_small_differences_are_left_alone() -> None:
    loads = [Load(pool("a", 1, 1.0), tasks(0, 100, 100)), Load(pool("b", 1, 1.0), tasks(500, 100, 110))]
    assert not rebalance(loads)


def test_with_unknown_speeds_an_idle_pool_gets_some_of_the_queue() -> None:
    loads = [Load(pool("a", 2, None), tasks(0, *[16] * 20)), Load(pool("b", 2, None))]
    assert rebalance(loads) == Moves(frozenset({"a"}))
    assert apply(loads, rebalance(loads))[1].queued_samples == 160
    assert not rebalance([loads[0], Load(pool("b", 2, None), tasks(900, 8, 8, 8))])


@given(st.lists(st.integers(0, 60), min_size=1, unique=True), st.data())
def test_a_task_splits_into_its_first_and_its_last_samples(indices: list[int], data: st.DataObject) -> None:
    task = Task.of(indices)
    count = data.draw(st.integers(0, len(task)))
    rest, last = split_last(task, count)
    assert len(last) == count
    assert rest.indices + last.indices == task.indices
    assert all(not part.spans or Task.parse(str(part)) == part for part in (rest, last))
