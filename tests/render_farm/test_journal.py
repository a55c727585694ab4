"""What a journal tells, also after a crash in the middle of a line."""

from pathlib import Path

from render_farm.disk.journal import Journal, read_journal, read_journals

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
