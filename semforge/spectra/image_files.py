"""Files of spectrum images, opened without loading them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from semforge.errors import InputError
from semforge.files import existing_file, whole_file
from semforge.spectra.axis import EnergyAxis
from semforge.spectra.hdf5 import open_hdf5, store_counts
from semforge.spectra.hspy import is_hspy, opened_hspy_image, write_hspy
from semforge.spectra.image import SpectrumImage
from semforge.spectra.ripple import SUFFIX, open_ripple

KIND = "semforge spectrum image"
SCHEMA = 1
WHAT = "a spectrum image (.h5, .hspy or .rpl)"
OPTIONAL = ("pixel_size_um", "beam_kev", "live_s", "take_off_deg")


@contextmanager
def open_spectrum_image(path: Path) -> Iterator[SpectrumImage]:
    """Open a spectrum image of semforge (.h5), HyperSpy (.hspy) or a Ripple file (.rpl with its .raw).

    Its counts stay in the file until they are sliced; `part` and `tiles` look at them. Raises InputError with one line
    if the file is missing, truncated, or holds something else.
    """
    path = existing_file(path, WHAT)
    if path.suffix.lower() == SUFFIX:
        yield replace(open_ripple(path), file=path)
        return
    with open_hdf5(path, WHAT) as file:
        yield replace(opened_hspy_image(path, file) if is_hspy(file) else _opened(path, file), file=path)


def write_spectrum_image(path: Path, image: SpectrumImage) -> None:
    """Write a spectrum image, whole or not at all: HyperSpy's layout for .hspy, else semforge's HDF5.

    The latter is a dataset `counts` (rows, columns, channels) and the attributes `channel_ev`, `offset_ev`, and where
    known `pixel_size_um`, `beam_kev`, `live_s` (of a pixel), `take_off_deg`, `title`; all else is metadata.
    """
    path = Path(path)
    if path.suffix.lower() == ".hspy":
        write_hspy(path, image)
        return
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        store_counts(file, "counts", image.counts)
        file.attrs.update({"kind": KIND, "schema": SCHEMA, "channel_ev": image.axis.width_ev,
                           "offset_ev": image.axis.offset_ev, "title": image.title})  # fmt: skip
        file.attrs.update({key: getattr(image, key) for key in OPTIONAL if getattr(image, key) is not None})
        file.create_group("metadata").attrs.update(image.metadata)


def _opened(path: Path, file: h5py.File) -> SpectrumImage:
    counts = file.get("counts")
    if not isinstance(counts, h5py.Dataset) or counts.ndim != 3 or "channel_ev" not in file.attrs:
        raise InputError(
            f"{path}: holds no spectrum image; expected a dataset 'counts' of rows, columns and channels and the "
            "attribute 'channel_ev', or a file of HyperSpy"
        )
    if not (np.issubdtype(counts.dtype, np.integer) or np.issubdtype(counts.dtype, np.floating)):
        raise InputError(f"{path}: 'counts' are {counts.dtype}, expected numbers")
    known: dict[str, Any] = {key: float(file.attrs[key]) for key in OPTIONAL if key in file.attrs}
    notes = file["metadata"].attrs if "metadata" in file else {}
    try:
        axis = EnergyAxis(counts.shape[2], float(file.attrs["channel_ev"]), float(file.attrs.get("offset_ev", 0.0)))
        title = str(file.attrs.get("title", ""))
        return SpectrumImage(counts, axis, title=title, metadata={k: str(v) for k, v in notes.items()}, **known)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
