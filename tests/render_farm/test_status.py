"""Where a job stands, from files and a queue that a test makes up."""

import io
import json
import time
from pathlib import Path

import h5py
import pytest
from rich.console import Console
from told_folders import Told, begun_folder, fail, put_shard, submit

from render_farm.disk.check import survey
from render_farm.disk.folder import Folder
from render_farm.disk.journal import Attempt, read_journals
from render_farm.disk.merge import merge
from render_farm.planning.plan import Shard
from render_farm.pools.slurm_commands import QueuedTask
from render_farm.views import activity
from render_farm.views.status import Status, read_status, status_table, verify, watch
from semforge.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return begun_folder(tmp_path / "out", count=8)


@pytest.fixture
def now() -> float:
    """When the test begins."""
    return time.time()


def status_of(folder: Folder, **queue: str) -> Status:
    """The status while Slurm's queue holds these tasks (`_12_3="RUNNING"`)."""
    tasks = {name.removeprefix("_"): QueuedTask(state, "n1", "None") for name, state in queue.items()}
    return read_status(folder, ask_queue=lambda name: tasks)


def merge_all(folder: Folder) -> None:
    job = folder.job()
    merge(folder, job, [state.shard for state in survey(folder, job, "shape")])


def text_of(folder: Folder, status: Status) -> str:
    console = Console(width=160, file=io.StringIO())
    console.print(status_table(folder, status))
    return console.file.getvalue()


def test_no_job_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"job\.json"):
        read_status(Folder(tmp_path))


def test_a_job_without_an_attempt(folder: Folder) -> None:
    status = status_of(folder)
    assert (status.state, status.wanted, status.done, status.missing) == ("incomplete", 8, 0, 8)
    assert status.pools == () and status.seconds_per_sample is None and status.seconds_left is None
    assert "incomplete" in text_of(folder, status)


def test_no_one_is_asked_for_a_queue_without_slurm_jobs(folder: Folder) -> None:
    def no_queue(name: str) -> None:
        raise AssertionError("asked")

    assert read_status(folder, ask_queue=no_queue).queue_asked


def test_slurms_queue_tells_what_runs_and_waits_without_a_coordinator(folder: Folder, now: float) -> None:
    submit(folder, "12", "0-3", "4-5", "6-7", t=now - 50)
    Told(folder, "12_0", now - 40).ready(now - 36).sample(now - 30, 0, 2.0).sample(now - 20, 1, 4.0)
    assert status_of(folder, _12_0="PENDING", _12_1="PENDING").state == "queued"

    status = status_of(folder, _12_0="RUNNING", _12_1="PENDING", _12_2="COMPLETED")
    (row,) = status.pools
    assert status.state == "running"
    assert (row.pool, row.engine, row.running, row.queued, row.failed) == ("cpu", "slurm", 1, 1, 0)
    assert (row.done, status.unwritten, row.nodes, row.seconds_per_sample) == (0, 2, ("n1",), 3.0)
    assert row.samples_per_s == pytest.approx(2 / 40, rel=0.05)
    assert row.seconds_left == pytest.approx(4 / (2 / 40), rel=0.05)  # 2 of task 0, 2 of task 1
    assert status.seconds_left == pytest.approx(6 / (2 / 40), rel=0.05)  # the two of task 2 as well


def test_an_attempt_that_left_the_queue_without_an_end_has_failed(folder: Folder, now: float) -> None:
    submit(folder, "12", "0-7")
    Told(folder, "12_0", now - 40).ready(now - 36).sample(now - 5, 0, 2.0)
    status = status_of(folder)
    assert (status.state, status.pools[0].failed, status.pools[0].running) == ("incomplete", 1, 0)
    assert (status.unwritten, status.samples_per_s, status.seconds_left) == (0, 0.0, None)


def test_tasks_that_died_before_their_journals_began_have_failed_and_their_logs_are_named(
    folder: Folder, now: float
) -> None:
    submit(folder, "12", *(f"{k}" for k in range(5)), t=now - 300)
    submit(folder, "13", "5", t=now - 300)
    submit(folder, "14", "6", t=now - 10)
    logs = folder.root / "slurm"
    logs.mkdir()
    for name in ("12_0_0_log.err", "12_1_0_log.err", "12_3_0_log.err", "13_0_log.err", "14_0_log.err"):
        (logs / name).write_text("module: command not found")
    # 12_4 was taken back before Slurm started it, 14_0 may be on its way.
    status = status_of(folder, _12_0="FAILED", _12_2="NODE_FAIL", _12_3="CANCELLED")
    (row,) = status.pools
    assert (status.state, row.running, row.queued, row.failed) == ("incomplete", 0, 0, 4)
    told = {one.attempt: one.log and Path(one.log).name for one in status.never_began}
    assert told == {"12_0": "12_0_0_log.err", "12_1": "12_1_0_log.err", "12_2": None, "13_0": "13_0_log.err"}
    text = text_of(folder, status)
    assert str(logs / "13_0_log.err") in text and "NODE_FAIL on n1" in text and "and 1 before" in text
    assert json.loads(status.to_json())["never_began"][0]["problem"] == "FAILED on n1"

    Told(folder, "12_0", now - 200).end(now - 190)  # it was requeued, and ran
    assert [one.attempt for one in status_of(folder).never_began] == ["12_1", "12_3", "13_0"]
    assert read_status(folder, ask_queue=lambda name: None).never_began == ()


