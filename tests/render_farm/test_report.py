"""What the time of tasks was spent on: folders whose figures can be told without a computer."""

import io
import json
import re
from pathlib import Path

import pytest
from matplotlib.image import imread
from rich.console import Console
from told_folders import Told, begun_folder, submit

from render_farm.disk.folder import Folder
from render_farm.pools.slurm_commands import QueuedTask
from render_farm.views.accounts import Account, Span, Stint
from render_farm.views.charged import parse_charged
from render_farm.views.gantt import gantt, joined, rows, unit
from render_farm.views.report import Report, read_books, read_report, write_report
from semforge.errors import InputError

CLUSTER = """
pools:
  cpu: {engine: slurm, cpus: 4, watts_per_task: 100}
  gpu: {engine: slurm, cpus: 2, gres: "gpu:2", watts_per_task: 400}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return begun_folder(tmp_path / "out", count=8)


@pytest.fixture(autouse=True)
def no_accounting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm's commands are not found, whatever this machine has."""
    monkeypatch.setenv("PATH", "")


def no_queue(name: str) -> dict[str, QueuedTask]:
    return {}


def report_of(folder: Folder, reference_s: float | None = None) -> Report:
    return read_report(folder, reference_s, no_queue)


def only_row(folder: Folder, reference_s: float | None = None) -> Account:
    (row,) = report_of(folder, reference_s).rows
    return row


def steady(folder: Folder, attempt: str, t: float, first: int, count: int = 4, each_s: float = 10.0, **more) -> Told:
    """4 s of start-up, then samples without a break, written at once."""
    told = Told(folder, attempt, t, task=f"{first}-{first + count - 1}", **more).ready(t + 4)
    for k in range(count):
        told.sample(t + 4 + (k + 1) * each_s, first + k, each_s)
    end = t + 4 + count * each_s
    return told.shard(end, first, first + count).end(end)


def test_two_steady_tasks(folder: Folder) -> None:
    for k in range(2):
        steady(folder, f"local-aaaaaaaa_{k}", 100.0, 4 * k, pool="local", engine="local")
    row = only_row(folder)
    assert (row.pool, row.samples, row.tasks, row.slots) == ("local", 8, 2, 2)
    assert (row.seconds_per_sample, row.startup_s, row.wall_s) == (10.0, 4.0, 44.0)
    assert row.speedup == pytest.approx(80 / 44)
    assert row.efficiency == pytest.approx(80 / 88) and row.occupied == pytest.approx(1)
    assert (row.retries, row.lost_s) == (0, 0)


def test_a_slot_that_waits_at_the_end_lowers_the_efficiency(folder: Folder) -> None:
    steady(folder, "12_0", 0.0, 0, count=6)  # until 64
    steady(folder, "12_1", 0.0, 6, count=2)  # until 24
    row = only_row(folder)
    assert (row.slots, row.wall_s) == (2, 64.0)
    assert row.efficiency == pytest.approx(80 / 128) and row.occupied == pytest.approx(88 / 128)


def test_tasks_one_after_the_other_have_one_slot(folder: Folder) -> None:
    steady(folder, "12_0", 0.0, 0)
    steady(folder, "12_1", 44.0, 4)
    row = only_row(folder)
    assert (row.slots, row.wall_s) == (1, 88.0) and row.efficiency == pytest.approx(80 / 88)


def killed_and_requeued(folder: Folder) -> None:
    """Killed at 24 with two samples in memory, begun again at 30, done at 75."""
    Told(folder, "12_0", 0.0).ready(4.0).sample(14.0, 0, 10.0).sample(24.0, 1, 10.0)
    again = Told(folder, "12_0", 30.0, restart=1).ready(35.0)
    for k in range(4):
        again.sample(45.0 + 10 * k, k, 10.0)
    again.shard(75.0, 0, 4).end(75.0)


def test_a_requeued_task_lost_what_was_not_written_and_a_start_up(folder: Folder) -> None:
    killed_and_requeued(folder)
    row = only_row(folder)
    assert (row.samples, row.tasks, row.slots, row.repeated_tasks, row.retries) == (4, 2, 1, 1, 1)
    assert row.lost_s == pytest.approx(20 + 5)
    assert row.efficiency == pytest.approx(40 / 75) and row.occupied == pytest.approx((24 + 45) / 75)
    assert row.startup_s == pytest.approx(4.5)


