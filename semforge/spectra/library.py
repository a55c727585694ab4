"""Expected spectra of phases under many conditions, in one HDF5 file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from semforge.errors import InputError
from semforge.files import existing_file, whole_file
from semforge.spectra.axis import EnergyAxis

KIND = "semforge spectrum library"
SCHEMA = 1


@dataclass(frozen=True)
class SpectrumLibrary:
    """Expected counts of P phases under V conditions (beam, coat, thickness, detector).

    Raises InputError if the parts do not fit each other, or a spectrum holds what is no number of counts.
    """

    names: tuple[str, ...]  # (P,)
    spectra: np.ndarray  # (P, V, C) float32
    axis: EnergyAxis
    conditions: tuple[dict[str, Any], ...] = ()  # (V,), whatever JSON can hold

    def __post_init__(self) -> None:
        shape = (len(self.names), len(self.conditions), self.axis.channels)
        if self.spectra.shape != shape:
            raise InputError(
                f"a library of {shape[0]} names, {shape[1]} conditions and {self.axis.describe()} holds spectra of "
                f"shape {self.spectra.shape}: they do not fit"
            )
        if len(set(self.names)) != len(self.names):
            raise InputError("a library names a phase twice; give each phase one name and many conditions")
        if not (np.isfinite(self.spectra).all() and (self.spectra >= 0).all()):
            raise InputError("a library holds expected counts below zero or none at all; simulate it again")

    def of(self, name: str) -> np.ndarray:
        """The spectra (V, C) of a phase. Raises InputError that lists the phases if it is none."""
        if name not in self.names:
            raise InputError(f"no phase {name!r} in the library; it has {', '.join(self.names)}")
        return self.spectra[self.names.index(name)]


def write_library(path: Path, library: SpectrumLibrary) -> None:
    """Write a library, whole or not at all."""
    with whole_file(Path(path)) as temporary, h5py.File(temporary, "w") as file:
        chunk = (1, 1, library.axis.channels)
        data = library.spectra.astype(np.float32, copy=False)
        file.create_dataset("spectra", data=data, chunks=chunk, compression="gzip", compression_opts=1, shuffle=True)
        file.create_dataset("names", data=list(library.names), dtype=h5py.string_dtype())
        conditions = [json.dumps(c, sort_keys=True, ensure_ascii=False) for c in library.conditions]
        file.create_dataset("conditions", data=conditions, dtype=h5py.string_dtype())
        file.attrs.update({"kind": KIND, "schema": SCHEMA, "channel_ev": library.axis.width_ev,
                           "offset_ev": library.axis.offset_ev})  # fmt: skip


def read_library(path: Path) -> SpectrumLibrary:
    """Read a library. Raises InputError if it is missing, truncated, or something else."""
    path = existing_file(path, "a library of spectra (HDF5)")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("kind") != KIND or file.attrs.get("schema") != SCHEMA:
                raise InputError(f"{path}: is no library of spectra of schema {SCHEMA}; write it with write_library")
            spectra = file["spectra"][:]
            names = tuple(file["names"].asstr()[:])
            conditions = tuple(json.loads(text) for text in file["conditions"].asstr()[:])
            axis = EnergyAxis(spectra.shape[-1], float(file.attrs["channel_ev"]), float(file.attrs["offset_ev"]))
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a library of spectra; make it again") from error
    try:
        return SpectrumLibrary(names, spectra, axis, conditions)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
