"""Spectrum images whose phases are known, and spectrum images at all: read part by part, never as a whole."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np

from blender_gen.sample import DATASET, SampleFile
from sem_train.micrographs.label_maps import read_label_map
from semforge.errors import InputError
from semforge.spectra import EnergyAxis, open_spectrum_image

IMAGE = "spectrum_image"  # in the group edx of a sample file
SHARE_OF_ALL = 255  # how a sample file writes a share of 1
UNKNOWN = -1  # label of pixels that do not count
TILE_PX = 16  # edge of the tiles of spectrum images in files
BLOCK_BYTES = 48 * 1024**2  # of counts in memory at a time


class Counts(Protocol):
    """Counts of a spectrum image, wherever they are."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """(h, w, C) of these rows and columns."""


@dataclass(frozen=True)
class InMemory:
    """Counts (H, W, C) that are at hand."""

    counts: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.counts.shape  # type: ignore[return-value]

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        return self.counts[rows, columns]


@dataclass(frozen=True)
class OfSample:
    """Counts of one sample of a sample file."""

    path: Path
    position: int
    shape: tuple[int, int, int]

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        with h5py.File(self.path.resolve(), "r") as file:
            return file["edx"][IMAGE][self.position, rows, columns]


@dataclass(frozen=True)
class OfFile:
    """Counts of a spectrum image's own file."""

    path: Path
    shape: tuple[int, int, int]

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        with open_spectrum_image(self.path) as image:
            return image.part(rows, columns)


