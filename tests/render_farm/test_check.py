"""What counts as done, and what is opened to find out."""

import os
import shutil
from pathlib import Path

import h5py
import pytest
from farm_fakes import make_job
from told_folders import Told, begun_folder, put_shard

from render_farm.disk.check import check_shard, dataset_problem, done_indices, survey
from render_farm.disk.folder import Folder
from render_farm.disk.merge import merge
from render_farm.planning.plan import Shard

TRUSTS = ["nothing", "journal", "shape"]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Samples 0-3 and 4-7 in two shards that a journal vouches for."""
    folder = begun_folder(tmp_path / "out")
    Told(folder, "12_0", 0.0).shard(1.0, 0, 4).shard(2.0, 4, 8).end(2.0)
    return folder


def problems(folder: Folder, trust) -> list[str | None]:
    return [state.problem for state in survey(folder, folder.job(), trust)]


def change_pixels(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["phase"][1] = 1 - file["phase"][1]


def restore_times(path: Path, before: os.stat_result) -> None:
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("trust", TRUSTS)
def test_sound_shards_count_and_their_digests_are_those_of_the_files(folder: Folder, trust) -> None:
    states = survey(folder, folder.job(), trust)
    assert done_indices(states) == set(range(8))
    for state in states:
        with h5py.File(state.path, "r") as file:
            assert state.digest == state.verified.digest == file.attrs["digest"]


def test_a_file_that_a_journal_vouches_for_is_not_opened(folder: Folder) -> None:
    path = folder.shard_path(Shard(0, 4))
    before = path.stat()
    path.write_bytes(b"x" * before.st_size)
    restore_times(path, before)
    assert problems(folder, "shape") == problems(folder, "journal") == [None, None]
    found = problems(folder, "nothing")
    assert found[0] is not None and "HDF5" in found[0] and found[1] is None


def test_changed_pixels_are_found_where_size_or_time_changed(folder: Folder) -> None:
    change_pixels(folder.shard_path(Shard(0, 4)))
    assert problems(folder, "nothing") == problems(folder, "journal") == [
        "1 of 4 samples do not match their digest", None]  # fmt: skip
    assert problems(folder, "shape") == [None, None]


@pytest.mark.parametrize("trust", TRUSTS)
def test_truncation_is_found_at_any_trust(folder: Folder, trust) -> None:
    path = folder.shard_path(Shard(4, 8))
    os.truncate(path, path.stat().st_size // 2)
    sound, cut = survey(folder, folder.job(), trust)
    assert sound.problem is None
    assert cut.problem is not None and "truncated" in cut.problem and cut.digest is None
    with pytest.raises(ValueError, match="truncated"):
        _ = cut.verified


@pytest.mark.parametrize("trust", TRUSTS)
def test_a_copied_folder_with_other_times_counts_the_same(folder: Folder, tmp_path: Path, trust) -> None:
    copy = Folder(tmp_path / "copy")
    shutil.copytree(folder.root, copy.root, copy_function=shutil.copyfile)
    assert copy.shard_path(Shard(0, 4)).stat().st_mtime_ns != folder.shard_path(Shard(0, 4)).stat().st_mtime_ns
    assert done_indices(survey(copy, copy.job(), trust)) == set(range(8))


def test_the_last_word_on_a_shard_that_was_rendered_again_counts(folder: Folder) -> None:
    path = folder.shard_path(Shard(0, 4))
    os.replace(path, path.with_name(path.name + ".bad"))
    put_shard(folder, 0, 4)
    Told(folder, "13_0", 5.0).vouch(6.0, 0, 4)
    before = path.stat()
    path.write_bytes(b"x" * before.st_size)
    restore_times(path, before)
    assert problems(folder, "journal") == [None, None]


def test_shards_no_journal_knows_and_files_of_other_names(folder: Folder) -> None:
    put_shard(folder, 2, 6)
    for name in (
        "samples_000000-000003.h5.bad",
        "notes.h5",
        "samples_0-3.h5",
        ".samples_000000-000003.0123abcd.tmp.h5",
    ):
        (folder.shards / name).touch()
    names = [state.shard.name for state in survey(folder, folder.job(), "shape")]
    assert names == ["samples_000000-000003", "samples_000002-000005", "samples_000004-000007"]


@pytest.mark.parametrize("trust", TRUSTS)
def test_foreign_and_renamed_shards_do_not_count(tmp_path: Path, trust) -> None:
    folder = begun_folder(tmp_path / "out")
    put_shard(folder, 0, 4, make_job(seed=5))
    put_shard(folder, 4, 8).rename(folder.shards / "samples_000008-000011.h5")
    assert problems(folder, trust) == [
        "holds samples of another recipe or seed", "does not hold the samples that its name says"]  # fmt: skip


def test_a_shard_that_is_not_there_is_said_to_be_missing(folder: Folder) -> None:
    assert check_shard(folder, folder.job(), Shard(8, 9), deep=False).problem == "is missing"


@pytest.mark.parametrize("trust", TRUSTS)
def test_nothing_on_disk_is_nothing_done(tmp_path: Path, trust) -> None:
    assert survey(Folder(tmp_path / "nowhere"), make_job(), trust) == []
    assert survey(begun_folder(tmp_path / "begun"), make_job(), trust) == []


def test_seen_is_told_every_state(folder: Folder) -> None:
    told = []
    states = survey(folder, folder.job(), "shape", seen=told.append)
    assert told == states and len(told) == 2


def merged(folder: Folder) -> None:
    merge(folder, folder.job(), [Shard(0, 4), Shard(4, 8)])


def test_a_data_set_is_judged_by_its_links(folder: Folder) -> None:
    job = folder.job()

    def problem(job=job) -> str:
        return dataset_problem(folder, job, survey(folder, job, "shape")) or "none"

    assert "not there yet" in problem()
    merged(folder)
    assert problem() == "none"
    assert "holds 8 samples of 9" in problem(make_job(count=9))
    assert "another recipe or seed" in problem(make_job(seed=1))
    folder.shard_path(Shard(4, 8)).unlink()
    assert "links samples_000004-000007.h5, which is missing or bad" in problem()


def test_a_damaged_data_set_is_found(folder: Folder) -> None:
    merged(folder)
    with h5py.File(folder.dataset, "r+") as file:
        file["digest"][3] = "0" * 64
    states = survey(folder, folder.job(), "shape")
    assert "does not follow" in (dataset_problem(folder, folder.job(), states, digests=True) or "")
    os.truncate(folder.dataset, 100)
    assert "cannot be read" in (dataset_problem(folder, folder.job(), states) or "")
