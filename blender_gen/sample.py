"""Samples and the HDF5 files that hold them.

A shard is one HDF5 file of many samples, first axis the sample:

===============  ============  ============  ===================================================
dataset          shape         dtype         meaning
===============  ============  ============  ===================================================
image            (N, K, H, W)  uint8/uint16  K micrographs of one specimen, grey levels
phase            (N, H, W)     uint8         phase id, an index into the attribute `phase_names`
instance         (N, H, W)     uint32        body id within the sample, 0 is the matrix
pixel_size_um    (N,)          float64       edge of a square pixel in µm
truth            (N,)          string        JSON: what the specimen is, from its geometry
imaging          (N,)          string        JSON list of K: how each micrograph was taken
index            (N,)          int64         the sample's index in the data set
digest           (N,)          string        SHA-256 of the sample's content
device           (N,)          string        what rendered the sample, such as `OPTIX: NVIDIA H200`
===============  ============  ============  ===================================================

Where the recipe says `imaging.keep_passes`, the group `passes` holds what new micrographs of the
specimens are taken of, packed by `blender_gen.reimaging`, first axis the sample, last two the pixels.

Where the recipe has `edx`, the group `edx` holds what its `store` asks for, C channels, b pixels binned
along each side, P the parts of `truth["edx"]["parts"]`:

=====================  =====================  ============  =============================================
dataset                shape                  dtype         meaning
=====================  =====================  ============  =============================================
particle_spectra       (N, M, C)              uint32        counts; M the most that the recipe stores
particle_instance      (N, M)                 uint32        whose; largest visible first, 0 is nobody's
particle_shares        (N, M, P)              float32       of each part in the beam that it stands in
particle_na_s          (N, M)                 float32       dose in nA s
spectrum_image         (N, H/b, W/b, C)       uint16        counts
element_maps           (N, E, H/b, W/b)       uint32/int32  counts in windows; below 0 only if net
shares                 (N, P, H/b, W/b)       uint8         of each part in a pixel's X-rays, 255 is all
=====================  =====================  ============  =============================================

`truth["edx"]` has axis, beam, dose, detector and windows of the sample.

File attributes: `schema`, `recipe` (text), `recipe_hash`, `seed`, `phase_names` (JSON),
`versions` (JSON), `device`, `digest`. A data set (`dataset.h5`) has the same form with
its large arrays linked to the shards beside it, so one reader serves both.

The device is no content: digests do not know it. Files older than the dataset `device` are
read as if each sample had been rendered on what the attribute names.
"""

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from semforge.errors import InputError
from semforge.files import existing_file, whole_file

SCHEMA = 1
DATASET = "dataset.h5"
KEPT_READS = 200  # so many files may be open at a time, most
ARRAYS = ("image", "phase", "instance")
STRINGS = ("truth", "imaging", "digest", "device")
ADDED = ("device",)  # not in the first files of this schema
PASSES = "passes"  # the group of what is stored for new micrographs
EDX = "edx"  # the group of spectra
GROUPS = (PASSES, EDX)


@dataclass(frozen=True)
class Sample:
    """One specimen, its exact label maps and K micrographs of it."""

    index: int
    image: np.ndarray  # (K, H, W) uint8 or uint16
    phase: np.ndarray  # (H, W) uint8
    instance: np.ndarray  # (H, W) uint32
    pixel_size_um: float
    truth: dict[str, Any]
    imaging: list[dict[str, Any]]
    device: str = "unknown"  # kind and name of what rendered it
    passes: dict[str, np.ndarray] = field(default_factory=dict)  # name -> (..., H, W); for new micrographs
    edx: dict[str, np.ndarray] = field(default_factory=dict)  # name -> spectra, element maps and shares

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays in memory."""
        return sum(array.nbytes for array in _arrays(self).values())

    @property
    def digest(self) -> str:
        """SHA-256 over everything in the sample but what rendered it.

        The same in every shard and on every worker of one platform and one kind of device.
        """
        sha = hashlib.sha256()
        for array in _arrays(self).values():
            sha.update(f"{array.dtype.str}{array.shape}".encode())
            sha.update(np.ascontiguousarray(array).tobytes())
        for part in (self.index, float(self.pixel_size_um), self.truth, self.imaging):
            sha.update(to_json(part).encode())
        return sha.hexdigest()


@dataclass(frozen=True)
class Header:
    """What is true of every sample in a file."""

    recipe: str  # the recipe's YAML text
    recipe_hash: str
    seed: int
    phase_names: tuple[str, ...]
    versions: dict[str, str]
    device: str


def combined_digest(digests: Iterable[str], recipe_hash: str, seed: int) -> str:
    """Digest of samples in index order: depends on recipe, seed and which samples, not on shards or workers."""
    sha = hashlib.sha256(f"{recipe_hash}:{seed}".encode())
    for digest in digests:
        sha.update(digest.encode())
    return sha.hexdigest()


def to_json(value: Any) -> str:
    """Canonical JSON: sorted keys, no spaces, NumPy scalars as plain numbers; NaN is refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain, allow_nan=False)


