"""Whole runs with fake renderers."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from farm_fakes import fake_cluster, make_job, make_sample, render
from rich.console import Console

from blender_gen.sample import SampleFile, combined_digest
from render_farm.coordinator import RunFailed
from render_farm.disk.failures import read_failures, release
from render_farm.disk.folder import Folder, Job
from render_farm.disk.journal import read_journals
from render_farm.views.status import read_status, verify
from semforge.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "out")


@pytest.fixture
def console() -> Console:
    return Console(record=True, width=200)


def shard_files(folder: Folder) -> list[str]:
    return sorted(path.name for path in folder.shards.iterdir())


def flip_a_byte_of_pixels(path: Path) -> None:
    with h5py.File(path, "r") as file:
        chunk = file["image"].id.get_chunk_info(0)
    with path.open("r+b") as file:
        file.seek(chunk.byte_offset + chunk.size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0xFF]))


def replace_pixels(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["phase"][1] = 1 - file["phase"][1]


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def test_dataset_holds_every_sample_as_it_was_made(folder: Folder) -> None:
    job = make_job(count=7)
    outcome = render(folder, job)
    assert (outcome.found, outcome.rendered) == (0, 7)
    with SampleFile(folder.dataset) as file:
        assert file.index.tolist() == list(range(7))
        assert file.header.recipe == job.recipe and file.header.phase_names == ("matrix", "pore")
        for index in range(7):
            assert file.sample(index).digest == make_sample(job, index).digest
    assert verify(folder, deep=True).digest == outcome.digest


def test_digest_depends_on_neither_shard_size_nor_workers(tmp_path: Path) -> None:
    job = make_job(count=6)
    expected = combined_digest((make_sample(job, i).digest for i in range(6)), job.recipe_hash, job.seed)
    for size, workers in ((6, 1), (1, 3), (4, 2)):
        folder = Folder(tmp_path / f"{size}-{workers}")
        cluster = fake_cluster(pools={"local": {"engine": "local", "workers": workers}})
        assert render(folder, make_job(count=6, shard_size=size), cluster=cluster).digest == expected
    other_seed = Folder(tmp_path / "seed")
    assert render(other_seed, make_job(count=6, seed=1)).digest != expected


def test_second_run_renders_nothing(folder: Folder) -> None:
    first = render(folder, make_job())
    before = {path: path.stat().st_mtime_ns for path in folder.shards.iterdir()}
    second = render(folder, make_job(), how="crash", at=0)
    assert (second.found, second.rendered, second.digest) == (8, 0, first.digest)
    assert before == {path: path.stat().st_mtime_ns for path in folder.shards.iterdir()}


def test_larger_count_and_other_shard_size_render_only_what_is_missing(folder: Folder, tmp_path: Path) -> None:
    render(folder, make_job(count=4, shard_size=4))
    outcome = render(folder, make_job(count=9, shard_size=3))
    assert (outcome.found, outcome.rendered) == (4, 5)
    assert shard_files(folder) == ["samples_000000-000003.h5", "samples_000004-000006.h5", "samples_000007-000008.h5"]
    assert outcome.digest == render(Folder(tmp_path / "afresh"), make_job(count=9, shard_size=9)).digest


def test_smaller_count_links_the_first_samples_and_keeps_the_rest(folder: Folder, tmp_path: Path) -> None:
    render(folder, make_job(count=8, shard_size=4))
    outcome = render(folder, make_job(count=6, shard_size=4))
    assert outcome.rendered == 0 and len(shard_files(folder)) == 2
    assert outcome.digest == verify(folder, deep=True).digest
    assert outcome.digest == render(Folder(tmp_path / "six"), make_job(count=6)).digest
    assert render(folder, make_job(count=8)).rendered == 0


@pytest.mark.parametrize("damage", [truncate, flip_a_byte_of_pixels, replace_pixels])
def test_damaged_shard_is_reported_and_rendered_again(folder: Folder, console: Console, damage) -> None:
    digest = render(folder, make_job()).digest
    damaged = folder.shards / "samples_000004-000007.h5"
    damage(damaged)

    found = verify(folder, deep=True)
    assert not found.passed and found.bad == 4 and found.samples == 4
    assert any(damaged.name in problem for problem in found.problems)
    status = read_status(folder, deep=True)
    assert (status.state, status.done, status.bad_shards[0].shard) == ("damaged", 4, damaged.stem)

    outcome = render(folder, make_job(), console)
    assert (outcome.found, outcome.rendered, outcome.digest) == (4, 4, digest)
    assert damaged.name in console.export_text()
    assert verify(folder, deep=True).passed and read_status(folder).state == "complete"
    assert damaged.with_name(damaged.name + ".bad").exists()


def test_flipped_bytes_in_a_file_that_looks_unchanged_are_mended_where_all_is_read(folder: Folder) -> None:
    digest = render(folder, make_job()).digest
    damaged = folder.shards / "samples_000004-000007.h5"
    stat = damaged.stat()
    flip_a_byte_of_pixels(damaged)
    os.utime(damaged, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (damaged.stat().st_size, damaged.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)

    told = " ".join(verify(folder, deep=True).problems)
    assert f"render-farm resume {folder.root} --deep" in told and damaged.name in told
    assert render(folder, make_job()).rendered == 0  # its journal vouches for it
    assert not verify(folder, deep=True).passed

    outcome = render(folder, make_job(), deep=True)
    assert (outcome.found, outcome.rendered, outcome.digest) == (4, 4, digest)
    assert verify(folder, deep=True).passed and damaged.with_name(damaged.name + ".bad").exists()


def test_shallow_status_sees_truncation(folder: Folder) -> None:
    render(folder, make_job())
    truncate(folder.shards / "samples_000000-000003.h5")
    status = read_status(folder)
    assert (status.state, status.wanted, status.done, status.missing) == ("damaged", 8, 4, 4)


def test_missing_shard_is_no_silent_zeros(folder: Folder) -> None:
    digest = render(folder, make_job()).digest
    (folder.shards / "samples_000000-000003.h5").unlink()
    with pytest.raises(InputError, match=r"samples_000000-000003\.h5, which is missing"):
        SampleFile(folder.dataset)
    found = verify(folder, deep=True)
    assert (found.samples, found.bad, found.missing, found.digest) == (4, 0, 4, None)
    assert read_status(folder).state == "incomplete"
    assert render(folder, make_job()).digest == digest


def test_foreign_and_renamed_shards_do_not_count(folder: Folder, tmp_path: Path) -> None:
    digest = render(folder, make_job()).digest
    other = Folder(tmp_path / "other")
    render(other, make_job(seed=5))
    first, second = (folder.shards / name for name in shard_files(folder))
    (other.shards / first.name).rename(first)
    second.rename(folder.shards / "samples_000008-000011.h5")
    status = read_status(folder)
    assert status.done == 0
    assert [bad.problem for bad in status.bad_shards] == [
        "holds samples of another recipe or seed", "does not hold the samples that its name says"]  # fmt: skip
    assert render(folder, make_job()).digest == digest


def test_folder_can_be_moved_and_read_from_anywhere(folder: Folder, tmp_path: Path, monkeypatch) -> None:
    job = make_job()
    digest = render(folder, job).digest
    moved = Folder(tmp_path / "elsewhere" / "moved")
    moved.root.parent.mkdir()
    folder.root.rename(moved.root)
    # A decoy in the current folder: links must be taken relative to the data set.
    decoy = tmp_path / "decoy"
    render(Folder(decoy), make_job(seed=9))
    monkeypatch.chdir(decoy)
    with SampleFile(Path("../elsewhere/moved/dataset.h5")) as file:
        assert np.array_equal(file.image(5, 1), make_sample(job, 5).image[1])
    assert verify(moved, deep=True).digest == digest
    link = tmp_path / "link.h5"
    link.symlink_to(moved.dataset)
    with SampleFile(link) as file:
        assert file.sample(7).digest == make_sample(job, 7).digest


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (make_job(seed=1), "seed (there 0, asked 1)"),
        (
            make_job(recipe="family: fake\nlayers: [{thickness_um: 3}]\n"),
            "layers[0].thickness_um (there nothing, asked 3)",
        ),
    ],
)
def test_another_job_in_the_same_folder_is_refused(folder: Folder, other: Job, said: str) -> None:
    render(folder, make_job())
    before = {path: path.read_bytes() for path in folder.root.rglob("*") if path.is_file() and path.name != ".lock"}
    with pytest.raises(InputError) as caught:
        render(folder, other)
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert before == {
        path: path.read_bytes() for path in folder.root.rglob("*") if path.is_file() and path.name != ".lock"
    }


@pytest.mark.parametrize("how", ["kill", "crash"])
def test_crash_costs_the_sample_under_way_and_no_other(folder: Folder, tmp_path: Path, how: str) -> None:
    outcome = render(folder, make_job(count=8), at=5, how=how, once=str(tmp_path / "once"))
    assert outcome.digest == verify(folder, deep=True).digest
    attempts = read_journals(folder.journal)
    assert sum(len(attempt.samples) for attempt in attempts) == 8  # none was rendered twice
    (failed,) = [failure for attempt in attempts for failure in attempt.failures]
    assert failed.index == 5 and ("SIGKILL" if how == "kill" else "scene fell apart") in failed.problem
    assert read_failures(folder)[5][0].problem == failed.problem


def test_sample_that_always_crashes_goes_to_quarantine_and_all_others_are_rendered(folder: Folder) -> None:
    with pytest.raises(RunFailed) as caught:
        render(folder, make_job(count=12), at=5, how="kill")
    message, failures = str(caught.value), read_failures(folder)
    assert "1 of 12 samples are in quarantine" in message and "sample 5: renderer was killed by SIGKILL" in message
    assert list(failures) == [5] and len(failures[5]) == 3
    assert str(folder.log_path(failures[5][-1].attempt)) in message
    status = read_status(folder)
    assert (status.done, status.missing) == (11, 1)
    assert not folder.dataset.exists()
    with pytest.raises(RunFailed, match="sample 5"):  # nor is it tried again without being asked
        render(folder, make_job(count=12))
    release(folder)
    assert render(folder, make_job(count=12)).rendered == 1


def test_input_that_cannot_be_rendered_is_not_tried_again(folder: Folder) -> None:
    with pytest.raises(RunFailed, match="sample 1: no such detector"):
        render(folder, make_job(count=4), at=1, how="refuse")
    assert len(read_failures(folder)[1]) == 1 and read_status(folder).done == 3


def test_machine_that_cannot_render_is_not_held_against_the_samples(folder: Folder) -> None:
    with pytest.raises(RunFailed, match="no OptiX device is visible"):
        render(folder, make_job(count=4), unfit="no OptiX device is visible")
    assert not read_failures(folder)
    assert render(folder, make_job(count=4)).rendered == 4


def test_renderer_that_hangs_is_killed(folder: Folder, tmp_path: Path) -> None:
    impatient = fake_cluster(pools={"local": {"engine": "local", "workers": 1, "sample_timeout_min": 0.03}})
    outcome = render(folder, make_job(count=4), cluster=impatient, at=2, how="hang", once=str(tmp_path / "once"))
    assert outcome.rendered == 4
    assert "silent for" in read_failures(folder)[2][0].problem


def test_several_renderers_share_a_task(folder: Folder, tmp_path: Path) -> None:
    wide = fake_cluster(pools={"local": {"engine": "local", "workers": 1, "processes_per_task": 3}})
    once = str(tmp_path / "once")
    outcome = render(folder, make_job(count=20), cluster=wide, at=7, how="kill", once=once, pause_s=0.02)
    assert outcome.digest == render(Folder(tmp_path / "plain"), make_job(count=20)).digest
    assert {attempt.processes for attempt in read_journals(folder.journal)} == {3}


def test_checkpoint_writes_what_there_is(folder: Folder) -> None:
    often = fake_cluster(checkpoint_s=0.2, pools={"local": {"engine": "local", "workers": 1}})
    render(folder, make_job(count=8, shard_size=100), cluster=often, pause_s=0.15)
    assert len(shard_files(folder)) >= 3


def test_half_written_files_of_a_killed_run_are_swept(folder: Folder) -> None:
    render(folder, make_job())
    left = [folder.shards / ".samples_000000-000003.0123abcd.tmp.h5", folder.root / ".dataset.0123abcd.tmp.h5"]
    for path in left:
        path.touch()
    render(folder, make_job())
    assert not any(path.exists() for path in left)


def test_second_run_in_the_same_folder_is_refused(folder: Folder) -> None:
    with folder.locked():
        with pytest.raises(InputError, match="another run is at work"):
            render(folder, make_job())
        assert folder.is_locked()
    assert not folder.is_locked()
    render(folder, make_job())


def test_status_tells_the_pace_from_what_was_rendered(folder: Folder) -> None:
    render(folder, make_job(), pause_s=0.05)
    pace = read_status(folder).seconds_per_sample
    assert pace is not None and 0.05 <= pace < 5


def test_versions_and_devices_of_all_shards_are_named(folder: Folder) -> None:
    render(folder, make_job())
    with h5py.File(folder.shards / "samples_000000-000003.h5", "r+") as file:
        file.attrs["device"] = "OPTIX"
    render(folder, make_job())
    with SampleFile(folder.dataset) as file:
        assert file.header.device == "OPTIX, fake" and file.header.versions == {"fake": "1"}
