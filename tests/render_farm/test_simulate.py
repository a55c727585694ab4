import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from rich.console import Console

from render_farm.clusters import Cluster, load_cluster
from render_farm.planning.estimate import estimate
from render_farm.planning.plan import STARTUP_S, Capacity
from render_farm.planning.queue_model import USES
from render_farm.planning.simulate import NOTHING_HAPPENS, Chances, load_chances, model_of, simulate
from semforge.errors import InputError, SemforgeError

CALM = Chances(**NOTHING_HAPPENS, startup_s=STARTUP_S)
EIGHTFOLD = Path(__file__).parents[2] / "configs/clusters/eightfold.yaml"


def cluster(**pools: dict[str, object]) -> Cluster:
    return Cluster.model_validate({"pools": {name: {"engine": "slurm"} | pool for name, pool in pools.items()}})


def calm(**changes: object) -> Chances:
    return Chances(**{**CALM.model_dump(), **changes})


rough = st.builds(
    Chances,
    seconds_per_sample=st.floats(0.1, 30.0),
    speeds_known=st.booleans(),
    sample_spread=st.floats(0.0, 2.0),
    node_spread=st.floats(0.0, 0.5),
    tasks_per_node=st.integers(1, 8),
    startup_s=st.floats(0.0, 60.0),
    latency_s=st.floats(0.0, 60.0),
    task_failures_per_hour=st.floats(0.0, 5.0),
    preemptions_per_hour=st.floats(0.0, 5.0),
    preempted_min=st.floats(0.0, 60.0),
    node_failures_per_day=st.floats(0.0, 24.0),
    repair_h=st.floats(0.0, 2.0),
)
clusters = st.lists(
    st.fixed_dictionaries(
        {"parallel": st.integers(1, 12), "relative_speed": st.floats(0.2, 10.0), "time_min": st.integers(15, 60)}
    ),
    min_size=1,
    max_size=4,
).map(lambda pools: cluster(**dict(zip("abcd", pools, strict=False))))


def test_one_slot_takes_the_samples_and_a_start_a_task() -> None:
    found = simulate(cluster(a={"parallel": 1, "seconds_per_sample": 2.0}), 1000, CALM)
    assert found.tasks > 1
    assert found.makespan_s == pytest.approx(2000 + STARTUP_S * found.tasks)
    assert found.ideal_s == pytest.approx(2000)
    assert found.spent["startup"] == pytest.approx(STARTUP_S * found.tasks / found.makespan_s)


def test_where_nothing_happens_a_run_takes_what_was_estimated() -> None:
    site = cluster(a={"parallel": 6, "seconds_per_sample": 2.0}, b={"parallel": 3, "seconds_per_sample": 0.25})
    capacities = [Capacity("a", 6, 2.0), Capacity("b", 3, 0.25)]
    expected = estimate(20_000, site.pools, capacities, cores=1)
    found = simulate(site, 20_000, CALM)
    assert found.makespan_s == pytest.approx(expected.total.wall_s)
    assert [pool.samples for pool in found.pools] == [row.samples for row in expected.pools]
    assert [pool.tasks for pool in found.pools] == [row.tasks for row in expected.pools]
    assert found.withdrawals == found.handovers == found.retries == 0


def test_the_same_seed_gives_the_same_run_and_another_one_another() -> None:
    site = load_cluster(str(EIGHTFOLD))
    first = simulate(site, 5000, seed=1).to_json()
    assert simulate(site, 5000, seed=1).to_json() == first
    assert simulate(site, 5000, seed=2).makespan_s != json.loads(first)["makespan_s"]


@settings(deadline=None, max_examples=60)
@given(clusters, st.integers(1, 3000), rough, st.integers(0, 9))
def test_every_sample_gets_to_disk_once_whatever_fails(site: Cluster, count: int, chances: Chances, seed: int) -> None:
    model = model_of(site, count, chances, seed)
    model.run()
    event(f"failures: {any(pool.retries for pool in model.pools.values())}, handovers: {model.handovers > 0}")
    assert np.all(model.on_disk == 1)
    assert model.rendered >= count
    assert sum(pool.samples for pool in model.pools.values()) == count


@settings(deadline=None, max_examples=60)
@given(clusters, st.integers(1, 3000), rough, st.integers(0, 9))
def test_the_time_of_every_slot_is_accounted_for(site: Cluster, count: int, chances: Chances, seed: int) -> None:
    found = simulate(site, count, chances, seed)
    for pool in found.pools:
        assert all(share >= -1e-9 for share in pool.spent.values())
        assert sum(pool.spent.values()) == pytest.approx(1)
    assert sum(found.spent.values()) == pytest.approx(1)


