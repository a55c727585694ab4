"""Micrographs of any size, read in parts."""

from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np
import tifffile
from PIL import Image

from sem_train.micrographs.databar import edge_rows, find_databar_at_edges, is_drawn
from sem_train.micrographs.files import is_tiff
from sem_train.micrographs.metadata import Finding, read_metadata
from sem_train.micrographs.micrograph import WHAT, read_image, specimen_rows
from sem_train.micrographs.pixels import BROKEN, as_shown, grey, only_page, unreadable
from sem_train.micrographs.scale import Scale, stated_scale
from sem_train.micrographs.scale_bar import read_scale_bar, scale_by_bar
from semforge.errors import InputError
from semforge.files import existing_file

KEPT_BYTES = 64 << 20  # decoded tiles or strips that are kept, for reads that touch the same ones again


class LargeMicrograph:
    """A micrograph on disk whose parts are read when they are asked for; a context manager that closes the file.

    A TIFF is never held as a whole: uncompressed pixels are mapped into memory, of compressed ones only the tiles
    or strips that a part needs are decoded (so one that was compressed in a single strip is decoded whole). Files of
    other formats are read whole at the first `read`.
    """

    def __init__(self, path: Path, pixels: "_Pixels", found: Finding, scale: Scale, accept_scale_bar: bool) -> None:
        self.path = path
        self._pixels, self._found, self._stated = pixels, found, scale
        self._accept_scale_bar = accept_scale_bar

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self._pixels.shape

    @property
    def dtype(self) -> np.dtype:
        """uint8 or uint16."""
        return self._pixels.dtype

    @property
    def instrument(self) -> dict[str, str]:
        """As that of a `Micrograph`."""
        return self._found.instrument

    @property
    def pixel_size_um(self) -> float | None:
        """Edge of a square pixel; None where nothing says."""
        return self.scale.pixel_size_um

    @cached_property
    def databar(self) -> slice | None:
        """Rows that are an information strip and no specimen; None without one."""
        named = self._found.databar
        if named is not None and (not self._found.databar_to_confirm or is_drawn(self._rows(named))):
            return named
        near = edge_rows(self.shape[0])
        return find_databar_at_edges(self._rows(slice(0, near)), self._lowest, self.shape[0])

    @cached_property
    def scale(self) -> Scale:
        """The scale, found as `read_micrograph` finds it; a scale bar is sought in the lowest rows alone."""
        if self._stated.source != "none":
            return self._stated
        height = self.shape[0]
        bar = self.databar
        above = height - len(self._lowest)
        inside = bar if bar is None or bar.start < above else slice(bar.start - above, bar.stop - above)
        return scale_by_bar(read_scale_bar(self._lowest, inside), self._accept_scale_bar, self._found.remark)

    @property
    def specimen_rows(self) -> slice:
        """The rows that show specimen."""
        return specimen_rows(self.databar, self.shape[0])

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """Grey levels (h, w) of these rows and columns; slices without steps, cut to the image as those of arrays are.

        Raises InputError if this part of the file cannot be decoded.
        """
        top, bottom, row_step = rows.indices(self.shape[0])
        left, right, column_step = columns.indices(self.shape[1])
        if (row_step, column_step) != (1, 1):
            raise ValueError("rows and columns are read without steps; read them and take every n-th")
        if bottom <= top or right <= left:
            return np.empty((max(0, bottom - top), max(0, right - left)), dtype=self.dtype)
        try:
            return self._pixels.read(top, bottom, left, right)
        except BROKEN as error:
            raise unreadable(self.path) from error

    def close(self) -> None:
        """Close the file."""
        self._pixels.close()

    def __enter__(self) -> "LargeMicrograph":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _lowest(self) -> np.ndarray:
        height = self.shape[0]
        return self._rows(slice(height - edge_rows(height), height))

    def _rows(self, rows: slice) -> np.ndarray:
        return self.read(rows, slice(0, self.shape[1]))


def open_micrograph(path: Path, pixel_size_um: float | None = None, accept_scale_bar: bool = False) -> LargeMicrograph:
    """Open a micrograph of any size to read parts of it; scale as by `read_micrograph`.

    Raises InputError if the file is missing, no image, a stack, or not of 8 or 16 bits, and if its scale is absurd
    or contradicts itself or `pixel_size_um`.
    """
    path = existing_file(path, WHAT)
    found = read_metadata(path)
    scale = stated_scale(path, found.claims, pixel_size_um)
    pixels = _opened_tiff(path) if is_tiff(path) else _WholeFile(path)
    return LargeMicrograph(path, pixels, found, scale, accept_scale_bar)


class _Pixels(Protocol):
    """Where parts come from; rows and columns are inside the image."""

    shape: tuple[int, int]
    dtype: np.dtype

    def read(self, top: int, bottom: int, left: int, right: int) -> np.ndarray: ...

    def close(self) -> None: ...


