"""A spectrum in every pixel."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from semforge.errors import InputError
from semforge.spectra.axis import EnergyAxis
from semforge.spectra.spectrum import Described, Spectrum, require_counts

TILE_BYTES = 32 * 2**20


@dataclass(frozen=True)
class SpectrumImage(Described):
    """Counts by row, column and channel, in memory or still in their file. None where nothing says.

    Raises InputError if counts and axis do not have the same number of channels.
    """

    counts: "np.ndarray | h5py.Dataset"  # (H, W, C); a dataset is read by slices, as `tiles` does
    axis: EnergyAxis
    pixel_size_um: float | None = None  # edge of a square pixel
    beam_kev: float | None = None
    title: str = ""
    metadata: dict[str, str] = field(default_factory=dict)  # as that of a Spectrum
    live_s: float | None = None  # of one pixel
    take_off_deg: float | None = None
    file: Path | None = None  # that the counts are read from, for messages

    def __post_init__(self) -> None:
        if len(self.counts.shape) != 3 or self.counts.shape[2] != self.axis.channels or not all(self.counts.shape):
            raise InputError(
                f"a spectrum image of shape {self.counts.shape} on {self.axis.describe()}: they do not fit; "
                "expected rows, columns, channels"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.counts.shape[0], self.counts.shape[1]

    def part(self, rows: slice, columns: slice) -> np.ndarray:
        """Counts (h, w, C) of these rows and columns. Raises InputError, naming the file, if they are no counts."""
        found = np.asarray(self.counts[rows, columns])
        try:
            require_counts(found)
        except InputError as error:
            raise InputError(f"{self.file}: {error}" if self.file else str(error)) from error
        return found

    def tiles(self, limit_bytes: int = TILE_BYTES) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
        """Parts of the image one after the other: where they lie (rows, columns), and their counts (h, w, C).

        No part takes more than about `limit_bytes` as stored; parts follow the tiles of the file, so that each is
        decompressed once. Raises InputError as `part`.
        """
        height, width = self.shape
        chunks = getattr(self.counts, "chunks", None) or (1, 1, self.axis.channels)
        pixel = self.axis.channels * self.counts.dtype.itemsize
        columns = _whole(limit_bytes // (pixel * chunks[0]), chunks[1], width)
        rows = _whole(limit_bytes // (pixel * columns), chunks[0], height)
        for top in range(0, height, rows):
            for left in range(0, width, columns):
                where = slice(top, min(top + rows, height)), slice(left, min(left + columns, width))
                yield where, self.part(*where)

    def sum(self) -> Spectrum:
        """The spectrum of all pixels together."""
        counts = np.zeros(self.axis.channels, dtype=np.float64)
        for _, part in self.tiles():
            counts += part.sum(axis=(0, 1), dtype=np.float64)
        live = None if self.live_s is None else self.live_s * self.shape[0] * self.shape[1]
        return Spectrum(counts, self.axis, self.beam_kev, live, self.take_off_deg, self.title, self.metadata)

    def spectrum(self, row: int, column: int) -> Spectrum:
        """The spectrum of one pixel."""
        counts = np.asarray(self.counts[row, column])
        return Spectrum(counts, self.axis, self.beam_kev, self.live_s, self.take_off_deg, self.title, self.metadata)

    def window(self, low_kev: float, high_kev: float) -> np.ndarray:
        """Counts of each pixel in channels whose centres lie between two energies: (H, W) float64."""
        chosen = self.axis.channels_between(low_kev, high_kev)
        found = np.zeros(self.shape, dtype=np.float64)
        for where, part in self.tiles():
            found[where] = part[..., chosen].sum(axis=-1, dtype=np.float64)
        return found


def _whole(wanted: int, chunk: int, length: int) -> int:
    """About `wanted` of `length`, in whole chunks, at least one."""
    return min(max(wanted // chunk, 1) * chunk, length)
