"""What all HDF5 files of spectra have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from semforge.errors import InputError
from semforge.files import existing_file

TILE = 16  # edge of a chunk in pixels; all channels of a pixel lie in one
DEEPEST = 2**20  # bytes a chunk, about


@contextmanager
def open_hdf5(path: Path, what: str) -> Iterator[h5py.File]:
    """Open for reading. Raises InputError that names `what` was expected if it is missing or no whole HDF5 file."""
    path = existing_file(path, what)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path}: is not HDF5 or not whole, expected {what}; copy it again") from error
    with file:
        yield file


def is_hdf5(path: Path) -> bool:
    """Whether a file's content, whatever its name, is HDF5."""
    return bool(h5py.is_hdf5(path))


def smallest_integers(counts: np.ndarray) -> np.ndarray:
    """Whole numbers as the smallest unsigned integers that hold them; all else as float32.

    Also for HDF5 datasets: those that are integers already stay as they are.
    """
    if isinstance(counts, h5py.Dataset) or counts.size == 0:
        return counts
    if not (np.issubdtype(counts.dtype, np.integer) or np.array_equal(counts, np.rint(counts))):
        return counts.astype(np.float32, copy=False)
    return counts if counts.min() < 0 else counts.astype(np.min_scalar_type(int(counts.max())), copy=False)


def store_counts(group: h5py.Group, name: str, counts: np.ndarray) -> h5py.Dataset:
    """Store counts (..., C) in compressed tiles of whole spectra, a row of tiles at a time."""
    counts = smallest_integers(counts)
    edge = TILE
    while edge > 1 and edge * edge * counts.shape[-1] * counts.dtype.itemsize > DEEPEST:
        edge //= 2
    chunk = (*(min(edge, n) for n in counts.shape[:-1]), counts.shape[-1])
    stored = group.create_dataset(
        name, shape=counts.shape, dtype=counts.dtype, chunks=chunk, compression="gzip", compression_opts=1, shuffle=True
    )
    if counts.ndim == 1:
        stored[:] = counts
        return stored
    for start in range(0, counts.shape[0], edge):
        stored[start : start + edge] = counts[start : start + edge]
    return stored