def test_slurms_logs_are_looked_for_where_the_cluster_keeps_them(folder: Folder, tmp_path: Path, now: float) -> None:
    submit(folder, "12", "0-3", "4-7", t=now - 300)
    files = tmp_path / "elsewhere"
    files.mkdir()
    (files / "12_1_0_log.err").touch()
    folder.cluster_file.write_text(f"folder: {files}\npools: {{cpu: {{engine: slurm}}}}\n")
    assert [one.log for one in status_of(folder).never_began] == [str(files / "12_1_0_log.err")]
    folder.cluster_file.write_text("pools: [")
    assert status_of(folder).never_began == ()


def test_a_requeued_task_is_one_task_with_a_failed_attempt(folder: Folder, now: float) -> None:
    submit(folder, "12", "0-7")
    Told(folder, "12_0", now - 100).ready(now - 96).sample(now - 90, 0, 2.0).cut()
    journal = folder.journal_path("12_0")
    journal.write_text(journal.read_text() + "\n")
    Told(folder, "12_0", now - 50, node="n2", restart=1).ready(now - 45).sample(now - 40, 1, 2.0)
    (row,) = status_of(folder, _12_0="RUNNING").pools
    assert (row.running, row.failed, row.nodes) == (1, 1, ("n2",))


def test_attempts_that_were_asked_to_stop_have_not_failed(folder: Folder) -> None:
    Told(folder, "12_0", 0.0).end(1.0, "done")
    Told(folder, "12_1", 0.0).end(1.0, "stopped")
    Told(folder, "12_2", 0.0).end(1.0, "node: no OptiX here")
    assert status_of(folder).pools[0].failed == 1


def test_where_the_queue_cannot_be_asked_fresh_journals_count(folder: Folder, now: float) -> None:
    submit(folder, "12", "0-3", "4-7")
    Told(folder, "12_0", now - 2000).ready(now - 1990).sample(now - 10, 0, 2.0)
    Told(folder, "12_1", now - 2000).ready(now - 1990).sample(now - 1500, 4, 2.0)
    status = read_status(folder, ask_queue=lambda name: None)
    assert (status.state, status.queue_asked) == ("running", False)
    assert (status.pools[0].running, status.pools[0].failed) == (1, 1)
    assert "cannot be asked" in text_of(folder, status)


def test_a_local_attempt_runs_while_its_run_holds_the_folder(folder: Folder, now: float) -> None:
    Told(folder, "local-aaaaaaaa_0", now - 500, engine="local", pool="local")  # killed with its run
    with folder.locked():
        began = time.time()
        submit(folder, "local-bbbbbbbb", "0-3", "4-5", "6-7", pool="local", engine="local", t=began)
        Told(folder, "local-bbbbbbbb_0", began, engine="local", pool="local").ready(began)
        Told(folder, "local-bbbbbbbb_2", began, engine="local", pool="local").end(began)
        status = status_of(folder)
        (row,) = status.pools
        assert (status.state, row.running, row.queued, row.failed) == ("running", 1, 1, 1)
    after = status_of(folder)
    assert (after.state, after.pools[0].running, after.pools[0].queued) == ("incomplete", 0, 0)


def test_a_local_task_that_was_taken_back_does_not_wait(folder: Folder) -> None:
    with folder.locked():
        submit(folder, "local-aaaaaaaa", "0-3", "4-7", pool="a", engine="local", t=time.time())
        submit(folder, "local-bbbbbbbb", "4-7", pool="b", engine="local", t=time.time())
        assert {row.pool: row.queued for row in status_of(folder).pools} == {"a": 1, "b": 1}


def test_a_run_without_tasks_yet_is_at_work(folder: Folder) -> None:
    with folder.locked():
        assert status_of(folder).state == "running"