class _WholeFile:
    """A format that is only read as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def _image(self) -> np.ndarray:
        return read_image(self._path)

    @cached_property
    def shape(self) -> tuple[int, int]:
        try:
            with Image.open(self._path) as image:
                width, height = image.size
        except BROKEN as error:
            raise unreadable(self._path) from error
        return height, width

    @property
    def dtype(self) -> np.dtype:
        return self._image.dtype

    def read(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        return self._image[top:bottom, left:right]

    def close(self) -> None:
        pass


class _TiffFile:
    """One page of a TIFF file, its parts from `part`, which gives (h, w) or (h, w, channels)."""

    def __init__(self, file: tifffile.TiffFile, page: tifffile.TiffPage, part: Callable[..., np.ndarray]) -> None:
        self._file, self._page, self._part = file, page, part
        self.shape = (page.imagelength, page.imagewidth)
        kinds = {np.dtype(bool): np.dtype(np.uint8), np.dtype(np.uint8): np.dtype(np.uint8)}
        coloured = page.photometric == tifffile.PHOTOMETRIC.PALETTE
        self.dtype = np.dtype(np.uint8) if coloured else kinds.get(page.dtype, np.dtype(np.uint16))

    def read(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        part = as_shown(self._part(top, bottom, left, right), self._page)
        if part.dtype == np.bool_:
            part = part * np.uint8(255)
        return np.ascontiguousarray(grey(part), dtype=self.dtype)

    def close(self) -> None:
        self._file.close()


def _opened_tiff(path: Path) -> _TiffFile:
    try:
        file = tifffile.TiffFile(path)
        try:
            page = only_page(file, path)
            if page.dtype is None or page.dtype.newbyteorder("=") not in (np.bool_, np.uint8, np.uint16):
                raise InputError(f"{path}: has pixels of type {page.dtype}, expected 8 or 16 bits unsigned")
            if page.imagedepth > 1 or 0 in page.shape:
                raise InputError(f"{path}: has shape {page.shape}, expected one image of height × width pixels")
            return _TiffFile(file, page, _mapped(path, page) if page.is_memmappable else _Segments(file, page))
        except BaseException:
            file.close()
            raise
    except BROKEN as error:
        raise unreadable(path) from error


def _mapped(path: Path, page: tifffile.TiffPage) -> Callable[..., np.ndarray]:
    """Parts of uncompressed pixels, mapped into memory."""
    kind = np.dtype(page.parent.byteorder + page.dtype.char)
    array = np.memmap(path, dtype=kind, mode="r", offset=page.dataoffsets[0], shape=page.shape)
    native = page.dtype.newbyteorder("=")
    if page.axes == "SYX":
        return lambda top, bottom, left, right: np.moveaxis(array[:, top:bottom, left:right], 0, -1).astype(native)
    return lambda top, bottom, left, right: np.asarray(array[top:bottom, left:right]).astype(native)


class _Segments:
    """Parts put together from the tiles or strips that they touch."""

    def __init__(self, file: tifffile.TiffFile, page: tifffile.TiffPage) -> None:
        self._file, self._page = file, page
        self._high, self._wide = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, 0)
        self._high = min(self._high or page.imagelength, page.imagelength)
        self._wide = self._wide or page.imagewidth
        self._across = -(-page.imagewidth // self._wide)
        self._a_plane = self._across * -(-page.imagelength // self._high)
        self._planes = page.samplesperpixel if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE else 1
        self._channels = 1 if self._planes > 1 else page.samplesperpixel
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._kept_bytes = 0

    def __call__(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        shape = (bottom - top, right - left, self._planes * self._channels)
        part = np.full(shape, self._page.nodata or 0, dtype=self._page.dtype.newbyteorder("="))
        for plane in range(self._planes):
            channels = part[..., plane : plane + 1] if self._planes > 1 else part
            for i in range(top // self._high, -(-bottom // self._high)):
                for j in range(left // self._wide, -(-right // self._wide)):
                    segment = self._segment(plane * self._a_plane + i * self._across + j)
                    if segment is not None:
                        _paste(segment, (i * self._high - top, j * self._wide - left), channels)
        return part if shape[-1] > 1 else part[..., 0]

    def _segment(self, index: int) -> np.ndarray | None:
        """(h, w, channels), or None where the file has left it out."""
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        count = self._page.databytecounts[index]
        if not count:
            return None
        decoded, _, shape = self._page.decode(self._raw(index, count), index, jpegtables=self._page.jpegtables)
        if decoded is None:
            return None
        segment = decoded[0, : shape[1], : shape[2]]
        self._keep(index, segment)
        return segment

    def _raw(self, index: int, count: int) -> bytes:
        handle = self._file.filehandle
        handle.seek(self._page.dataoffsets[index])
        data = handle.read(count)
        if len(data) < count:
            raise OSError("the file ends within a tile or strip")
        return data

    def _keep(self, index: int, segment: np.ndarray) -> None:
        self._kept[index] = segment
        self._kept_bytes += segment.nbytes
        while self._kept_bytes > KEPT_BYTES and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= dropped.nbytes


def _paste(segment: np.ndarray, at: tuple[int, int], part: np.ndarray) -> None:
    """Copy what of a segment, whose first pixel lies at (row, column) of `part`, lies inside it."""
    row, column = at
    top, left = max(0, row), max(0, column)
    bottom = min(len(part), row + len(segment))
    right = min(part.shape[1], column + segment.shape[1])
    if top < bottom and left < right:
        part[top:bottom, left:right] = segment[top - row : bottom - row, left - column : right - column]