@settings(deadline=None, max_examples=60)
@given(clusters, st.integers(1, 3000), rough, st.integers(0, 9))
def test_nothing_is_faster_than_the_ideal(site: Cluster, count: int, chances: Chances, seed: int) -> None:
    # Only where samples take what they should: drawn times may by luck be shorter.
    assert simulate(site, count, chances.model_copy(update={"sample_spread": 0.0}), seed).ratio >= 1 - 1e-9


@settings(deadline=None, max_examples=30)
@given(st.integers(100, 3000), st.floats(0.1, 10.0), st.floats(0.5, 10.0), st.integers(0, 9))
def test_a_task_that_fails_loses_no_more_than_since_its_last_checkpoint(
    count: int, seconds: float, rate: float, seed: int
) -> None:
    site = cluster(a={"parallel": 4, "seconds_per_sample": seconds})
    found = simulate(site, count, calm(task_failures_per_hour=rate), seed)
    lost_s = found.spent["lost"] * 4 * found.makespan_s
    assert lost_s <= found.retries * (site.checkpoint_s + seconds) + 1e-6


def test_a_task_at_its_time_limit_loses_nothing_that_it_has_made() -> None:
    # 60 s less 30 s of grace: after 4 s of start-up 26 samples of a second.
    pool = {"parallel": 1, "seconds_per_sample": 1.0, "time_min": 1, "minutes_per_task": 1, "grace_s": 30}
    site = cluster(a=pool)
    found = simulate(site, 1000, CALM)
    assert found.rendered == 1000
    assert found.retries > 0
    assert found.tasks >= 1000 / 26
    assert found.spent["lost"] == 0


def test_without_measures_all_pools_are_believed_equal_and_the_run_finds_out() -> None:
    site = cluster(slow={"parallel": 16}, fast={"parallel": 16, "relative_speed": 8.0})
    found = simulate(site, 50_000, calm(speeds_known=False))
    slow, fast = found.pools
    assert found.withdrawals > 0
    assert fast.samples / slow.samples == pytest.approx(8, rel=0.05)
    assert found.ratio < 1.1


def test_the_end_of_a_slow_tasks_is_handed_over() -> None:
    # Believed as fast as a slot of the other pool it begins with 22 samples: 1,320 s if it had to make them all.
    # Three of them tell how slow it is; the one it is at then stays with it, and looking takes 15 s each time.
    site = cluster(slow={"parallel": 1, "seconds_per_sample": 60.0}, fast={"parallel": 8, "seconds_per_sample": 3.0})
    found = simulate(site, 400, calm(speeds_known=False, seconds_per_sample=3.0))
    assert found.handovers > 0
    assert found.makespan_s < 3 * 60 + 60 + 45


def test_pools_that_differ_eightfold_stay_near_the_ideal_with_failures() -> None:
    found = simulate(load_cluster(str(EIGHTFOLD)), 300_000)
    assert found.retries > 0
    assert found.ratio < 1.15


def test_local_pools_know_no_queue() -> None:
    found = simulate(
        Cluster.model_validate({"pools": {"here": {"engine": "local", "workers": 2, "seconds_per_sample": 1.0}}}), 2000
    )
    assert found.spent["waiting"] == found.spent["away"] == 0
    assert found.pools[0].slots == 2


def test_it_reads_as_a_table_and_as_json_with_all_that_was_assumed() -> None:
    found = simulate(load_cluster(str(EIGHTFOLD)), 2000)
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(found)
    text = console.export_text()
    assert f"ratio {found.ratio:.3f}" in text
    assert all(name in text for name in (*USES, *Chances.model_fields))
    told = json.loads(found.to_json())
    assert told["assumes"] == Chances().model_dump()
    assert [pool["pool"] for pool in told["pools"]] == ["old", "new", "gpu"]


def test_a_run_that_gets_nowhere_is_an_error() -> None:
    with pytest.raises(SemforgeError, match="tasks end before they have much to show"):
        simulate(cluster(a={"parallel": 1}), 50, calm(startup_s=60.0, task_failures_per_hour=3600.0))


def test_assumptions_come_from_a_file_and_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("latency_s: 60\nnode_spread: 0.3\n")
    found = load_chances(path, ["node_spread=0.2"])
    assert (found.latency_s, found.node_spread) == (60.0, 0.2)
    assert load_chances(None, ["latency_s=7"]).latency_s == 7.0
    with pytest.raises(InputError, match="did you mean 'latency_s'"):
        load_chances(None, ["latncy_s=7"])
