"""The farm on a real Slurm: whatever happens, every sample is there in the end, and it is the right one."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from farm_fakes import make_job
from farm_on_slurm import (
    CPU,
    GPU,
    RECIPE,
    Farm,
    command_line,
    handed_in,
    in_queue,
    one_pool,
    rendered_twice,
    renderers,
    require_sound,
    running,
    slurm_cluster,
    submit,
    task_processes,
    write_cluster,
)
from slurm_cluster import CPU_NODES, GPU_NODES, SlurmCluster

from render_farm.failures import read_failures
from render_farm.farm import merge_job
from render_farm.folder import Folder
from render_farm.journal import Attempt, read_journals
from render_farm.pools.opening import cancel_all
from render_farm.status import read_status
from semforge.errors import InputError

pytestmark = pytest.mark.usefixtures("slurm")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "out")


@pytest.fixture
def farm() -> Iterator[Farm]:
    farm = Farm()
    yield farm
    farm.end()


def tasks_at_work(slurm: SlurmCluster, folder: Folder, count: int) -> list[Attempt]:
    """The first so many attempts that have made a sample and go on."""
    found = slurm.wait_for(lambda: len(seen := running(folder)) >= count and seen, 40, f"{count} tasks at work")
    return found[:count]  # type: ignore[index]


def attempts_by_id(folder: Folder) -> dict[str, Attempt]:
    """The last attempt of each journal."""
    return {attempt.id: attempt for attempt in read_journals(folder.journal)}


def test_64_samples_over_four_nodes_in_two_pools(farm: Farm, folder: Folder) -> None:
    job = make_job(count=64, shard_size=16)
    outcome = farm.start(folder, job, slurm_cluster(), pause_s=0.2).wait()
    require_sound(folder, job)
    assert (outcome.found, outcome.rendered) == (0, 64)
    attempts = read_journals(folder.journal)
    nodes = {pool: {attempt.node for attempt in attempts if attempt.pool == pool} for pool in ("cpu", "gpu")}
    assert len(nodes["cpu"]) >= 2 and nodes["cpu"] <= set(CPU_NODES) and nodes["gpu"] == set(GPU_NODES)
    assert rendered_twice(folder) == 0 and set(handed_in(folder).values()) == {1}


def test_cancelled_task_killed_renderer_and_killed_task(farm: Farm, folder: Folder, slurm: SlurmCluster) -> None:
    job = make_job(count=64, shard_size=16)
    run = farm.start(folder, job, slurm_cluster(checkpoint_s=60), pause_s=0.4)
    cancelled, crippled, killed = (attempt.id for attempt in tasks_at_work(slurm, folder, 3))
    slurm.run("scancel", cancelled)
    os.kill(renderers(folder)[crippled], signal.SIGKILL)
    os.kill(task_processes(folder)[killed], signal.SIGKILL)
    run.wait()
    require_sound(folder, job)
    attempts = attempts_by_id(folder)
    assert attempts[cancelled].why == "stopped" and attempts[cancelled].shards  # what it had made was written
    assert attempts[crippled].why == "done" and "SIGKILL" in attempts[crippled].failures[0].problem
    assert attempts[killed].ended is None
    assert rendered_twice(folder) == len(attempts[killed].samples)  # and nothing else was lost
    assert sorted(f.attempt for tries in read_failures(folder).values() for f in tries) == sorted([crippled, killed])


def test_killed_run_is_followed_by_the_same_command(folder: Folder, slurm: SlurmCluster, tmp_path: Path) -> None:
    pools = {"cpu": {**CPU, "seconds_per_sample": 0.4}, "gpu": {**GPU, "seconds_per_sample": 0.4}}
    cluster = write_cluster(slurm_cluster(pools=pools), tmp_path / "cluster.yaml")
    words = ("run", RECIPE, "--count", 48, "--out", folder.root, "--cluster", cluster)
    with command_line(*words, pause_s=0.4) as first:
        tasks_at_work(slurm, folder, 2)
        with command_line(*words) as second:
            _, errors = second.communicate(timeout=30)
        assert second.returncode == 2 and f"process {first.pid}" in errors and "root on " in errors
        first.kill()
    before = set(in_queue(folder))
    assert before
    with command_line(*words, pause_s=0.4) as third:
        said, errors = third.communicate(timeout=60)
    assert third.returncode == 0, errors
    assert "tasks of an earlier run are alive" in said
    require_sound(folder, folder.job())
    assert set(handed_in(folder).values()) == {1} and rendered_twice(folder) == 0
    with command_line(*words, "frame.width_px=100") as other:
        _, errors = other.communicate(timeout=30)
    assert other.returncode == 2 and "frame.width_px (there" in errors and errors.count("\n") == 1


def test_run_follows_what_submit_handed_in(farm: Farm, folder: Folder, slurm: SlurmCluster) -> None:
    job, cluster = make_job(count=24), slurm_cluster(pools=one_pool(samples_per_task=6, parallel=1))
    assert submit(folder, job, cluster, pause_s=0.2) == {"cpu": 4}
    outcome = farm.start(folder, job, cluster, pause_s=0.2).wait()
    assert outcome.rendered + outcome.found == 24
    require_sound(folder, job)
    assert set(handed_in(folder).values()) == {1} and rendered_twice(folder) == 0


def test_arrays_are_split_cancelled_and_merged(folder: Folder, slurm: SlurmCluster) -> None:
    job, cluster = make_job(count=24), slurm_cluster(pools=one_pool(samples_per_task=2, parallel=3))
    assert submit(folder, job, cluster, pause_s=60) == {"cpu": 12}
    jobs = {attempt.partition("_")[0] for attempt in in_queue(folder)}
    assert len(jobs) == 2 and len(in_queue(folder)) == 12
    slurm.wait_for(lambda: "RUNNING" in in_queue(folder).values(), 20, "a task to run")
    assert cancel_all(folder) == ["12 tasks cancelled in Slurm's queue"]
    slurm.wait_for(lambda: not in_queue(folder), 20, "the queue to be empty")
    assert submit(folder, job, cluster) == {"cpu": 12}
    with pytest.raises(InputError, match="of 24 samples are not on disk yet"):
        merge_job(folder, job)
    slurm.wait_for(lambda: not in_queue(folder), 90, "the queue to be empty")
    merge_job(folder, job)
    require_sound(folder, job)


def test_a_node_where_renderers_never_start_gets_no_more_tasks(farm: Farm, folder: Folder) -> None:
    job = make_job(count=36, shard_size=20)
    cluster = slurm_cluster(pools=one_pool(parallel=3, samples_per_task=4), node_failures=2)
    run = farm.start(folder, job, cluster, pause_s=0.2, unfit="no OptiX device is visible", unfit_on="c1")
    run.wait()
    require_sound(folder, job)
    nodes = [attempt.node for attempt in read_journals(folder.journal)]
    assert set(nodes) == {"c1", "c2", "c3"} and nodes.count("c1") <= 3
    assert "c1: failed 2 times" in run.said and "no OptiX device is visible" in run.said
    assert not read_failures(folder)


def test_poisoned_sample_is_named_and_all_others_are_rendered(folder: Folder, tmp_path: Path) -> None:
    cluster = write_cluster(slurm_cluster(), tmp_path / "cluster.yaml")
    words = ("run", RECIPE, "--count", 32, "--out", folder.root, "--cluster", cluster)
    with command_line(*words, at=20, how="kill") as run:
        _, errors = run.communicate(timeout=60)
    last = read_failures(folder)[20][-1]
    assert run.returncode == 1 and errors.count("\n") == 1
    assert "sample 20: renderer was killed by SIGKILL" in errors and str(folder.log_path(last.attempt)) in errors
    assert len(read_failures(folder)[20]) == 3 and list(read_failures(folder)) == [20]
    assert read_status(folder).state == "quarantined" and read_status(folder).done == 31
    with command_line("resume", folder.root, "--retry-quarantined") as again:
        _, errors = again.communicate(timeout=60)
    assert again.returncode == 0, errors
    require_sound(folder, folder.job())
