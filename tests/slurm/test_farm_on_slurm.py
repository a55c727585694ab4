"""The farm on a real Slurm: whatever happens, every sample is there in the end, and it is the right one."""

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
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
    made,
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

from blender_gen.recipe import load_recipe, recipe_hash, recipe_text
from blender_gen.sample import verify_samples
from render_farm import coordinator as coordinator_module
from render_farm.clusters import load_cluster
from render_farm.coordinator import Cancelled
from render_farm.disk.failures import read_failures
from render_farm.disk.folder import Folder, Job
from render_farm.disk.journal import Attempt, read_journals
from render_farm.farm import merge_job
from render_farm.pools import submission
from render_farm.pools.opening import cancel_all
from render_farm.pools.slurm_commands import SlurmError, queue
from render_farm.pools.submission import submit_array
from render_farm.views.status import read_status, verify
from render_farm.work.child import RENDERER
from semforge.errors import InputError, SemforgeError

pytestmark = pytest.mark.usefixtures("slurm")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "out")


@pytest.fixture
def farm() -> Iterator[Farm]:
    farm = Farm()
    yield farm
    farm.end()


@pytest.fixture
def failing_prolog(slurm: SlurmCluster) -> Iterator[Callable[[str], None]]:
    """Lets the prolog fail on a node, as a site's check of a GPU or a mount does."""
    settings, prolog = slurm.folder / "etc" / "slurm.conf", slurm.folder / "etc" / "prolog"
    before = settings.read_text()

    def fail_on(node: str) -> None:
        prolog.write_text(f'#!/bin/sh\n[ "$SLURMD_NODENAME" != {node} ]\n')
        prolog.chmod(0o755)
        settings.write_text(f"{before}Prolog={prolog}\n")
        slurm.run("scontrol", "reconfigure")

    yield fail_on
    settings.write_text(before)
    slurm.run("scontrol", "reconfigure")


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
    job = make_job(count=48, shard_size=16)
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
    with command_line(*words, pause_s=1.5) as first:  # so that tasks are alive when the third command has started
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
    job, cluster = make_job(count=24), slurm_cluster(pools=one_pool(samples_per_task=6))
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
    with pytest.raises(SemforgeError, match="of 24 samples are not on disk yet"):
        merge_job(folder, job)
    slurm.wait_for(lambda: not in_queue(folder), 90, "the queue to be empty")
    merge_job(folder, job)
    require_sound(folder, job)


def test_cancel_stops_a_run_and_empties_the_queue(farm: Farm, folder: Folder, slurm: SlurmCluster) -> None:
    job, cluster = make_job(count=48, shard_size=16), slurm_cluster(checkpoint_s=60)
    run = farm.start(folder, job, cluster, pause_s=0.5)
    tasks_at_work(slurm, folder, 4)
    assert "4 tasks cancelled in Slurm's queue" in cancel_all(folder)
    with pytest.raises(Cancelled):
        run.wait()
    slurm.wait_for(lambda: not in_queue(folder), 20, "the queue to be empty")
    assert {attempt.why for attempt in read_journals(folder.journal)} == {"stopped"}
    kept = len(made(folder))
    assert farm.start(folder, job, cluster).wait().found == kept >= 4
    require_sound(folder, job)
    assert rendered_twice(folder) == 0


def test_a_node_where_renderers_never_start_gets_no_more_tasks(farm: Farm, folder: Folder) -> None:
    job = make_job(count=24, shard_size=20)
    cluster = slurm_cluster(pools=one_pool(parallel=3, samples_per_task=3), node_failures=2)
    run = farm.start(folder, job, cluster, pause_s=0.2, unfit="no OptiX device is visible", unfit_on="c1")
    run.wait()
    require_sound(folder, job)
    nodes = [attempt.node for attempt in read_journals(folder.journal)]
    assert set(nodes) == {"c1", "c2", "c3"} and nodes.count("c1") <= 3
    assert "c1: failed 2 times" in run.said and "no OptiX device is visible" in run.said
    assert not read_failures(folder)