def test_a_checkpoint_saves_what_it_wrote(folder: Folder) -> None:
    Told(folder, "12_0", 0.0).ready(4.0).sample(14.0, 0, 10.0).sample(24.0, 1, 10.0).shard(24.0, 0, 2)
    Told(folder, "13_0", 30.0, task="2-3").ready(34.0).sample(44.0, 2, 10.0).sample(54.0, 3, 10.0).shard(54.0, 2, 4)
    row = only_row(folder)
    assert (row.samples, row.repeated_tasks, row.lost_s) == (4, 1, 4.0)


def test_a_failed_sample_costs_the_time_since_the_line_before(folder: Folder) -> None:
    told = Told(folder, "12_0", 0.0, task="0-1").ready(4.0).sample(14.0, 0, 10.0).failed(20.0, 1)
    told.sample(40.0, 1, 10.0).shard(40.0, 0, 2).end(40.0)
    row = only_row(folder)
    assert (row.failed_samples, row.retries, row.repeated_tasks) == (1, 1, 0)
    assert row.lost_s == pytest.approx(6) and row.efficiency == pytest.approx(20 / 40)


def test_renderers_side_by_side_share_their_slot(folder: Folder) -> None:
    told = Told(folder, "12_0", 0.0, processes=2, threads=2).ready(4.0)
    told.sample(14.0, 0, 10.0).sample(14.0, 1, 10.0).failed(20.0, 2)
    told.sample(24.0, 3, 10.0).sample(30.0, 2, 10.0).shard(30.0, 0, 4).end(30.0)
    row = only_row(folder)
    assert row.seconds_per_sample == 10.0
    assert row.efficiency == pytest.approx((40 / 2) / 30) and row.lost_s == pytest.approx(6 / 2)


def test_a_renderer_that_does_not_start_is_lost_time_and_a_retry(folder: Folder) -> None:
    told = Told(folder, "12_0", 0.0, task="0-0").failed(3.0, None, "no such library").ready(7.0)
    told.sample(17.0, 0, 10.0).shard(17.0, 0, 1).end(17.0)
    row = only_row(folder)
    assert (row.startup_s, row.lost_s, row.retries) == (7.0, 3.0, 1)


def test_a_sample_that_was_rendered_twice_counts_once(folder: Folder) -> None:
    steady(folder, "12_0", 0.0, 0)
    Told(folder, "13_0", 50.0, task="3-3").ready(54.0).sample(64.0, 3, 10.0).shard(64.0, 3, 4).end(64.0)
    row = only_row(folder)
    assert (row.samples, row.repeated_tasks) == (4, 1)
    assert row.lost_s == pytest.approx(10 + 4)  # the first of the two, and a start-up


def test_what_was_handed_over_is_not_begun_again(folder: Folder) -> None:
    Told(folder, "12_0", 0.0, task="0-3").ready(4.0).sample(14.0, 0, 10.0).sample(24.0, 1, 10.0).shard(24.0, 0, 2).end(
        24.0
    )
    Told(folder, "13_0", 10.0, task="2-3").ready(14.0).sample(24.0, 2, 10.0).sample(34.0, 3, 10.0).shard(
        34.0, 2, 4
    ).end(34.0)
    assert only_row(folder).repeated_tasks == 1
    folder.handed_over.write_text('{"attempt":"12_0","task":"2-3"}\n')
    row = only_row(folder)
    assert (row.repeated_tasks, row.lost_s) == (0, 0)


def test_a_task_that_runs_has_lost_nothing_yet(folder: Folder) -> None:
    Told(folder, "12_0", 0.0).ready(4.0).sample(14.0, 0, 10.0)
    report = read_report(folder, None, lambda name: {"12_0": QueuedTask("RUNNING", "n1", "None")})
    (row,) = report.rows
    assert (row.samples, row.lost_s) == (1, 0) and row.wall_s > 1e6
    assert any("1 task at work" in note for note in report.notes)
    assert only_row(folder).lost_s == 10.0