def write_samples(path: Path, samples: Sequence[Sample], header: Header) -> str:
    """Write a shard whole or not at all; returns its digest.

    Raises ValueError if there is no sample or if shapes differ between samples, OSError if there is no room.
    """
    if not samples:
        raise ValueError("a shard needs at least one sample")
    if len({tuple((name, array.shape, array.dtype) for name, array in _arrays(s).items()) for s in samples}) != 1:
        raise ValueError("all samples of a shard must have one shape and one dtype")
    digest = combined_digest((s.digest for s in samples), header.recipe_hash, header.seed)
    text = h5py.string_dtype()
    memory = io.BytesIO()  # HDF5 itself cannot be trusted to survive a full disk
    with h5py.File(memory, "w") as file:
        for name, first in _arrays(samples[0]).items():
            shape = (len(samples), *first.shape)
            chunk = (1,) * (len(shape) - 2) + shape[-2:]
            stack = file.create_dataset(
                name, shape, first.dtype, chunks=chunk, compression="gzip", compression_opts=1, shuffle=True
            )
            for position, sample in enumerate(samples):  # one after the other: spectrum images are large
                stack[position] = _arrays(sample)[name]
        file["index"] = np.array([s.index for s in samples], dtype=np.int64)
        file["pixel_size_um"] = np.array([s.pixel_size_um for s in samples], dtype=np.float64)
        file.create_dataset("truth", data=[to_json(s.truth) for s in samples], dtype=text)
        file.create_dataset("imaging", data=[to_json(s.imaging) for s in samples], dtype=text)
        file.create_dataset("digest", data=[s.digest for s in samples], dtype=text)
        file.create_dataset("device", data=[s.device for s in samples], dtype=text)
        write_header(file, header, digest)
    with whole_file(path) as temporary:
        temporary.write_bytes(memory.getbuffer())
    return digest


def array_names(file: h5py.File) -> list[str]:
    """The large arrays of an open sample file."""
    return [*ARRAYS, *(f"{group}/{name}" for group in GROUPS for name in file.get(group, ()))]


def _arrays(sample: Sample) -> dict[str, np.ndarray]:
    """The large arrays of a sample by their names in the file, in the order of its digest."""
    groups = {PASSES: sample.passes, EDX: sample.edx}
    more = {f"{group}/{name}": arrays[name] for group, arrays in groups.items() for name in sorted(arrays)}
    return {name: getattr(sample, name) for name in ARRAYS} | more


def write_header(file: h5py.File, header: Header, digest: str) -> None:
    """Put the file attributes that every sample file carries."""
    file.attrs.update({
        "schema": SCHEMA, "recipe": header.recipe, "recipe_hash": header.recipe_hash, "seed": header.seed,
        "phase_names": json.dumps(header.phase_names), "versions": to_json(header.versions),
        "device": header.device, "digest": digest,
    })  # fmt: skip


