from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from render_farm.plan import Shard, default_shard_size, plan_shards

counts = st.integers(1, 200)
sizes = st.integers(1, 50)
done_sets = st.sets(st.integers(0, 250))


@given(counts, done_sets, sizes)
def test_every_missing_sample_is_planned_once_and_no_other(count: int, done: set[int], size: int) -> None:
    planned = [index for shard in plan_shards(count, done, size) for index in shard.indices]
    assert planned == [index for index in range(count) if index not in done]


@given(counts, done_sets, sizes)
def test_shards_are_no_larger_than_asked_and_no_smaller_than_needed(count: int, done: set[int], size: int) -> None:
    shards = plan_shards(count, done, size)
    assert all(1 <= len(shard) <= size for shard in shards)
    for left, right in pairwise(shards):
        assert left.stop < right.start or len(left) == size


@given(st.integers(0, 10_000_000), sizes)
def test_a_name_says_which_samples_a_shard_holds(start: int, length: int) -> None:
    shard = Shard(start, start + length)
    assert Shard.from_name(shard.name) == shard
    assert shard.name.endswith(f"-{shard.indices[-1]:06d}")


@given(st.sampled_from(["", "samples_000000", "samples_000007-000003", "samples_0-7", "samples_0000000-0000007", "x"]))
def test_other_names_are_no_shards(name: str) -> None:
    assert Shard.from_name(name) is None


@given(counts, st.integers(1, 64))
def test_default_size_gives_every_worker_work_if_there_is_any(count: int, workers: int) -> None:
    size = default_shard_size(count, workers)
    shards = plan_shards(count, (), size)
    assert size >= 1 and size <= 8
    assert len(shards) >= min(count, workers) / 2