def test_pools_and_their_total(folder: Folder) -> None:
    folder.cluster_file.write_text(CLUSTER)
    steady(folder, "12_0", 0.0, 0, pool="cpu", node="c1")  # 44 s
    steady(folder, "13_0", 10.0, 4, pool="gpu", node="g1", each_s=2.0)  # until 22
    report = report_of(folder, reference_s=20.0)
    cpu, gpu = report.pools
    assert (cpu.pool, gpu.pool, gpu.wall_s) == ("cpu", "gpu", 12.0)
    assert (cpu.speedup, gpu.speedup) == (pytest.approx(80 / 44), pytest.approx(80 / 12))
    assert (cpu.core_hours, gpu.core_hours) == (pytest.approx(44 * 4 / 3600), pytest.approx(12 * 2 / 3600))
    assert (cpu.gpu_hours, gpu.gpu_hours) == (0, pytest.approx(12 * 2 / 3600))
    assert (cpu.energy_kwh, gpu.energy_kwh) == (pytest.approx(44 * 0.1 / 3600), pytest.approx(12 * 0.4 / 3600))
    total = report.total
    assert total is not None and report.rows == (cpu, gpu, total)
    assert (total.samples, total.slots, total.wall_s) == (8, 2, 44.0)
    assert total.speedup == pytest.approx(160 / 44) and total.efficiency == pytest.approx(48 / 88)
    assert total.occupied == pytest.approx(56 / 88) and total.energy_kwh == pytest.approx((4.4 + 4.8) / 3600)


def test_hours_are_unknown_without_the_pool_in_the_cluster_file(folder: Folder) -> None:
    folder.cluster_file.write_text(CLUSTER)
    steady(folder, "12_0", 0.0, 0, pool="cpu")
    steady(folder, "13_0", 0.0, 4, pool="moon")
    report = report_of(folder)
    assert [row.core_hours is None for row in report.rows] == [False, True, True]
    assert any("cluster.yaml" in note and "moon" in note for note in report.notes)


def test_a_probe_has_hours_without_being_in_the_cluster_file(folder: Folder) -> None:
    folder.cluster_file.write_text(CLUSTER)
    steady(folder, "probe-aaaaaaaa_0", 0.0, 0, pool="probe", engine="local", threads=3)  # 44 s
    steady(folder, "12_0", 100.0, 4, pool="cpu")
    report = report_of(folder)
    probe, _ = report.pools
    assert (probe.core_hours, probe.gpu_hours) == (pytest.approx(3 * 44 / 3600), 0)
    assert probe.energy_kwh == pytest.approx(0.06 * 44 / 3600)
    assert report.total is not None and report.total.core_hours == pytest.approx((3 + 4) * 44 / 3600)
    assert report.total.gpu_hours == 0 and report.total.energy_kwh == pytest.approx((0.06 + 0.1) * 44 / 3600)
    assert not any("without hours" in note for note in report.notes)


def test_a_broken_cluster_file_costs_the_hours_only(folder: Folder) -> None:
    folder.cluster_file.write_text("pools: [")
    steady(folder, "12_0", 0.0, 0, pool="cpu")
    report = report_of(folder)
    assert report.rows[0].core_hours is None and report.rows[0].wall_s == 44.0
    assert any("cluster.yaml cannot be read" in note and "cpu" in note for note in report.notes)


def test_what_slurm_charged_is_said_beside_the_hours_of_the_journals(folder: Folder) -> None:
    submit(folder, "12", "0-3", "4-7")
    submit(folder, "local-aaaaaaaa", "0-3", engine="local")
    steady(folder, "12_0", 0.0, 0)
    asked = []

    def ask_charged(jobs: set[str]) -> float:
        asked.append(jobs)
        return 1.5

    report = read_report(folder, None, no_queue, ask_charged)
    assert asked == [{"12"}]
    assert "Slurm charged 1.50 core-hours, Python's start and failed tasks included." in report.notes
    assert any("those of the journals" in note for note in report.notes)
    assert not any("charged" in note for note in report_of(folder).notes)


def test_charges_are_summed_over_requeues_and_tasks_that_never_began() -> None:
    assert parse_charged("12_0|480\n12_0|20\n12_[1-3]|0\n13|100\n") == 600
    assert parse_charged("") is None


def test_tasks_that_died_before_their_journals_began_are_noted(folder: Folder) -> None:
    submit(folder, "12", "0-3", "4-7")
    gone = {f"12_{k}": QueuedTask("FAILED", "n1", "NonZeroExitCode") for k in range(2)}
    notes = " ".join(read_report(folder, None, lambda name: gone).notes)
    assert "No task has begun yet" in notes and "2 tasks of Slurm failed before a line was written" in notes


