"""Samples of several devices in one data set, shards that do not say it of each sample among them."""

from pathlib import Path

import h5py
import numpy as np

from blender_gen.sample import Header, Sample, SampleFile, write_samples
from render_farm.disk.folder import Folder, Job
from render_farm.disk.merge import merge
from render_farm.planning.plan import Shard


def test_each_sample_keeps_its_device(tmp_path: Path) -> None:
    folder, job = Folder(tmp_path), Job(recipe="family: fake\n", recipe_hash="0" * 64, seed=0, count=4, shard_size=2)
    folder.shards.mkdir()
    blank = np.zeros((4, 4), dtype=np.uint8)
    old, new = Shard(0, 2), Shard(2, 4)
    for shard, device in ((old, "CPU"), (new, "OPTIX: Card")):
        header = Header(job.recipe, job.recipe_hash, job.seed, ("matrix",), {}, device)
        samples = [Sample(i, blank[None], blank, blank.astype(np.uint32), 0.5, {}, [{}], device) for i in shard.indices]
        write_samples(folder.shard_path(shard), samples, header)
    with h5py.File(folder.shard_path(old), "r+") as file:
        del file["device"]  # a file older than this dataset
    merge(folder, job, [old, new])
    with SampleFile(folder.dataset) as file:
        assert [file.device(position) for position in range(4)] == ["CPU", "CPU", "OPTIX: Card", "OPTIX: Card"]
        assert file.header.device == "CPU, OPTIX: Card"