class SampleFile:
    """Reader of a shard, a data set, or the folder of one; opens lazily, once a process, so it can be pickled.

    Raises InputError if the file is missing, truncated, or not a semforge sample file.
    """

    def __init__(self, path: Path):
        path = Path(path)
        self.path = existing_file(path / DATASET if path.is_dir() else path, f"a shard or {DATASET}")
        self._file: h5py.File | None = None
        self._kept: dict[str, h5py.Dataset] = {}
        self._reads = 0
        file = self._open()
        missing = [n for n in (*ARRAYS, *STRINGS, "index", "pixel_size_um") if n not in file and n not in ADDED]
        if missing or file.attrs.get("schema") != SCHEMA:
            raise InputError(f"{path}: is not a semforge sample file of schema {SCHEMA}; render it again")
        self._require_sources(file)
        self.header = Header(
            recipe=file.attrs["recipe"], recipe_hash=file.attrs["recipe_hash"], seed=int(file.attrs["seed"]),
            phase_names=tuple(json.loads(file.attrs["phase_names"])),
            versions=json.loads(file.attrs["versions"]), device=file.attrs["device"],
        )  # fmt: skip
        self.digest: str = file.attrs["digest"]
        self.index: np.ndarray = file["index"][:]
        self.pixel_size_um: np.ndarray = file["pixel_size_um"][:]
        self.pass_names: tuple[str, ...] = tuple(file.get(PASSES, ()))
        self.edx_names: tuple[str, ...] = tuple(file.get(EDX, ()))
        self.images_per_sample: int = file["image"].shape[1]
        self.shape: tuple[int, int] = file["image"].shape[2:]

    def __len__(self) -> int:
        return len(self.index)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_kept": {}}

    def __enter__(self) -> "SampleFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a later read opens it again."""
        self._kept.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def image(self, position: int, k: int = 0) -> np.ndarray:
        """Micrograph k of the sample at `position`: (H, W) uint8 or uint16."""
        return self._read("image", (position, k))

    def phase(self, position: int) -> np.ndarray:
        """Phase ids of the sample at `position`: (H, W) uint8."""
        return self._read("phase", position)

    def instance(self, position: int) -> np.ndarray:
        """Body ids of the sample at `position`: (H, W) uint32."""
        return self._read("instance", position)

    def passes(self, position: int) -> dict[str, np.ndarray]:
        """What new micrographs of the sample at `position` are taken of; empty where it was not kept."""
        return {name: self._read(f"{PASSES}/{name}", position) for name in self.pass_names}

    def edx(self, position: int, *names: str) -> dict[str, np.ndarray]:
        """Spectra, element maps and shares of the sample at `position`: those named, all that are kept without names.

        Empty where the recipe has no `edx`. Raises InputError if a name is not kept.
        """
        return {name: self._read(f"{EDX}/{name}", position) for name in names or self.edx_names}

    def truth(self, position: int) -> dict[str, Any]:
        """The specimen's truth, as `blender_gen.truth` wrote it."""
        return json.loads(self._read("truth", position))

    def rejected(self) -> int:
        """How many draws of specimens were rejected and replaced, over all samples."""
        return sum(len(self.truth(position).get("rejected", ())) for position in range(len(self)))

    def imaging(self, position: int) -> list[dict[str, Any]]:
        """The imaging conditions of the K micrographs."""
        return json.loads(self._read("imaging", position))

    def device(self, position: int) -> str:
        """What rendered the sample; in a file that does not say it of each sample, the header's device."""
        return self._read("device", position).decode() if "device" in self._open() else self.header.device

    def stored_digest(self, position: int) -> str:
        """The digest written with the sample, to compare with `sample(position).digest`."""
        return self._read("digest", position).decode()

    def stored_digests(self) -> list[str]:
        """The digests of all samples, as they were written."""
        return [digest.decode() for digest in self._read("digest", slice(None))]

    def sample(self, position: int) -> Sample:
        """Everything of the sample at `position`."""
        return Sample(
            index=int(self.index[position]), image=self._read("image", position), phase=self.phase(position),
            instance=self.instance(position), pixel_size_um=float(self.pixel_size_um[position]),
            truth=self.truth(position), imaging=self.imaging(position),
            device=self.device(position), passes=self.passes(position), edx=self.edx(position),
        )  # fmt: skip

    def _open(self) -> h5py.File:
        if self._file is None:
            try:
                # HDF5 looks for linked files beside the path as given, then in the current folder: give the real one.
                self._file = h5py.File(self.path.resolve(), "r")
            except OSError as error:
                raise InputError(f"{self.path}: is not a whole HDF5 file (truncated?); render it again") from error
        return self._file

    def _dataset(self, name: str) -> h5py.Dataset:
        """A dataset, kept open for KEPT_READS reads.

        Opening one that links thousands of shards takes longer than a sample; but while it is
        open, so is every shard that was read through it.
        """
        self._reads += 1
        if self._reads % KEPT_READS == 0:
            self._kept.clear()
        file = self._open()
        if name not in self._kept:
            self._kept[name] = file[name]
        return self._kept[name]

    def _require_sources(self, file: h5py.File) -> None:
        """HDF5 reads zeros where a linked file is missing, silently; refuse to open instead."""
        if not file["image"].is_virtual:
            return
        folder = self.path.resolve().parent
        linked = dict.fromkeys(source.file_name for source in file["image"].virtual_sources())
        missing = [name for name in linked if not (folder / name).is_file()]
        if missing:
            others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise InputError(f"{self.path}: links {missing[0]}, which is missing{others}; run render-farm again")

    def _read(self, name: str, where: Any) -> Any:
        try:
            return self._dataset(name)[where]
        except (OSError, KeyError) as error:
            raise InputError(f"{self.path}: {name} of sample {where} cannot be read; render it again") from error


def verify_samples(path: Path) -> tuple[SampleFile, list[int]]:
    """Open a sample file and recompute every digest.

    Returns the reader and the indices of the samples whose content does not match its digest.
    Raises InputError if the file as a whole cannot be read or its digest does not follow from its samples.
    """
    file = SampleFile(path)
    digests, bad = [], []
    for position in range(len(file)):
        stored = file.stored_digest(position)
        digests.append(stored)
        try:
            good = file.sample(position).digest == stored
        except (InputError, ValueError):
            good = False
        if not good:
            bad.append(int(file.index[position]))
    if combined_digest(digests, file.header.recipe_hash, file.header.seed) != file.digest:
        raise InputError(f"{path}: the file's digest does not follow from its samples; render it again")
    return file, bad


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be stored as JSON")
