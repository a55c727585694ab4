"""Files of HyperSpy (.hspy): HDF5 with a signal below `Experiments`, its axes, and nested metadata.

Written so that HyperSpy, with exspy installed, opens them as EDS_SEM signals; read without either.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from semforge.errors import InputError
from semforge.files import whole_file
from semforge.spectra.axis import EnergyAxis
from semforge.spectra.emsa import NO_XRAYS
from semforge.spectra.hdf5 import open_hdf5, store_counts
from semforge.spectra.image import SpectrumImage
from semforge.spectra.spectrum import ELEMENTS, RESOLUTION, Spectrum

FORMAT_VERSION = "3.3"
UM = {"nm": 1e-3, "um": 1.0, "µm": 1.0, "μm": 1.0, "mm": 1e3, "m": 1e6}
EV = {"ev": 1.0, "kev": 1e3}
NONE = "_None_"


def write_hspy(path: Path, signal: SpectrumImage | Spectrum) -> None:
    """Write a spectrum image or a single spectrum, whole or not at all."""
    with whole_file(Path(path)) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update({"file_format": "HyperSpy", "file_format_version": FORMAT_VERSION})
        group = file.create_group("Experiments").create_group(_group_name(signal.title))
        group.attrs.update({"package": "exspy", "package_version": "0.3"})
        store_counts(group, "data", signal.counts)
        axes = [_energy_axis(signal.axis)]
        if isinstance(signal, SpectrumImage):
            size = signal.pixel_size_um
            navigation = [_space_axis(name, n, size) for name, n in zip("yx", signal.shape, strict=True)]
            axes = [*navigation, *axes]
        for k, axis in enumerate(axes):
            group.create_group(f"axis-{k}").attrs.update(axis)
        group.create_group("attributes").attrs.update({"_lazy": False, "ragged": False})
        group.create_group("learning_results")
        _put(group.create_group("metadata"), _metadata(signal))
        _put(group.create_group("original_metadata"), {"semforge": dict(signal.metadata)})


def is_hspy(file: h5py.File) -> bool:
    """Whether an open HDF5 file is one of HyperSpy."""
    return "Experiments" in file


def opened_hspy_image(path: Path, file: h5py.File) -> SpectrumImage:
    """The spectrum image in an open file; its counts stay there. Raises InputError if there is none."""
    group = _only_signal(path, file)
    data = _counts(path, group)
    if data.ndim not in (2, 3):
        raise InputError(f"{path}: holds {_dimensions(data)}, expected a spectrum image of rows, columns and channels")
    counts = data if data.ndim == 3 else data[:][None]  # a line scan is an image of one row
    known = _known(group)
    try:
        axis = _read_energy_axis(path, group, data.ndim - 1)
        return SpectrumImage(counts, axis, _pixel_size_um(group, data.ndim - 1), **known)
    except InputError as error:
        raise InputError(_named(path, error)) from error


def read_hspy_spectrum(path: Path) -> Spectrum:
    """The single spectrum in a file. Raises InputError if there is none, or many."""
    with open_hdf5(path, "a spectrum of HyperSpy") as file:
        if not is_hspy(file):
            raise InputError(f"{path}: is HDF5, but holds no signal of HyperSpy; expected a single spectrum")
        group = _only_signal(path, file)
        data = _counts(path, group)
        if data.ndim != 1:
            raise InputError(f"{path}: holds {_dimensions(data)}, expected a single spectrum; open it as an image")
        known = _known(group)
        try:
            return Spectrum(data[:], _read_energy_axis(path, group, 0), **known)
        except InputError as error:
            raise InputError(_named(path, error)) from error


def _metadata(signal: SpectrumImage | Spectrum) -> dict[str, Any]:
    eds = {"live_time": signal.live_s, "elevation_angle": signal.take_off_deg,
           "energy_resolution_MnKa": signal.resolution_ev, "azimuth_angle": 0.0}  # fmt: skip
    sem = {"beam_energy": signal.beam_kev, "Detector": {"EDS": eds}, "Stage": {"tilt_alpha": 0.0}}
    return {
        "General": {"title": signal.title},
        "Signal": {"signal_type": "EDS_SEM"},
        "Acquisition_instrument": {"SEM": sem},
        "Sample": {"elements": list(signal.elements)} if signal.elements else {},
        "_HyperSpy": {"Folding": {"original_axes_manager": NONE, "original_shape": NONE, "signal_unfolded": False,
                                  "unfolded": False}},
    }  # fmt: skip


def _put(group: h5py.Group, values: dict[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, dict):
            _put(group.create_group(key.replace("/", "-") or "_"), value)
        elif isinstance(value, list):
            group.create_dataset(f"_list_{key}", data=value, dtype=h5py.string_dtype())
        elif value is not None:
            group.attrs[key] = value


def _energy_axis(axis: EnergyAxis) -> dict[str, Any]:
    return {
        "_type": "UniformDataAxis", "name": "Energy", "units": "keV", "scale": axis.width_ev / 1000,
        "offset": axis.offset_ev / 1000, "size": axis.channels, "navigate": False, "is_binned": True,
    }  # fmt: skip


def _space_axis(name: str, size: int, pixel_size_um: float | None) -> dict[str, Any]:
    return {
        "_type": "UniformDataAxis", "name": name, "units": "µm" if pixel_size_um else "px",
        "scale": pixel_size_um or 1.0, "offset": 0.0, "size": size, "navigate": True, "is_binned": False,
    }  # fmt: skip


def _group_name(title: str) -> str:
    return title.replace("/", "-").strip(". ") or "__unnamed__"


def _only_signal(path: Path, file: h5py.File) -> h5py.Group:
    signals = list(file["Experiments"].values())
    if len(signals) != 1:
        raise InputError(f"{path}: holds {len(signals)} signals, expected one; save each in its own file")
    kind = _text(signals[0]["metadata/Signal"].attrs.get("signal_type", "")) if "metadata/Signal" in signals[0] else ""
    if kind.strip().upper() in NO_XRAYS:
        raise InputError(f"{path}: signal_type is {kind}, expected EDS_SEM, an energy-dispersive X-ray spectrum")
    return signals[0]


def _counts(path: Path, group: h5py.Group) -> h5py.Dataset:
    data = group.get("data")
    if not isinstance(data, h5py.Dataset) or data.dtype.kind not in "iuf":
        raise InputError(f"{path}: holds no counts (a dataset 'data' of numbers); save it again with HyperSpy")
    flags = [bool(group[f"axis-{k}"].attrs.get("navigate", k < data.ndim - 1)) for k in range(data.ndim)]
    if flags != [True] * (data.ndim - 1) + [False]:
        raise InputError(
            f"{path}: its signal axis is not energy alone; save signal.transpose(signal_axes=['Energy']) instead"
        )
    return data


def _read_energy_axis(path: Path, group: h5py.Group, position: int) -> EnergyAxis:
    attributes = group[f"axis-{position}"].attrs
    units = _text(attributes.get("units", ""))
    factor = EV.get(units.strip().lower())
    if factor is None or "scale" not in attributes:
        raise InputError(f"{path}: its signal axis is in {units or 'no unit'!r}, expected channels of equal width in eV"
                         " or keV; calibrate it in HyperSpy")  # fmt: skip
    offset = float(attributes.get("offset", 0.0)) * factor
    return EnergyAxis(group["data"].shape[position], _clean(float(attributes["scale"]) * factor), _clean(offset))


def _pixel_size_um(group: h5py.Group, axes: int) -> float | None:
    """The edge of a pixel, where all axes of space give the same length."""
    sizes = set()
    for k in range(axes):
        attributes = group[f"axis-{k}"].attrs
        factor = UM.get(_text(attributes.get("units", "")).strip())
        if factor is None or "scale" not in attributes:
            return None
        sizes.add(_clean(abs(float(attributes["scale"])) * factor))
    smallest = min(sizes)
    return smallest if smallest > 0 and max(sizes) <= 1.01 * smallest else None


def _known(group: h5py.Group) -> dict[str, Any]:
    """What the metadata say of how a signal was taken, as arguments of Spectrum and SpectrumImage."""
    metadata: Any = group.get("metadata", {})
    microscopes = [metadata[f"Acquisition_instrument/{name}"] for name in ("SEM", "TEM")
                   if f"Acquisition_instrument/{name}" in metadata]  # fmt: skip
    microscope = microscopes[0] if microscopes else None
    eds = microscope["Detector/EDS"].attrs if microscope is not None and "Detector/EDS" in microscope else {}
    notes = {}
    if "original_metadata/semforge" in group:
        notes = {key: _text(value) for key, value in group["original_metadata/semforge"].attrs.items()}
    if "Sample/_list_elements" in metadata:
        notes[ELEMENTS] = ",".join(_text(symbol) for symbol in metadata["Sample/_list_elements"][()])
    resolution = _number(eds, "energy_resolution_MnKa")
    if resolution is not None:
        notes[RESOLUTION] = f"{resolution:g}"
    general = metadata["General"].attrs if "General" in metadata else {}
    return {
        "beam_kev": _number(microscope.attrs, "beam_energy") if microscope is not None else None,
        "live_s": _number(eds, "live_time"), "take_off_deg": _number(eds, "elevation_angle"),
        "title": _text(general.get("title", "")), "metadata": notes,
    }  # fmt: skip


def _number(attributes: Any, key: str) -> float | None:
    try:
        value = float(attributes[key])
    except (KeyError, TypeError, ValueError):
        return None
    return value if np.isfinite(value) else None


def _text(value: Any) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return "" if text == NONE else text


def _clean(value: float) -> float:
    """Without the last digits that keV to eV and back leaves."""
    return float(f"{value:.12g}")


def _dimensions(data: h5py.Dataset) -> str:
    return f"data of shape {data.shape}" if data.ndim > 1 else "one spectrum"


def _named(path: Path, error: InputError) -> str:
    return str(error) if str(error).startswith(str(path)) else f"{path}: {error}"