@dataclass(frozen=True)
class SpectralImage:
    """A spectrum image that is read in parts."""

    name: str
    counts: Counts
    axis: EnergyAxis
    beam_kev: float | None = None
    pixel_size_um: float | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.counts.shape[:2]

    def blocks(self, multiple: int = 1, bytes_: int = BLOCK_BYTES) -> Iterator[tuple[slice, slice, np.ndarray]]:
        """Rows, columns and counts (h, w, C) of all parts; their edges lie at multiples of so many pixels."""
        height, width, channels = self.counts.shape
        pixels = max(1, bytes_ // (4 * channels))
        step = lambda size: max(multiple, size // multiple * multiple)
        across = min(step(pixels // multiple), -(-width // multiple) * multiple)
        down = step(pixels // across)
        whole = math.lcm(multiple, TILE_PX)
        down = down // whole * whole or down  # a tile of the file that lies in two parts is decompressed twice
        for top in range(0, height, down):
            for left in range(0, width, across):
                rows, columns = slice(top, min(top + down, height)), slice(left, min(left + across, width))
                yield rows, columns, self.counts.read(rows, columns)


@dataclass(frozen=True)
class Scene(SpectralImage):
    """A spectrum image whose phases are known."""

    names: tuple[str, ...] = ()
    labels: np.ndarray | None = None  # (H, W) int16, positions in `names`; UNKNOWN where not known
    shares: np.ndarray | None = None  # (H, W, names) float32 of each phase in a pixel's X-rays, where known
    interior: np.ndarray | None = None  # (H, W) bool, where the file says it


def open_image(path: Path, sample: int = 0) -> SpectralImage:
    """A spectrum image: own HDF5 or HyperSpy's file, or one sample of a sample file. Raises InputError."""
    path = Path(path)
    if _is_samples(path):
        scenes = open_scenes(path)
        if not 0 <= sample < len(scenes):
            raise InputError(f"{path}: has samples 0 to {len(scenes) - 1}, found {sample}; name one of them")
        return scenes[sample]
    with open_spectrum_image(path) as image:
        shape = tuple(int(n) for n in image.counts.shape)
        return SpectralImage(path.stem, OfFile(path, shape), image.axis, image.beam_kev, image.pixel_size_um)  # type: ignore[arg-type]


def open_scenes(path: Path, labels: Path | None = None) -> list[Scene]:
    """The spectrum images of a sample file, or one spectrum image with its label map.

    Raises InputError if there are no spectrum images, no labels, or labels of another size.
    """
    path = Path(path)
    if _is_samples(path):
        return _of_samples(path)
    image = open_image(path)
    beside = labels or next(
        (p for end in (".tif", ".png") if (p := path.with_name(f"{path.stem}_labels{end}")).is_file()), None
    )
    if beside is None:
        raise InputError(f"{path}: has no labels, expected a label map {path.stem}_labels.tif beside it, or 'labels'")
    label_map = read_label_map(beside)
    if label_map.labels.shape != image.shape:
        found, wanted = (" × ".join(map(str, shape)) for shape in (label_map.labels.shape, image.shape))
        raise InputError(f"{beside}: is of {found} pixels, expected the {wanted} of {path}")
    ids = label_map.labels.astype(np.int16)
    names = label_map.classes.names if label_map.classes else tuple(f"class_{i}" for i in range(int(ids.max()) + 1))
    ids[ids >= len(names)] = UNKNOWN
    return [Scene(image.name, image.counts, image.axis, image.beam_kev, image.pixel_size_um, names, ids)]


def _is_samples(path: Path) -> bool:
    file = path / DATASET if path.is_dir() else path
    if not file.is_file() or not h5py.is_hdf5(file):
        return False
    with h5py.File(file, "r") as opened:
        return "phase" in opened and "instance" in opened


def _of_samples(path: Path) -> list[Scene]:
    with SampleFile(path) as file:
        if IMAGE not in file.edx_names:
            raise InputError(f"{path}: keeps no spectrum images, expected a recipe with edx: {{store: [image]}}")
        with h5py.File(file.path.resolve(), "r") as opened:
            count, *shape = opened["edx"][IMAGE].shape
        return [_of_sample(file, position, tuple(shape)) for position in range(count)]


def _of_sample(file: SampleFile, position: int, shape: tuple[int, int, int]) -> Scene:
    about = file.truth(position)["edx"]
    axis = EnergyAxis(
        int(about["axis"]["channels"]), float(about["axis"]["width_ev"]), float(about["axis"]["offset_ev"])
    )
    binning = file.shape[0] // shape[0]
    shares = None
    if "shares" in file.edx_names:
        names, shares = _by_material(about["parts"], file.edx(position, "shares")["shares"])
        labels = np.where(shares.sum(-1) > 0, shares.argmax(-1), UNKNOWN).astype(np.int16)
    else:
        names = file.header.phase_names
        labels = majority(file.phase(position).astype(np.int16), binning)
    return Scene(
        f"{file.path.parent.name}_{int(file.index[position])}", OfSample(file.path, position, shape), axis,
        about.get("beam_kev"), float(file.pixel_size_um[position]) * binning, names, labels, shares,
    )  # fmt: skip


def _by_material(parts: list[dict[str, str]], stored: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Materials and their shares (H, W, materials): a spectrum knows nothing of what a part is called."""
    names = tuple(dict.fromkeys(part["material"] for part in parts))
    shares = np.zeros((*stored.shape[1:], len(names)), np.float32)
    for part, share in zip(parts, stored, strict=True):
        shares[..., names.index(part["material"])] += share / np.float32(SHARE_OF_ALL)
    return names, shares


def majority(labels: np.ndarray, binning: int) -> np.ndarray:
    """The most frequent label of each square of `binning` pixels; parts of squares at the ends count as they are."""
    if binning == 1:
        return labels
    values = np.unique(labels)
    votes = np.stack([binned((labels == value).astype(np.int32)[..., None], binning)[..., 0] for value in values])
    return values[votes.argmax(0)].astype(labels.dtype)


def binned(counts: np.ndarray, binning: int) -> np.ndarray:
    """Sums over squares of `binning` pixels of (H, W, C); those cut off at the ends are sums of fewer."""
    if binning == 1:
        return counts
    height, width = counts.shape[:2]
    dtype = np.int64 if np.issubdtype(counts.dtype, np.integer) else np.float64
    dtype = np.uint32 if np.issubdtype(counts.dtype, np.unsignedinteger) else dtype
    rows = np.add.reduceat(counts, np.arange(0, height, binning), axis=0, dtype=dtype)
    return np.add.reduceat(rows, np.arange(0, width, binning), axis=1, dtype=dtype)
