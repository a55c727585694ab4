import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from render_farm.clusters import DebugPool, LocalPool, PoolSettings, SlurmPool
from render_farm.planning.estimate import Estimate, amount, duration, estimate, gpus
from render_farm.planning.plan import Capacity, plan_tasks


def slurm(**values: object) -> SlurmPool:
    return SlurmPool(engine="slurm", **values)


def one_pool(count: int, settings: PoolSettings, capacity: Capacity, **values: object) -> Estimate:
    return estimate(count, {capacity.pool: settings}, [capacity], **{"cores": 8} | values)


def test_one_slot_takes_samples_times_seconds_and_a_start_a_task() -> None:
    capacity = Capacity("a", 1, 2.0, startup_s=10.0, most_samples=100)
    found = one_pool(1000, slurm(cpus=4, gres="gpu:a100:2", watts_per_task=500), capacity)
    (row,) = found.pools
    tasks = len(plan_tasks(range(1000), [capacity])["a"])
    seconds = 2000 + 10 * tasks
    assert (row.samples, row.tasks) == (1000, tasks)
    assert row.wall_s == pytest.approx(seconds)
    assert row.core_hours == pytest.approx(4 * seconds / 3600)
    assert row.gpu_hours == pytest.approx(2 * seconds / 3600)
    assert row.energy_kwh == pytest.approx(0.5 * seconds / 3600)
    assert found.total.wall_s == row.wall_s


def test_equal_tasks_on_slots_run_in_rounds() -> None:
    # 400 samples in tasks of at most 50 on 4 slots: two rounds of tasks, then what is cut smaller.
    capacity = Capacity("a", 4, 1.0, startup_s=0.0)
    (row,) = one_pool(400, slurm(), capacity).pools
    assert row.wall_s == pytest.approx(100, abs=1)


@given(st.integers(1, 5000), st.lists(st.tuples(st.integers(1, 40), st.floats(0.05, 30.0)), min_size=1, max_size=4))
def test_totals_are_sums_and_the_last_pool_ends_the_run(count: int, kinds: list[tuple[int, float]]) -> None:
    capacities = [Capacity(name, *kind) for name, kind in zip("abcd", kinds, strict=False)]
    found = estimate(count, {c.pool: slurm(gres="gpu") for c in capacities}, capacities, cores=2, largest_array=7)
    assert found.total.samples == count == sum(row.samples for row in found.pools)
    assert found.total.wall_s == max(row.wall_s for row in found.pools)
    for name in ("tasks", "arrays", "core_hours", "gpu_hours", "energy_kwh"):
        assert getattr(found.total, name) == pytest.approx(sum(getattr(row, name) for row in found.pools))
    for row in found.pools:
        assert 7 * (row.arrays - 1) < row.tasks <= 7 * row.arrays
    ideal_s = count / sum(capacity.slots / capacity.seconds_per_sample for capacity in capacities)
    assert found.total.wall_s >= ideal_s * (1 - 1e-9)


def test_a_pool_without_a_time_is_judged_by_its_relative_speed_and_that_is_said() -> None:
    known, unknown = Capacity("a", 1, 4.0), Capacity("b", 1, relative_speed=2.0)
    pools = {"a": slurm(), "b": slurm()}
    found = estimate(300, pools, [known, unknown], cores=2, measured={"a"})
    assert [row.seconds_per_sample for row in found.pools] == [4.0, 2.0]
    assert [row.samples for row in found.pools] == [100, 200]
    assert "b: time a sample from others', by relative_speed 2, not measured" in found.assumes
    assert not any(text.startswith("a: time") for text in found.assumes)


def test_without_any_time_nothing_is_said_that_depends_on_it() -> None:
    found = one_pool(100, slurm(), Capacity("a", 4))
    assert (found.total.samples, found.total.tasks) == (100, len(plan_tasks(range(100), [Capacity("a", 4)])["a"]))
    assert found.total.wall_s is found.total.core_hours is found.total.gpu_hours is found.total.energy_kwh is None
    assert found.assumes[0].startswith("no pool's time a sample is known")


def test_a_time_from_the_cluster_file_is_named_as_that() -> None:
    found = one_pool(100, slurm(seconds_per_sample=3.0), Capacity("a", 4, 3.0))
    assert "a: seconds_per_sample 3 is the cluster file's, not measured" in found.assumes


def test_local_tasks_share_the_cores_and_are_no_arrays() -> None:
    (row,) = one_pool(100, LocalPool(), Capacity("a", 4, 36.0, startup_s=0.0), cores=8).pools
    assert row.arrays == 0
    assert row.core_hours == pytest.approx(2 * 1.0)
    (row,) = one_pool(100, DebugPool(engine="debug"), Capacity("a", 1, 36.0, startup_s=0.0), cores=8).pools
    assert row.core_hours == pytest.approx(8 * 1.0)


@pytest.mark.parametrize(
    ("gres", "count"),
    [(None, 0), ("gpu", 1), ("gpu:2", 2), ("gpu:a100", 1), ("gpu:a100:2", 2), ("shard:4", 0), ("gpu:1,gpu:v100:2", 3)],
)
def test_gpus_of_a_task(gres: str | None, count: int) -> None:
    assert gpus(slurm(gres=gres)) == count
    assert gpus(LocalPool(device="cuda")) == 0


def text_of(found: Estimate, width: int) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(found)
    return console.file.getvalue()


def test_it_reads_as_a_table_and_as_json() -> None:
    found = one_pool(1000, slurm(cpus=4), Capacity("cpu", 4, 36.0, startup_s=0.0))
    rows = {line.split()[0]: line.split()[1:] for line in text_of(found, 100).splitlines() if line.strip()}
    assert rows["pool"] == ["cpu", "all"] and rows["samples"] == ["1000", "1000"]
    assert rows["tasks"] == [str(found.total.tasks)] * 2 and rows["arrays"] == ["1", "1"]
    assert rows["wall"] == ["time", *(2 * ["2", "h", "30", "min"])] and rows["core-h"] == ["40.0", "40.0"]
    assert json.loads(found.to_json())["pools"][0]["samples"] == 1000


def test_no_digit_of_a_million_samples_is_lost_in_80_columns() -> None:
    pools = {name: slurm(cpus=8, gres="gpu:2") for name in ("cpu", "cpu-long", "gpu-a100")}
    found = estimate(1_000_000, pools, [Capacity(name, 64, 123.45) for name in pools], cores=8)
    text = text_of(found, 80)
    assert "…" not in text
    for row in (*found.pools, found.total):
        for figure in (row.pool, str(row.samples), str(row.tasks), f"{row.core_hours:.1f}", duration(row.wall_s)):
            assert figure in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (0.00432, "0.0043"),
        (0.05, "0.050"),
        (0.1, "0.10"),
        (0.999, "1.00"),
        (1.0, "1.0"),
        (276_543.21, "276543.2"),
    ],
)
def test_small_amounts_keep_two_digits(value: float, text: str) -> None:
    assert amount(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "not known"), (8.24, "8.2 s"), (59.96, "1 min 00 s"), (750, "12 min 30 s"), (3599.7, "1 h 00 min"),
     (11_100, "3 h 05 min"), (360_000, "100 h 00 min")],
)  # fmt: skip
def test_durations_read_as_people_say_them(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text
