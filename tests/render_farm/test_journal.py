"""What a journal tells, also after a crash in the middle of a line, and with damaged bytes."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from told_folders import Told, begun_folder, fail, submit

from render_farm.disk.failures import read_failures
from render_farm.disk.handovers import handed_over
from render_farm.disk.journal import Journal, read_journal, read_journals, read_lines
from render_farm.pools.submissions import read_submissions
from render_farm.views.report import read_report
from render_farm.views.status import read_status

START = {"pool": "cpu", "engine": "slurm", "node": "n1", "task": "0-3", "device": "cpu", "threads": 2, "processes": 1}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "12_3.jsonl")
    journal.write("start", **START, restart=0)
    journal.write("ready", device="CPU: a processor")
    journal.write("sample", index=0, seconds=1.5)
    journal.write("failed", index=1, problem="renderer was killed by SIGKILL")
    journal.write("shard", name="samples_000000-000000", bytes=10, mtime_ns=7, digest="ab")
    journal.write("end", why="done")
    journal.close()
    (attempt,) = read_journal(tmp_path / "12_3.jsonl")
    assert (attempt.id, attempt.pool, attempt.node, attempt.device) == ("12_3", "cpu", "n1", "CPU: a processor")
    assert attempt.samples == {0: 1.5} and attempt.failures[0].index == 1 and attempt.shards[0].bytes == 10
    assert attempt.why == "done" and attempt.ended is not None and attempt.began <= attempt.ended


def test_a_line_cut_short_costs_itself_only(tmp_path: Path) -> None:
    path = tmp_path / "12_3.jsonl"
    first_try = Journal(path)
    first_try.write("start", **START, restart=0)
    first_try.close()
    with path.open("ab") as file:
        file.write(b'{"t":17952')  # the node lost its power here
    again = Journal(path)
    again.write("start", **START, restart=1)
    again.write("sample", index=2, seconds=1.0)
    again.close()
    first, second = read_journals(tmp_path)
    assert (first.restart, second.restart) == (0, 1)
    assert first.ended is None and second.samples == {2: 1.0}


def test_a_folder_that_is_not_there_has_no_journals(tmp_path: Path) -> None:
    assert read_journals(tmp_path / "none") == [] and read_journal(tmp_path / "none.jsonl") == []


DAMAGED = [
    b"12", b"null", b"[]", b"{}", b'"', b"[1", b"2]", b'{"t":1}', b'{"t":1,"event":"start"}',
    b'{"t":1,"event":["end"]}',
    b'{"t":1,"event":"sample","index":[1],"seconds":1}', b'{"t":1,"event":"sample","index":1,"seconds":NaN}',
    b'{"t":"1","event":"end","why":"done"}', b'{"t":1e999,"event":"end","why":"done"}', b"\xff\x00", b"[" * 100_000,
    json.dumps({"t": 1, "event": "start", **START, "restart": 0, "task": "9-1"}).encode(),
    b'{"t":1,"event":"shard","name":"samples_000000-000003"}', b'{"t":1,"event":"failed","index":0}', b"9" * 5000,
]  # fmt: skip
anything = st.lists(st.one_of(st.binary(max_size=40), st.sampled_from(DAMAGED)), max_size=5).map(b"\n".join)


@given(anything, anything, anything)
def test_whole_good_lines_count_whatever_is_around_them(before: bytes, between: bytes, after: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "12_3.jsonl"
        start = json.dumps({"t": 5, "event": "start", **START, "restart": 7}).encode()
        sample = json.dumps({"t": 6, "event": "sample", "index": 3, "seconds": 0.5}).encode()
        path.write_bytes(b"\n".join([before, start, between, sample, after]))
        (attempt,) = read_journals(Path(place))
        assert attempt.restart == 7 and attempt.samples == {3: 0.5}


def test_lines_that_are_json_only_together_hide_none_between_them(tmp_path: Path) -> None:
    path = tmp_path / "12_3.jsonl"
    path.write_bytes(b'[1\n{"a": 1}\n2]\n')
    assert list(read_lines(path)) == [{"a": 1}]


@pytest.mark.parametrize("bad", DAMAGED)
def test_damaged_files_of_lines_stop_neither_status_nor_report(tmp_path: Path, bad: bytes) -> None:
    folder = begun_folder(tmp_path / "out")
    submit(folder, "12", "0-3", "4-7")
    fail(folder, 6, "12_1", "fell apart", final=True)
    folder.handed_over.write_text('{"attempt":"12_1","task":"7"}\n')
    Told(folder, "12_0", 0.0).ready(1.0).sample(2.0, 0, 1.0)
    paths = (folder.submissions, folder.handed_over, folder.journal_path("12_0"), *folder.failures.iterdir())
    for path in paths:
        path.write_bytes(bad + b"\n" + path.read_bytes() + bad + b"\n")
    assert list(read_submissions(folder)) == ["12_0", "12_1"]
    assert handed_over(folder) == {"12_1": {7}}
    assert [one.problem for one in read_failures(folder)[6]] == ["fell apart"]
    assert read_status(folder, ask_queue=lambda name: {}).quarantined[0].index == 6
    (row,) = read_report(folder, ask_queue=lambda name: {}, ask_charged=lambda jobs: None).rows
    assert row.tasks == 1 and row.lost_s == 1.0