def test_the_reference_is_named(folder: Folder) -> None:
    steady(folder, "12_0", 0.0, 0, pool="cpu")
    steady(folder, "13_0", 0.0, 4, pool="gpu", each_s=2.0)
    fastest = report_of(folder).reference
    assert fastest is not None and fastest.seconds_per_sample == 2.0 and "'gpu', the fastest" in fastest.source
    given = report_of(folder, 30.0).reference
    assert given is not None and (given.seconds_per_sample, given.source) == (30.0, "as given")
    Told(folder, "local-aaaaaaaa_0", 0.0, pool="here", engine="local", task="0-0").ready(1.0).sample(8.0, 0, 7.0)
    local = report_of(folder).reference
    assert local is not None and local.seconds_per_sample == 7.0 and "'here'" in local.source
    with pytest.raises(InputError, match="more than 0"):
        report_of(folder, 0.0)


def test_seconds_an_image_beside_the_published_ones(folder: Folder) -> None:
    steady(folder, "12_0", 0.0, 0)
    report = report_of(folder)
    assert report.images_per_sample == 2  # of a fake sample
    assert [(one.images, one.seconds_per_image) for one in report.per_image] == [
        (8, 44 / 8), (100, 19.8), (100, 0.65), (100, 0.45)]  # fmt: skip
    for one in report.per_image[1:]:
        assert "published reference" in one.name and "other images, other machines" in one.name


def test_a_pause_between_two_runs_is_left_out(folder: Folder) -> None:
    submit(folder, "12", "0-3", t=0.0)
    steady(folder, "12_0", 0.0, 0)  # until 44
    submit(folder, "13", "4-7", t=10_044.0)
    steady(folder, "13_0", 10_050.0, 4)
    report = report_of(folder)
    (row,) = report.rows
    assert row.wall_s == pytest.approx(44 + 6 + 44) and row.efficiency == pytest.approx(80 / 94)
    assert any("1 pause between runs, 2 h 47 min" in note for note in report.notes)


def test_waiting_in_the_queue_is_no_pause(folder: Folder) -> None:
    submit(folder, "12", "0-3", "4-7", t=0.0)
    steady(folder, "12_0", 0.0, 0)
    steady(folder, "12_1", 10_000.0, 4)
    assert only_row(folder).wall_s == 10_044.0


def test_a_cut_line_costs_that_line_only(folder: Folder) -> None:
    Told(folder, "12_0", 0.0).ready(4.0).sample(14.0, 0, 10.0).cut()
    assert (only_row(folder).samples, only_row(folder).lost_s) == (0, 10.0)


def test_a_job_without_an_attempt(folder: Folder, tmp_path: Path) -> None:
    report = report_of(folder)
    assert report.rows == () and report.total is None and report.notes == ("No task has begun yet.",)
    assert "No task has begun yet" in text_of(report)
    write_report(folder, tmp_path / "report.html", ask_queue=no_queue)
    page = (tmp_path / "report.html").read_text()
    assert "No task has begun yet" in page and "<img" not in page
    with pytest.raises(InputError, match="nothing to draw"):
        write_report(folder, tmp_path / "report.png", ask_queue=no_queue)


