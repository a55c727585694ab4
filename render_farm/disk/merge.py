"""Shards to one data set file that links them.

`dataset.h5` has the form of a shard (see `blender_gen.sample`). Its large arrays are HDF5
virtual datasets over the shards, named relative to the file, so that the folder can be
moved as a whole; everything small is copied.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import h5py

from blender_gen.sample import STRINGS, Header, SampleFile, array_names, combined_digest, write_header
from render_farm.disk.folder import Folder, Job
from render_farm.planning.plan import Shard
from semforge.errors import InputError
from semforge.files import whole_file


@dataclass(frozen=True)
class Link:
    """`length` samples from `position` in a shard on, which become samples `start`, ... of the data set."""

    shard: Shard
    position: int
    start: int
    length: int


def plan_links(count: int, shards: Sequence[Shard]) -> list[Link]:
    """Where samples 0 ... count - 1 come from; where shards overlap, the first one given serves.

    Raises ValueError if a sample is in no shard.
    """
    owner: dict[int, Shard] = {}
    for shard in shards:
        for index in shard.indices:
            owner.setdefault(index, shard)
    missing = [index for index in range(count) if index not in owner]
    if missing:
        raise ValueError(f"{len(missing)} samples are in no shard, the first is {missing[0]}")
    links = []
    for shard, group in groupby(range(count), owner.__getitem__):
        indices = list(group)
        links.append(Link(shard, indices[0] - shard.start, indices[0], len(indices)))
    return links


def merge(folder: Folder, job: Job, shards: Sequence[Shard]) -> str:
    """Write `dataset.h5` over verified shards, whole or not at all; returns its digest.

    Raises InputError if the shards do not fit together, ValueError if a sample is in none.
    """
    links = plan_links(job.count, shards)
    header = _common_header(folder, job, [link.shard for link in links])
    with whole_file(folder.dataset) as temporary, h5py.File(temporary, "w") as file:
        digest = combined_digest(_link(file, folder, job.count, links), job.recipe_hash, job.seed)
        write_header(file, header, digest)
    return digest


def _link(file: h5py.File, folder: Folder, count: int, links: list[Link]) -> list[str]:
    """Link the large arrays of all shards into `file` and copy the small ones; returns the digests in index order."""
    layouts: dict[str, h5py.VirtualLayout] = {}
    digests: list[str] = []
    for name in STRINGS:
        file.create_dataset(name, (count,), h5py.string_dtype())
    for link in links:
        path = folder.shard_path(link.shard)
        here, there = slice(link.position, link.position + link.length), slice(link.start, link.start + link.length)
        with h5py.File(path, "r") as shard:
            for name in array_names(shard):
                array = shard[name]
                layout = layouts.setdefault(name, h5py.VirtualLayout((count, *array.shape[1:]), array.dtype))
                layout[there] = h5py.VirtualSource(str(path.relative_to(folder.root)), name, array.shape)[here]
            for name in STRINGS:  # shard by shard: all truths together may not fit into memory
                # a shard older than the dataset `device` has it as an attribute only
                file[name][there] = shard[name][here] if name in shard else [shard.attrs[name]] * link.length
            for name in ("index", "pixel_size_um"):
                file.require_dataset(name, (count,), shard[name].dtype)[there] = shard[name][here]
            digests += (text.decode() for text in shard["digest"][here])
    for name, layout in layouts.items():
        file.create_virtual_dataset(name, layout)
    return digests


def _common_header(folder: Folder, job: Job, shards: Iterable[Shard]) -> Header:
    """The header of all; where versions or devices differ between shards, all of them are named.

    Raises InputError if the shards do not fit together.
    """
    headers: list[Header] = []  # that differ; of many shards few do
    forms = set()
    for shard in dict.fromkeys(shards):
        with SampleFile(folder.shard_path(shard)) as source:  # one after the other: they may be more than can be open
            forms.add((source.images_per_sample, *source.shape, source.pass_names, source.edx_names))
            if source.header not in headers:
                headers.append(source.header)
    if len(forms) != 1:
        raise InputError(f"{folder.shards}: shards hold images of different sizes; render into a new folder")
    if len({header.phase_names for header in headers}) != 1:
        raise InputError(f"{folder.shards}: shards name their phases differently; render into a new folder")
    programs = sorted({program for header in headers for program in header.versions})
    versions = {p: _all_of(header.versions[p] for header in headers if p in header.versions) for p in programs}
    return Header(
        recipe=job.recipe, recipe_hash=job.recipe_hash, seed=job.seed, phase_names=headers[0].phase_names,
        versions=versions, device=_all_of(header.device for header in headers),
    )  # fmt: skip


def _all_of(values: Iterable[str]) -> str:
    return ", ".join(sorted(set(values)))
