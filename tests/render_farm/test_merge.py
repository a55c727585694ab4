import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from blender_gen.sample import KEPT_READS, Header, Sample, SampleFile, verify_samples, write_samples
from render_farm.disk.folder import Folder, Job
from render_farm.disk.merge import merge
from render_farm.planning.plan import Shard
from semforge.errors import InputError

HEADER = Header("family: fake\n", "0" * 64, 0, ("matrix", "pore"), {"fake": "1"}, "CPU")


def sample(index: int) -> Sample:
    pixels = np.full((4, 4), index % 256, np.uint8)
    return Sample(index, pixels[None], pixels // 255, pixels.astype(np.uint32), 1.0, {"index": index}, [{"k": index}])


def shards_of_three(root: Path, shards: int) -> tuple[Folder, Job]:
    folder, job = Folder(root), Job(recipe=HEADER.recipe, recipe_hash="0" * 64, seed=0, count=3 * shards, shard_size=3)
    folder.begin(job)
    for start in range(0, job.count, 3):
        shard = Shard(start, start + 3)
        write_samples(folder.shard_path(shard), [sample(index) for index in shard.indices], HEADER)
    return folder, job


@contextmanager
def files_may_be_open(more: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_shards_than_files_may_be_open_are_merged(tmp_path: Path) -> None:
    folder, job = shards_of_three(tmp_path, 40)
    with files_may_be_open(12):
        merge(folder, job, folder.shards_on_disk())
    file, bad = verify_samples(folder.dataset)
    with file:
        assert not bad
        assert file.index.tolist() == list(range(120))
        assert [file.truth(k)["index"] for k in range(120)] == list(range(120))
        assert [int(file.image(k)[0, 0]) for k in range(120)] == list(range(120))


def test_reading_all_samples_of_many_shards_keeps_few_files_open(tmp_path: Path) -> None:
    folder, job = shards_of_three(tmp_path, KEPT_READS + 50)
    merge(folder, job, folder.shards_on_disk())
    with files_may_be_open(KEPT_READS + 10), SampleFile(folder.dataset) as file:
        assert [int(file.image(k)[0, 0]) for k in range(0, job.count, 3)] == [k % 256 for k in range(0, job.count, 3)]


def test_where_shards_overlap_each_sample_is_linked_once(tmp_path: Path) -> None:
    folder, job = shards_of_three(tmp_path, 4)
    extra = Shard(2, 7)
    write_samples(folder.shard_path(extra), [sample(index) for index in extra.indices], HEADER)
    assert merge(folder, job, folder.shards_on_disk()) == merge(folder, job, folder.shards_on_disk()[::-1])
    with SampleFile(folder.dataset) as file:
        assert [file.truth(k)["index"] for k in range(12)] == list(range(12))


def test_what_samples_keep_for_new_micrographs_is_linked_too(tmp_path: Path) -> None:
    folder, job = Folder(tmp_path), Job(recipe=HEADER.recipe, recipe_hash="0" * 64, seed=0, count=4, shard_size=2)
    folder.begin(job)
    for start in (0, 2):
        shard = Shard(start, start + 2)
        kept = [replace(sample(i), passes={"normal": np.full((2, 4, 4), i, np.int16)}) for i in shard.indices]
        write_samples(folder.shard_path(shard), kept, HEADER)
    merge(folder, job, folder.shards_on_disk())
    file, bad = verify_samples(folder.dataset)
    with file:
        assert not bad and file.pass_names == ("normal",)
        assert [int(file.passes(k)["normal"][1, 3, 3]) for k in range(4)] == [0, 1, 2, 3]


def test_spectra_are_linked_too(tmp_path: Path) -> None:
    folder, job = Folder(tmp_path), Job(recipe=HEADER.recipe, recipe_hash="0" * 64, seed=0, count=4, shard_size=2)
    folder.begin(job)
    for start in (0, 2):
        shard = Shard(start, start + 2)
        spectra = {"particle_spectra": np.zeros((5, 16), np.uint32), "spectrum_image": np.ones((4, 4, 16), np.uint16)}
        kept = [replace(sample(i), edx={n: a + a.dtype.type(i) for n, a in spectra.items()}) for i in shard.indices]
        write_samples(folder.shard_path(shard), kept, HEADER)
    merge(folder, job, folder.shards_on_disk())
    file, bad = verify_samples(folder.dataset)
    with file:
        assert not bad and file.edx_names == ("particle_spectra", "spectrum_image")
        assert [int(file.edx(k, "particle_spectra")["particle_spectra"][4, 15]) for k in range(4)] == [0, 1, 2, 3]
        assert [int(file.sample(k).edx["spectrum_image"][3, 3, 0]) for k in range(4)] == [1, 2, 3, 4]
    write_samples(folder.shard_path(Shard(2, 4)), [sample(2), sample(3)], HEADER)
    with pytest.raises(InputError, match="different sizes"):
        merge(folder, job, folder.shards_on_disk())