def test_no_job_and_other_suffixes_are_refused(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"job\.json"):
        report_of(Folder(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"\.html, \.png or \.json"):
        write_report(folder, tmp_path / "report.pdf", ask_queue=no_queue)


def text_of(report: Report) -> str:
    console = Console(width=180, file=io.StringIO())
    console.print(report)
    return console.file.getvalue()


def test_table_page_and_json_say_the_same(folder: Folder, tmp_path: Path) -> None:
    killed_and_requeued(folder)
    report = report_of(folder)
    rows = {"samples": "4", "tasks": "2", "slots": "1", "s/sample": "10.00", "efficiency": "53.3 %",
            "occupied": "92.0 %", "retries": "1", "lost": "25.0 s"}  # fmt: skip
    for heading, value in rows.items():
        assert re.search(rf"(?m)^ *{heading} +{re.escape(value)} *$", text_of(report)), heading
    for suffix in ("html", "json", "png"):
        assert write_report(folder, tmp_path / f"report.{suffix}", ask_queue=no_queue) == report
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["pools"][0]["retries"] == found["total"]["retries"] == 1
    assert found["pools"][0]["lost_s"] == 25.0 and found["per_image"][1]["seconds_per_image"] == 19.8
    page = (tmp_path / "report.html").read_text()
    assert "<td>53.3 %</td>" in page and "<td>25.0 s</td>" in page and "data:image/png;base64," in page
    assert not re.search(r"(src|href)=\"(?!data:)", page), "the page must need no other file"


def test_names_are_text_in_the_page(folder: Folder, tmp_path: Path) -> None:
    steady(folder, "12_0", 0.0, 0, pool="<b>cpu")
    write_report(folder, tmp_path / "report.html", ask_queue=no_queue)
    assert "<b>cpu" not in (tmp_path / "report.html").read_text()


def pixels_like(path: Path, red: float, green: float, blue: float) -> int:
    """Pixels of that colour, the legend left out."""
    pixels = imread(path)[60:, :, :3]
    return int((abs(pixels - (red, green, blue)).max(axis=2) < 0.1).sum())


LOST, SAMPLES = (0.82, 0.01, 0.11), (0.0, 0.45, 0.70)


def test_the_picture_shows_red_in_proportion_to_what_was_lost(folder: Folder, tmp_path: Path) -> None:
    killed_and_requeued(folder)
    path = tmp_path / "picture.png"
    write_report(folder, path, ask_queue=no_queue)
    assert pixels_like(path, *LOST) / pixels_like(path, *SAMPLES) == pytest.approx(20 / 40, rel=0.06)

    other = begun_folder(tmp_path / "other", count=8)
    steady(other, "12_0", 0.0, 0)
    write_report(other, path, ask_queue=no_queue)
    assert pixels_like(path, *LOST) == 0 and pixels_like(path, *SAMPLES) > 1000


def stint(node: str, begin: float, end: float, pool: str = "cpu") -> Stint:
    return Stint(
        f"{node}_{begin}", pool, "slurm", node, 1, begin, end, False, False, 1, 1, 1.0, 1.0, end - begin, 0.0, 0.0, 0,
        (Span(begin, end, "samples"),),
    )  # fmt: skip


def test_rows_are_slots_of_nodes_in_natural_order() -> None:
    found = rows([
        stint("n10", 0, 5), stint("n2", 0, 5), stint("n2", 5, 9), stint("n2", 3, 6), stint("g1", 1, 2, pool="gpu"),
    ])  # fmt: skip
    assert [(row.node, [s.begin for s in row.stints]) for row in found] == [
        ("n2", [0, 5]), ("n2", [3]), ("n10", [0]), ("g1", [1])]  # fmt: skip


def test_a_picture_of_400_slots_stays_in_bounds() -> None:
    figure = gantt([stint(f"node{k // 2:03d}", 0, 100 + k) for k in range(400)])
    width, height = figure.get_size_inches()
    assert width == 10 and height <= 22
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert 50 < len(labels) < 200 and labels[0] == "node000"


@pytest.mark.parametrize(("seconds", "name"), [(20, "s"), (600, "min"), (4 * 3600, "h")])
def test_the_time_axis_has_a_unit_that_fits(seconds: float, name: str) -> None:
    assert unit(seconds)[1] == name
    assert gantt([stint("n1", 1e9, 1e9 + seconds)]).axes[0].get_xlabel() == f"time, {name}"


def test_stretches_are_joined_across_small_gaps() -> None:
    assert joined([(5, 6), (0, 1), (1.05, 2), (0.5, 0.7)], 0.1) == [(0, 2), (5, 6)]


def test_the_clock_stands_still_in_a_pause(folder: Folder) -> None:
    submit(folder, "12", "0-3", t=0.0)
    steady(folder, "12_0", 0.0, 0)
    submit(folder, "13", "4-7", t=5000.0)
    steady(folder, "13_0", 5000.0, 4)
    books = read_books(folder, None, no_queue)
    assert [(s.begin, s.end) for s in books.stints] == [(0, 44), (44, 88)]
    assert [(p.begin, p.end) for p in books.pauses] == [(44, 5000)]
    assert len(gantt(books.stints, books.pauses).axes[0].lines) == 1