def test_a_node_whose_set_up_fails_does_not_end_the_run(farm: Farm, folder: Folder) -> None:
    job = make_job(count=30, shard_size=20)
    setup = ["test $SLURMD_NODENAME != c1 || exit 1"]  # before there is any journal
    cluster = slurm_cluster(pools=one_pool(parallel=3, samples_per_task=2, setup=setup), node_failures=2)
    run = farm.start(folder, job, cluster, pause_s=0.3)
    run.wait()
    require_sound(folder, job)
    assert "c1: failed 2 times" in run.said
    assert {attempt.node for attempt in read_journals(folder.journal)} == {"c2", "c3"} and not read_failures(folder)


def test_no_more_tasks_at_a_time_than_a_pool_allows(farm: Farm, folder: Folder) -> None:
    job = make_job(count=60, shard_size=20)  # more than the first tasks get, so there is a second array
    run = farm.start(folder, job, slurm_cluster(pools=one_pool(cpus=1, parallel=2)), pause_s=0.1)
    run.wait()
    require_sound(folder, job)
    attempts = read_journals(folder.journal)
    assert len({attempt.id.partition("_")[0] for attempt in attempts}) > 1
    begun = sorted((attempt.began, attempt.ended or attempt.last) for attempt in attempts)
    at_a_time = [sum(start <= when < end for start, end in begun) for when, _ in begun]
    assert max(at_a_time) == 2


def test_whoever_cancels_all_tasks_means_it(farm: Farm, folder: Folder, slurm: SlurmCluster) -> None:
    job = make_job(count=24, shard_size=20)
    run = farm.start(folder, job, slurm_cluster(pools=one_pool(parallel=2)), pause_s=1.0)
    tasks_at_work(slurm, folder, 2)
    slurm.run("scancel", "--name", folder.queue_name)
    with pytest.raises(Cancelled, match=r"its tasks were cancelled.*render-farm resume"):
        run.wait()
    assert not [task for task in (queue(folder.queue_name) or {}).values() if task.waits]
    quick = farm.start(folder, job, slurm_cluster(pools=one_pool(parallel=2)))
    quick.wait()
    require_sound(folder, job)


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


def test_lost_nodes_and_a_time_limit(farm: Farm, tmp_path: Path, slurm: SlurmCluster) -> None:
    # Two jobs at the same time: Slurm takes half a minute to find a node dead, and as long to look at time limits.
    robbed, limited = Folder(tmp_path / "robbed"), Folder(tmp_path / "limited")
    job, long_job = make_job(count=48, shard_size=16), make_job(count=44, shard_size=44)
    short = {**GPU, "parallel": 1, "time_min": 1, "minutes_per_task": 1, "grace_s": 30, "seconds_per_sample": 0.05}
    over = farm.start(limited, long_job, slurm_cluster(pools={"gpu": short}, checkpoint_s=60), pause_s=0.8)
    run = farm.start(robbed, job, slurm_cluster(pools=one_pool(parallel=3)), pause_s=0.4)
    on = {attempt.node: attempt.id for attempt in tasks_at_work(slurm, robbed, 3)}
    slurm.kill_node("c1")  # its task works on, but Slurm does not hear of it
    slurm.kill_node("c2", everything=True)

    run.wait()
    require_sound(robbed, job)
    first = {attempt.id: attempt for attempt in read_journals(robbed.journal) if attempt.restart == 0}
    assert first[on["c1"]].why == "done" and first[on["c2"]].ended is None
    assert rendered_twice(robbed) <= len(first[on["c2"]].samples)
    assert not read_failures(robbed)  # a node's end is held against no sample

    over.wait()
    require_sound(limited, long_job)
    times = [(attempt.id, attempt.restart, attempt.why) for attempt in read_journals(limited.journal)]
    only = times[0][0]
    assert times[:2] == [(only, 0, "stopped"), (only, 1, times[1][2])] and times[-1][2] == "done"
    assert rendered_twice(limited) == 0 and set(handed_in(limited).values()) == {1}


