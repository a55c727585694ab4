"""A folder is told from every other, is held by one run, and says so where that cannot be."""

import errno
import fcntl
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from farm_fakes import make_job

from render_farm.disk.folder import Folder
from semforge.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "out")
    folder.begin(make_job())
    return folder


def altered(folder: Folder, **changes: object) -> None:
    told = json.loads(folder.job_file.read_text()) | changes
    folder.job_file.write_text(json.dumps({key: value for key, value in told.items() if value is not None}))


def test_a_folder_keeps_its_name_in_the_queue(folder: Folder, tmp_path: Path) -> None:
    name = folder.queue_name
    assert re.fullmatch("semforge-[0-9a-f]{10}", name)
    folder.begin(make_job(count=99))
    assert folder.queue_name == name and folder.job().count == 99
    other = Folder(tmp_path / "other")
    other.begin(folder.job())  # also of a job that was read from another folder
    assert other.queue_name != name


def test_a_moved_folder_keeps_its_name(folder: Folder, tmp_path: Path) -> None:
    name = folder.queue_name
    moved = Folder(folder.root.rename(tmp_path / "elsewhere"))
    assert moved.queue_name == name
    Folder(folder.root).begin(make_job())  # a new folder in the old place
    assert folder.queue_name != name == moved.queue_name
    moved.begin(make_job())
    assert moved.queue_name == name and moved.job().place == str(moved.root)


def test_another_path_to_the_folder_has_its_name(folder: Folder, tmp_path: Path) -> None:
    altered(folder, place="/another/mount/of/it")
    assert folder.identity == folder.job().id
    altered(folder, place=str(tmp_path / "mount"))
    shutil.copytree(folder.root, tmp_path / "mount")  # what is found there has the id, too
    assert folder.identity == folder.job().id  # the inode tells that this is the original


def test_a_copy_is_another_folder(folder: Folder, tmp_path: Path) -> None:
    copy = Folder(Path(shutil.copytree(folder.root, tmp_path / "copy")))
    before = copy.queue_name
    assert before != folder.queue_name  # before it is begun, so that `cancel` there leaves the original alone
    copy.begin(make_job())
    assert copy.queue_name not in (before, folder.queue_name)
    assert copy.identity == copy.job().id


def test_a_folder_that_was_moved_to_another_disk_keeps_its_name(folder: Folder, tmp_path: Path) -> None:
    name = folder.queue_name
    copy = Folder(Path(shutil.copytree(folder.root, tmp_path / "copy")))
    shutil.rmtree(folder.root)
    assert copy.queue_name == name
    copy.begin(make_job())
    assert copy.queue_name == name


def test_a_folder_of_before_keeps_the_name_of_its_path(folder: Folder) -> None:
    altered(folder, id=None, place=None, inode=None)
    name = folder.queue_name
    assert name == Folder(folder.root.parent / "." / "out").queue_name
    folder.begin(make_job())
    assert folder.queue_name == name and folder.job().id == name.removeprefix("semforge-")


def test_a_run_notices_that_its_folder_is_gone(folder: Folder, tmp_path: Path) -> None:
    identity = folder.identity
    assert folder.is_still(identity)
    folder.begin(make_job(count=9))
    assert folder.is_still(identity)
    folder.root.rename(tmp_path / "elsewhere")
    assert not folder.is_still(identity)
    folder.begin(make_job())
    assert not folder.is_still(identity)
    shutil.rmtree(folder.root)
    folder.root.write_text("a file")
    assert not folder.is_still(identity)


@pytest.mark.parametrize("keep", [0, 40, -3])
def test_a_job_that_was_cut_short_is_one_line(folder: Folder, keep: int) -> None:
    identity = folder.identity
    folder.job_file.write_bytes(folder.job_file.read_bytes()[:keep])
    for call in (folder.job, lambda: folder.begin(make_job()), lambda: folder.queue_name):
        with pytest.raises(InputError) as caught:
            call()
        message = str(caught.value)
        assert message.startswith(f"{folder.job_file}: is not valid JSON") and "restore it" in message
        assert "YAML" not in message and "\n" not in message
    assert not folder.is_still(identity)


def test_a_job_of_another_kind_is_named(folder: Folder) -> None:
    folder.job_file.write_text("[]")
    with pytest.raises(InputError, match="found a list, expected an object"):
        folder.job()
    folder.job_file.write_text(json.dumps(make_job().model_dump() | {"sede": 3}))
    with pytest.raises(InputError, match=r"sede: unknown key; did you mean 'seed'"):
        folder.job()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_one_line(folder: Folder, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    with folder.locked():
        pass

    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    for call in (folder.locked().__enter__, folder.is_locked, folder.holder):
        with pytest.raises(InputError) as caught:
            call()
        message = str(caught.value)
        assert message.startswith(f"{folder.root}: ") and os.strerror(number) in message and "flock" in message
        assert "NFSv4" in message and "\n" not in message


def test_one_run_holds_a_folder(folder: Folder) -> None:
    assert not folder.is_locked() and folder.holder() is None
    with folder.locked():
        assert folder.is_locked()
        holder = folder.holder()
        assert holder is not None and holder.pid == os.getpid()
        with pytest.raises(InputError, match=f"another run is at work here .*process {os.getpid()}"), folder.locked():
            pass
    assert not folder.is_locked()
