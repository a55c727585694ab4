"""Ripple files (Lispix): a text `.rpl` that describes the numbers in the `.raw` beside it.

Most instruments' programs export spectrum images so.
"""

from pathlib import Path

import numpy as np

from semforge.errors import InputError
from semforge.files import existing_file
from semforge.spectra.axis import EnergyAxis
from semforge.spectra.image import SpectrumImage
from semforge.spectra.spectrum import RESOLUTION

SUFFIX = ".rpl"
KINDS = {"unsigned": "u", "signed": "i", "float": "f"}
ORDERS = {"little-endian": "<", "big-endian": ">", "dont-care": "="}
UM = {"nm": 1e-3, "um": 1.0, "µm": 1.0, "μm": 1.0, "micron": 1.0, "microns": 1.0, "mm": 1e3}
WHAT = "the numbers that the .rpl describes"


def open_ripple(path: Path) -> SpectrumImage:
    """The spectrum image that a `.rpl` describes; its counts are mapped, not loaded.

    Raises InputError if the description lacks what is needed, or the `.raw` beside it is missing or of another size.
    """
    said = _said(path)
    try:
        counts = _mapped(path, said)
        size = _pixel_size_um(said)
        resolution = _number(said, "detector-peak-width-ev")
        return SpectrumImage(
            counts, _axis(said, counts.shape[2]), size, _number(said, "beam-energy"), said.get("title", ""),
            {RESOLUTION: f"{resolution:g}"} if resolution else {}, _number(said, "live-time"),
            _number(said, "elevation-angle"),
        )  # fmt: skip
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _said(path: Path) -> dict[str, str]:
    raw = existing_file(path, "a description of a spectrum image (.rpl)").read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    lines = (line.split(None, 1) for line in text.splitlines() if line.strip() and not line.startswith(";"))
    return {parts[0].lower(): parts[1].strip() if len(parts) > 1 else "" for parts in lines}


def _mapped(path: Path, said: dict[str, str]) -> np.ndarray:
    """Counts (rows, columns, channels), however they follow each other in the file."""
    width, height, depth = (_whole(said, key) for key in ("width", "height", "depth"))
    kind, length = said.get("data-type", "").lower(), said.get("data-length", "")
    order = ORDERS.get(said.get("byte-order", "dont-care").lower())
    if kind not in KINDS or length not in ("1", "2", "4", "8") or order is None or (kind, length) == ("float", "1"):
        raise InputError(
            f"data-type {kind!r} of {length or 'no'} bytes, byte-order {said.get('byte-order')!r}: expected unsigned, "
            "signed or float of 1, 2, 4 or 8 bytes, little-endian, big-endian or dont-care"
        )
    layout = said.get("record-by", "").lower()
    if layout not in ("vector", "image"):
        raise InputError(f"record-by is {layout!r}, expected vector or image")
    numbers = next((path.with_suffix(end) for end in (".raw", ".RAW") if path.with_suffix(end).is_file()), None)
    numbers = existing_file(numbers or path.with_suffix(".raw"), WHAT)
    dtype = np.dtype(f"{order}{KINDS[kind]}{length}")
    offset = int(_number(said, "offset") or 0)
    expected = offset + width * height * depth * dtype.itemsize
    if numbers.stat().st_size != expected:
        raise InputError(f"{numbers.name} has {numbers.stat().st_size} bytes, expected {expected}; export it again")
    if layout == "vector":
        return np.memmap(numbers, dtype, "r", offset, (height, width, depth))
    return np.moveaxis(np.memmap(numbers, dtype, "r", offset, (depth, height, width)), 0, 2)


def _axis(said: dict[str, str], channels: int) -> EnergyAxis:
    factor = 1000.0 if said.get("depth-units", "").lower() == "kev" else 1.0
    scale, stated = _number(said, "depth-scale"), _number(said, "ev-per-chan")
    if scale and said.get("depth-units", "").lower() in ("ev", "kev"):
        offset = (_number(said, "depth-origin") or 0.0) * factor
        return EnergyAxis(channels, float(f"{scale * factor:.10g}"), float(f"{offset:.10g}"))
    if not stated:
        raise InputError("says no energy a channel; add a line such as 'ev-per-chan 10'")
    return EnergyAxis(channels, stated)


def _pixel_size_um(said: dict[str, str]) -> float | None:
    sizes = []
    for side in ("width", "height"):
        scale, unit = _number(said, f"{side}-scale"), UM.get(said.get(f"{side}-units", ""))
        if not scale or unit is None:
            return None
        sizes.append(abs(scale) * unit)
    return sizes[0] if max(sizes) <= 1.01 * min(sizes) else None


def _whole(said: dict[str, str], key: str) -> int:
    value = _number(said, key)
    if value is None or value < 1 or value != int(value):
        raise InputError(f"{key} is {said.get(key)!r}, expected a whole number above 0")
    return int(value)


def _number(said: dict[str, str], key: str) -> float | None:
    try:
        value = float(said[key])
    except (KeyError, ValueError):
        return None
    return value if np.isfinite(value) else None