def test_a_drained_node_ends_its_task_and_gets_no_other(farm: Farm, folder: Folder, slurm: SlurmCluster) -> None:
    job = make_job(count=36, shard_size=12)
    run = farm.start(folder, job, slurm_cluster(pools=one_pool(parallel=3, samples_per_task=6)), pause_s=0.6)
    (first,) = [attempt for attempt in tasks_at_work(slurm, folder, 3) if attempt.node == "c1"]
    slurm.drain("c1")
    run.wait()
    require_sound(folder, job)
    on_c1 = [attempt for attempt in read_journals(folder.journal) if attempt.node == "c1"]
    assert [(attempt.id, attempt.why) for attempt in on_c1] == [(first.id, "done")]
    assert rendered_twice(folder) == 0


def test_a_task_that_a_node_cannot_launch_does_not_wait_for_ever(
    farm: Farm, folder: Folder, slurm: SlurmCluster, failing_prolog: Callable[[str], None]
) -> None:
    failing_prolog("c1")
    job = make_job(count=16)
    run = farm.start(folder, job, slurm_cluster(pools=one_pool(samples_per_task=4)))
    run.wait()
    require_sound(folder, job)
    assert "requeued held" in run.said  # Slurm would keep it until an administrator comes
    assert {attempt.node for attempt in read_journals(folder.journal)} == {"c2", "c3"}
    assert not read_failures(folder)


@pytest.mark.parametrize("grace_s", [0, 20])
def test_preempted_tasks_go_on(
    farm: Farm, folder: Folder, slurm: SlurmCluster, monkeypatch: pytest.MonkeyPatch, grace_s: int
) -> None:
    monkeypatch.setattr(coordinator_module, "FRUITLESS", 1)  # a preemption is no failure
    slurm.set_grace(grace_s)
    partitions = ("scavenge_requeue", "scavenge_cancel")
    pools = {name: one_pool(name, parallel=1, samples_per_task=8)[name] for name in partitions}
    job = make_job(count=32, shard_size=16)
    run = farm.start(folder, job, slurm_cluster(pools=pools, checkpoint_s=60), pause_s=0.5)
    before = {attempt.pool: attempt.id for attempt in tasks_at_work(slurm, folder, 2)}
    slurm.run("sbatch", "--partition=urgent", "--exclusive", "--nodes=5", "--wrap", "sleep 1", "--output=/dev/null")
    run.wait()
    require_sound(folder, job)
    assert set(before) == set(partitions)
    attempts = [attempt for attempt in read_journals(folder.journal) if attempt.id in before.values()]
    first = [attempt for attempt in attempts if attempt.restart == 0]
    again = {attempt.pool for attempt in attempts if attempt.restart == 1}
    assert all(attempt.why == "stopped" and attempt.shards for attempt in first)  # written when it was warned
    # Without a time of grace Slurm decides; with one the task asks to begin again before Slurm ends it.
    assert again == (set(partitions) if grace_s else {"scavenge_requeue"})
    assert ("PREEMPTED" in run.said) == (grace_s == 0)
    assert rendered_twice(folder) == 0 and not read_failures(folder)