def test_the_states_of_a_folder_that_nobody_works_on(folder: Folder) -> None:
    Told(folder, "12_0", 0.0).shard(1.0, 0, 4).end(1.0)
    assert status_of(folder).state == "incomplete"
    bad = put_shard(folder, 4, 8)
    good = bad.read_bytes()
    bad.write_bytes(good[: len(good) // 2])
    status = status_of(folder)
    assert (status.state, status.done, status.bad_shards[0].shard) == ("damaged", 4, bad.stem)
    assert f"render-farm resume {folder.root}" in " ".join(text_of(folder, status).split())
    bad.write_bytes(good)
    status = status_of(folder)
    assert (status.state, status.done) == ("unmerged", 8)
    assert "not there yet" in text_of(folder, status)
    merge_all(folder)
    status = status_of(folder)
    assert (status.state, status.dataset, status.seconds_left) == ("complete", None, 0.0)
    assert status.bytes == sum(path.stat().st_size for path in folder.shards.glob("*.h5"))
    assert "a sample" in text_of(folder, status) and json.loads(status.to_json())["bytes"] == status.bytes


def test_quarantined_samples_are_named_with_problem_and_log(folder: Folder) -> None:
    Told(folder, "12_0", 0.0).shard(1.0, 0, 6).sample(1.0, 5, 1.0).end(1.0)
    for attempt in ("12_0", "12_1", "13_0"):
        fail(folder, 6, attempt, f"killed in {attempt}")
    fail(folder, 7, "12_1", "no such detector", final=True)
    fail(folder, 3, "12_0")  # once, and then it was rendered
    status = status_of(folder)
    assert status.state == "quarantined"
    lost = [(one.index, one.problem, one.log) for one in status.quarantined]
    logs = [str(folder.log_path(attempt)) for attempt in ("13_0", "12_1")]
    assert lost == [(6, "killed in 13_0", logs[0]), (7, "no such detector", logs[1])]
    assert "sample 6: killed in 13_0" in text_of(folder, status)
    assert status.seconds_left == 0.0
    (folder.failures / "sample_000006.jsonl").unlink()
    assert status_of(folder).state == "incomplete"


def test_a_pool_is_credited_with_what_is_on_disk(folder: Folder) -> None:
    cpu = Told(folder, "12_0", 0.0, pool="cpu").sample(1.0, 0, 1.0).sample(2.0, 1, 1.0).shard(2.0, 0, 2)
    cpu.sample(9.0, 7, 1.0).end(9.0)  # not on disk
    Told(folder, "13_0", 5.0, pool="gpu").sample(6.0, 2, 0.5).sample(7.0, 3, 0.1).shard(7.0, 2, 4).end(8.0)
    status = status_of(folder)
    assert {row.pool: (row.done, row.seconds_per_sample) for row in status.pools} == {"cpu": (2, 1.0), "gpu": (2, 0.3)}
    assert status.seconds_per_sample == pytest.approx(3.6 / 5, abs=1e-3)


def test_samples_beyond_the_count_do_not_count(folder: Folder) -> None:
    put_shard(folder, 4, 12)
    status = status_of(folder)
    assert (status.done, status.missing) == (4, 4)


def test_samples_handed_over_are_left_to_others(folder: Folder, now: float) -> None:
    submit(folder, "12", "0-7")
    with folder.handed_over.open("a") as file:
        file.write(json.dumps({"attempt": "12_0", "task": "4-7"}) + "\n")
    Told(folder, "12_0", now - 40).ready(now - 40).sample(now - 20, 0, 20.0).sample(now, 1, 20.0)
    (row,) = status_of(folder, _12_0="RUNNING").pools
    assert row.seconds_left == pytest.approx(2 / (2 / 40), rel=0.05)


def test_status_is_one_line_of_json(folder: Folder) -> None:
    submit(folder, "12", "0-7")
    fail(folder, 7, "12_0", final=True)
    text = status_of(folder, _12_0="PENDING").to_json()
    found = json.loads(text)
    assert "\n" not in text and found["state"] == "queued" and found["pools"][0]["queued"] == 1
    assert found["quarantined"][0]["index"] == 7 and found["deep"] is False


def attempt(began: float, times: list[float], ended: float | None = None, name: str = "12_0") -> Attempt:
    """One that finished samples at those times, each in 2 s."""
    last = ended or (times[-1] if times else began)
    return Attempt(
        name, "cpu", "slurm", "n1", "0-9", "cpu", 1, 1, 0, began, last, ended=ended,
        samples=dict.fromkeys(range(len(times)), 2.0), finished=dict(enumerate(times)),
    )  # fmt: skip


def test_the_rate_counts_the_last_minutes_only() -> None:
    steady = attempt(0.0, [float(t) for t in range(2, 1001, 2)])
    assert activity.rate([steady], {"12_0"}, 1000.0) == pytest.approx(0.5)
    assert activity.rate([steady], set(), 1000.0) == 0.0
    slower = attempt(0.0, [float(t) for t in range(1, 700)] + [800.0, 900.0, 1000.0])
    assert activity.rate([slower], {"12_0"}, 1000.0) == pytest.approx(3 / 300)


def test_the_rate_leaves_out_time_in_which_nobody_worked() -> None:
    earlier = attempt(700.0, [float(t) for t in range(710, 751)], ended=750.0, name="11_0")
    now = attempt(990.0, [float(t) for t in range(991, 1001)])
    assert activity.rate([earlier, now], {"12_0"}, 1000.0) == pytest.approx((41 + 10) / (50 + 10))


def test_the_rate_of_parallel_tasks_adds_up() -> None:
    both = [attempt(0.0, [float(t) for t in range(2, 1001, 2)], name=name) for name in ("12_0", "12_1")]
    assert activity.rate(both, {"12_0", "12_1"}, 1000.0) == pytest.approx(1.0)


def test_the_union_of_intervals() -> None:
    assert activity.covered([(0, 2), (1, 3), (5, 6), (5.5, 5.7), (9, 8)]) == 4
    assert activity.covered([]) == 0


def test_a_cut_line_costs_that_line_only(folder: Folder) -> None:
    Told(folder, "12_0", 0.0).sample(1.0, 0, 1.0).cut()
    journal = folder.journal_path("12_0")
    journal.write_text(journal.read_text() + "\n")
    Told(folder, "12_0", 5.0, restart=1).sample(6.0, 1, 1.0).cut()
    first, second = read_journals(folder.journal)
    assert (list(first.samples), list(second.samples), second.restart) == ([0], [1], 1)
    assert status_of(folder).seconds_per_sample == 1.0


def test_watch_ends_when_nobody_is_at_work(folder: Folder) -> None:
    submit(folder, "12", "0-7")
    answers = [{"12_0": QueuedTask("PENDING", "", "Priority")}, {"12_0": QueuedTask("RUNNING", "n1", "None")}, {}]
    status = watch(
        folder, Console(file=io.StringIO()), every_s=0.01, ask_queue=lambda name: answers.pop(0), queue_every_s=0.0
    )
    assert status.state == "incomplete" and not answers


def test_watching_reads_the_disk_often_and_asks_the_queue_seldom(folder: Folder) -> None:
    submit(folder, "12", "0-7")
    answers = [{"12_0": QueuedTask("RUNNING", "n1", "None")}, {}]
    asked: list[float] = []

    def ask(name: str) -> dict[str, QueuedTask]:
        asked.append(time.monotonic())
        return answers[len(asked) - 1]

    watch(folder, Console(file=io.StringIO()), every_s=0.02, ask_queue=ask, queue_every_s=0.4)
    assert len(asked) == 2 and asked[1] - asked[0] >= 0.4


def test_ctrl_c_ends_watching_with_what_was_seen_last(folder: Folder) -> None:
    submit(folder, "12", "0-7")
    asked = []

    def ask(name: str) -> dict[str, QueuedTask]:
        asked.append(name)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return {"12_0": QueuedTask("RUNNING", "n1", "None")}

    found = watch(folder, Console(file=io.StringIO()), every_s=0.01, ask_queue=ask, queue_every_s=0.0)
    assert found.state == "running"
    assert asked == [folder.queue_name] * 2


def test_verify_says_which_check_was_made_and_finds_what_it_can(folder: Folder) -> None:
    Told(folder, "12_0", 0.0).shard(1.0, 0, 4).shard(2.0, 4, 8).end(2.0)
    merge_all(folder)
    quick, deep = verify(folder, deep=False), verify(folder, deep=True)
    assert quick.passed and deep.passed and quick.digest == deep.digest
    assert (json.loads(quick.to_json())["deep"], json.loads(deep.to_json())["deep"]) == (False, True)
    assert "pixels not read" in quick.summary and "every digest recomputed" in deep.summary

    path = folder.shard_path(Shard(0, 4))
    whole = path.read_bytes()
    with h5py.File(path, "r+") as file:
        file["phase"][1] = 1 - file["phase"][1]
    assert verify(folder, deep=False).passed
    found = verify(folder, deep=True)
    assert not found.passed and (found.samples, found.bad, found.missing) == (4, 4, 0)
    assert path.name in found.problems[1]

    path.write_bytes(whole[:1000])
    found = verify(folder, deep=False)
    assert not found.passed and (found.samples, found.bad, found.missing) == (4, 4, 0)
    path.unlink()
    for deep_too in (False, True):
        found = verify(folder, deep_too)
        assert (found.digest, found.samples, found.bad, found.missing) == (None, 4, 0, 4)