def flip_a_byte_of_pixels(path: Path) -> None:
    with h5py.File(path, "r") as file:
        chunk = file["image"].id.get_chunk_info(0)
    with path.open("r+b") as file:
        file.seek(chunk.byte_offset + chunk.size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


def test_damaged_and_deleted_shards_are_rendered_again(farm: Farm, folder: Folder) -> None:
    job, cluster = make_job(count=32), slurm_cluster(checkpoint_s=60)
    farm.start(folder, job, cluster).wait()
    truncated, flipped, deleted, silent = (folder.shard_path(shard) for shard in folder.shards_on_disk()[:4])
    os.truncate(truncated, truncated.stat().st_size // 2)
    flip_a_byte_of_pixels(flipped)
    deleted.unlink()
    before = silent.stat()
    flip_a_byte_of_pixels(silent)
    os.utime(silent, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a disk's own error leaves it
    found = verify(folder, deep=True)
    assert not found.passed and (found.bad, found.missing) == (12, 4)
    assert all(any(path.name in problem for problem in found.problems) for path in (truncated, flipped, silent))

    run = farm.start(folder, job, cluster)
    assert run.wait().rendered == 12
    assert truncated.name in run.said and flipped.name in run.said
    assert verify(folder, deep=False).passed
    found = verify(folder, deep=True)  # only reading everything finds this one
    assert not found.passed and found.bad == 4 and any(silent.name in problem for problem in found.problems)

    silent.unlink()
    assert farm.start(folder, job, cluster).wait().rendered == 4
    require_sound(folder, job)


def test_what_slurm_does_not_take_now_is_handed_in_later(
    farm: Farm, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def submit_two(*arguments: Any, **more: Any) -> str:
        """As a site with a limit of jobs a user does; it counts more than this cluster can be told to."""
        asked.append(arguments)
        if len(asked) in (2, 3):
            raise SlurmError("sbatch: error: QOSMaxSubmitJobPerUserLimit")
        return submit_array(*arguments, **more)

    monkeypatch.setattr(submission, "submit_array", submit_two)
    job = make_job(count=24)
    run = farm.start(folder, job, slurm_cluster(pools=one_pool(samples_per_task=2, cpus=1, parallel=6)))
    run.wait()
    require_sound(folder, job)
    assert len(asked) >= 4 and set(handed_in(folder).values()) == {1}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "size=2m", "semforge", place]
    mounted = subprocess.run(line, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.mark.parametrize("slurm_files", ["elsewhere", "on the same disk"])
def test_full_disk_is_one_clear_line_and_nothing_is_corrupt(
    farm: Farm, small_disk: Path, tmp_path: Path, slurm_files: str
) -> None:
    folder, job = Folder(small_disk / "out"), make_job(count=64)
    cluster = slurm_cluster(checkpoint_s=1, folder=tmp_path / "slurm" if slurm_files == "elsewhere" else None)
    (small_disk / "ballast").write_bytes(bytes(1_700_000))
    with pytest.raises(SemforgeError) as caught:
        farm.start(folder, job, cluster, pause_s=0.1).wait()
    message = str(caught.value)
    assert not isinstance(caught.value, InputError)  # exit 1, not 2
    assert str(folder.root) in message and "make room" in message and len(message.splitlines()) == 1
    for shard in folder.shards_on_disk():
        file, bad = verify_samples(folder.shard_path(shard))
        file.close()
        assert not bad
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    outcome = farm.start(folder, job, cluster).wait()
    assert outcome.found > 0 and outcome.found + outcome.rendered == 64
    require_sound(folder, job)


def test_work_moves_to_the_pool_that_turns_out_faster(farm: Farm, folder: Folder) -> None:
    job = make_job(count=64, shard_size=16)
    pools = {"cpu": {**CPU, "relative_speed": 4}, "gpu": GPU}
    run = farm.start(folder, job, slurm_cluster(pools=pools), pause_s={"cpu": 1.5, "gpu": 0.15})
    run.wait()
    require_sound(folder, job)
    counts = Counter(attempt.pool for attempt in read_journals(folder.journal) for _ in attempt.samples)
    assert counts["gpu"] > counts["cpu"] > 0  # as believed at first: a fifth


def test_blender_renders_the_same_on_slurm_and_here(farm: Farm, tmp_path: Path) -> None:
    recipe = load_recipe(RECIPE, ["frame.width_px=64", "frame.height_px=64", "frame.pixel_size_um=1.5"])
    job = Job(recipe=recipe_text(recipe), recipe_hash=recipe_hash(recipe), seed=0, count=64, shard_size=16)
    there, here = Folder(tmp_path / "there"), Folder(tmp_path / "here")
    outcome = farm.start(there, job, slurm_cluster(), command=RENDERER).wait()
    assert verify(there, deep=True).digest == outcome.digest
    attempts = read_journals(there.journal)
    nodes = {attempt.node for attempt in attempts if attempt.samples}
    assert len(nodes) == 4 and {attempt.pool for attempt in attempts} == {"cpu", "gpu"}
    assert farm.start(here, job, load_cluster("local"), command=RENDERER).wait().digest == outcome.digest
