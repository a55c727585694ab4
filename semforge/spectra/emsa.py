"""The EMSA/MAS format of spectra (ISO 22029), as instruments really write it.

Lines `#KEYWORD -unit: value`, then `#SPECTRUM`, the numbers, `#ENDOFDATA`. What is met beside the standard: whole
numbers written as `4096.0`, several values a line that end in commas, commas as decimal signs, energies beside the
counts (DATATYPE XY), no end mark, comments and private `##KEYWORD` lines anywhere.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from semforge.errors import InputError
from semforge.files import existing_file, write_text
from semforge.spectra.axis import EnergyAxis
from semforge.spectra.elements import symbols_in
from semforge.spectra.spectrum import ELEMENTS, RESOLUTION, Spectrum

WHAT = "a spectrum in EMSA/MAS format"
NO_XRAYS = {"ELS", "EELS", "AES", "PES", "CLS", "CL", "GAM", "WDS"}  # values of SIGNALTYPE, and HyperSpy's for them
WIDTHS_EV = (0.1, 1000.0)  # what the width of an EDX channel may be
HIGHEST_KEV = 1000.0  # more than any microscope has
UNEVEN = 0.02  # of a channel: how far energies may lie off equal steps, as they are rounded in the file
LISTS_OF_ELEMENTS = (ELEMENTS.upper(), "IDENT", "OXINSTELEMS")  # semforge and EDAX, Bruker, Oxford
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
ATTRIBUTES = ("TITLE", "NPOINTS", "NCOLUMNS", "XUNITS", "DATATYPE", "XPERCHAN", "OFFSET", "BEAMKV", "LIVETIME",
              "ELEVANGLE", "FORMAT", "VERSION", "SIGNALTYPE", "CHOFFSET", "SPECTRUM", "XLABEL", "YLABEL")  # fmt: skip


@dataclass
class _Lines:
    """A file taken apart: header by upper-case keyword, and the lines of numbers with their place in the file."""

    header: dict[str, str] = field(default_factory=dict)
    data: list[tuple[int, str]] = field(default_factory=list)
    begun: bool = False  # whether #SPECTRUM was met
    ended: bool = False


def read_emsa(path: Path) -> Spectrum:
    """Read a spectrum. What nothing says, such as a beam energy given as 0, is None.

    Counts that are whole are int64, else float64. Raises InputError with one line if the file is missing, empty, cut
    off, of another kind of signal, or contradicts itself.
    """
    path = existing_file(path, WHAT)
    raw = path.read_bytes()
    if not raw.strip():
        raise InputError(f"{path}: is empty, expected {WHAT}")
    if b"\0" in raw:
        raise InputError(f"{path}: is not text, expected {WHAT}; export it from the instrument's program as EMSA/MAS")
    try:
        return parse_emsa(_decoded(raw))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def parse_emsa(text: str) -> Spectrum:
    """As `read_emsa`, from text."""
    lines = _taken_apart(text)
    header = lines.header
    kind = header.get("SIGNALTYPE", "").strip().upper()
    if kind in NO_XRAYS:
        raise InputError(f"SIGNALTYPE is {kind}, expected EDS: this is no energy-dispersive X-ray spectrum")
    paired = _is_paired(header)
    values = _values(lines, paired)
    counts, axis = _paired(values, header) if paired else (values, _stated_axis(header, len(values)))
    whole = np.rint(counts)
    counts = whole.astype(np.int64) if np.array_equal(whole, counts) and whole.max() < 2**53 else counts
    return Spectrum(
        counts=counts,
        axis=axis,
        beam_kev=_beam_kev(header),
        live_s=_positive(header, "LIVETIME"),
        take_off_deg=_positive(header, "TAKEOFF ANGLE") or _positive(header, "ELEVANGLE"),
        title=header.get("TITLE", ""),
        metadata=_metadata(header),
    )


def write_emsa(path: Path, spectrum: Spectrum) -> None:
    """Write a spectrum, energies in eV, one count a line, whole or not at all. `read_emsa` gives the same one again.

    Metadata that are no keywords of the format are written as private lines.
    """
    axis = spectrum.axis
    said = {
        "FORMAT": "EMSA/MAS Spectral Data File", "VERSION": "1.0", "TITLE": _line(spectrum.title),
        "NPOINTS": str(axis.channels), "NCOLUMNS": "1", "XUNITS": "eV", "DATATYPE": "Y",
        "XPERCHAN": repr(float(axis.width_ev)), "OFFSET": repr(float(axis.offset_ev)), "SIGNALTYPE": "EDS",
    }  # fmt: skip
    conditions = {"BEAMKV   -kV": spectrum.beam_kev, "LIVETIME  -s": spectrum.live_s,
                  "ELEVANGLE-dg": spectrum.take_off_deg}  # fmt: skip
    said |= {keyword: repr(float(value)) for keyword, value in conditions.items() if value is not None}
    lines = [_header_line(f"#{keyword}", value) for keyword, value in said.items()]
    for key, text in spectrum.metadata.items():
        if key.upper() not in said:
            lines += [_header_line(f"##{_line(key)}", part) for part in text.splitlines() or [""]]
    lines.append(_header_line("#SPECTRUM", "Spectral Data Starts Here"))
    lines += [_shown(value) for value in np.asarray(spectrum.counts).tolist()]
    write_text(Path(path), "\r\n".join([*lines, _header_line("#ENDOFDATA", ""), ""]))


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _taken_apart(text: str) -> _Lines:
    lines = _Lines()
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line:
            continue
        if not line.startswith("#"):
            if not lines.begun:
                raise InputError(f"line {number} is {_short(line)}, expected a line '#KEYWORD: value'; is no EMSA/MAS")
            lines.data.append((number, line))
            continue
        keyword, _, value = line.lstrip("#").partition(":")
        keyword, value = _keyword(keyword), value.strip()
        if keyword == "SPECTRUM":
            lines.begun = True
        elif keyword == "ENDOFDATA":
            lines.ended = True
            break
        elif keyword in lines.header and keyword not in ATTRIBUTES:
            lines.header[keyword] += f"\n{value}"
        else:
            lines.header.setdefault(keyword, value)
    if not lines.begun:
        raise InputError("has no line '#SPECTRUM'; expected a spectrum in EMSA/MAS format")
    if not lines.data:
        raise InputError("has no counts after '#SPECTRUM'; export it again")
    return lines


def _keyword(text: str) -> str:
    """In capitals, without the unit that may stand behind it: 'BEAMKV   -kV', 'ELEVANGLE-dg', 'AmpTime (usec)'."""
    found = re.match(r"\s*(.*?)\s*(?:-\s*\w+\s*|\(\s*usec\s*\)\s*)?$", text)
    return " ".join((found.group(1) if found else text).upper().split())


def _is_paired(header: dict[str, str]) -> bool:
    kind = header.get("DATATYPE", "Y").strip().upper() or "Y"
    if kind not in ("Y", "XY"):
        raise InputError(f"DATATYPE is {kind!r}, expected Y or XY")
    return kind == "XY"


def _values(lines: _Lines, paired: bool) -> np.ndarray:
    """All numbers: (C,) counts, or (C, 2) energies and counts."""
    each = 2 if paired else 1
    points = _whole_number(lines.header, "NPOINTS")
    columns = _whole_number(lines.header, "NCOLUMNS") or 1
    split = _best_split([line for _, line in lines.data], None if points is None else points * each, columns * each)
    found = [token for tokens in split for token in tokens]
    values = np.array([float(token) if NUMBER.fullmatch(token) else np.nan for token in found])
    if not np.isfinite(values).all():
        raise InputError(_bad_token(lines.data, split))
    excess = len(values) - (points or 0) * each
    if points is not None and 0 < excess < columns * each and not values[-excess:].any():
        values = values[:-excess]  # the last line was filled up
    if len(values) % each:
        raise InputError(f"DATATYPE is XY, but there are {len(values)} numbers after '#SPECTRUM', which is odd")
    if points is not None and len(values) != points * each:
        cut = "" if lines.ended else " and no '#ENDOFDATA': it was cut off; copy or export it again"
        raise InputError(f"NPOINTS is {points}, but the file has {len(values) // each} values{cut}")
    return values.reshape(-1, 2) if paired else values


def _best_split(lines: Sequence[str], wanted: int | None, a_line: int) -> list[list[str]]:
    """Each line's numbers as text with decimal points. A comma parts numbers, or it is the decimal sign.

    It is the latter where there is no point in any number and only so the file has as many numbers as it says.
    """
    parted = [re.split(r"[\s,;]+", line.strip(" \t,;")) for line in lines]
    if not any("," in line for line in lines) or any("." in line for line in lines):
        return parted
    decimal = [
        [token.replace(",", ".") for token in re.split(r"(?:[\s;]|,(?=\s|$))+", line.strip(" \t;")) if token]
        for line in lines
    ]
    for split in (parted, decimal):
        if wanted is not None and sum(map(len, split)) == wanted:
            return split
    return decimal if all(len(tokens) == a_line for tokens in decimal) else parted


def _bad_token(data: Sequence[tuple[int, str]], split: Sequence[Sequence[str]]) -> str:
    for (number, _), tokens in zip(data, split, strict=True):
        for token in tokens:
            if not NUMBER.fullmatch(token) or not np.isfinite(float(token)):
                return f"line {number} holds {_short(token)}, expected a number of counts"
    return "holds what is no number"


def _paired(values: np.ndarray, header: dict[str, str]) -> tuple[np.ndarray, EnergyAxis]:
    """Counts, and the axis that the energies beside them make."""
    if len(values) < 2:
        return values[:, 1], _stated_axis(header, len(values))
    energies = values[:, 0] * _unit_ev(header, values[-1, 0] - values[0, 0], len(values))
    width = float(energies[-1] - energies[0]) / (len(energies) - 1)
    if width <= 0:
        raise InputError("its energies do not rise; expected channels in order of energy")
    offset = float(energies[0])
    wrong = np.abs(energies - offset - width * np.arange(len(energies)))
    rounding = 0.5 * 10.0 ** -_decimals(values[:, 0]) * abs(width)
    if wrong.max() > max(UNEVEN * width, rounding):
        where = int(np.argmax(wrong))
        raise InputError(f"its channels are not of equal width: channel {where} lies at {values[where, 0]:g}")
    stated = _number(header, "XPERCHAN")
    if stated:
        stated_ev = stated * _unit_ev(header, stated * len(values), len(values))
        if abs(stated_ev - width) > 0.01 * width:
            raise InputError(f"XPERCHAN says {stated_ev:g} eV a channel, the energies lie {width:g} eV apart; "
                             "correct one of them")  # fmt: skip
        if abs(stated_ev - width) * len(values) < 0.5 * width:
            width = stated_ev
    return values[:, 1], _plausible(EnergyAxis(len(values), _clean(width), _clean(offset)))


def _decimals(values: np.ndarray) -> int:
    return max(len(f"{v:.6f}".rstrip("0").partition(".")[2]) for v in values[:50])


def _stated_axis(header: dict[str, str], channels: int) -> EnergyAxis:
    width = _number(header, "XPERCHAN")
    if not width or width <= 0:
        raise InputError("says no energy a channel (XPERCHAN); export it again with a calibration")
    factor = _unit_ev(header, width * channels, channels)
    offset = _number(header, "OFFSET") or 0.0
    return _plausible(EnergyAxis(channels, _clean(width * factor), _clean(offset * factor)))


def _unit_ev(header: dict[str, str], span: float, channels: int) -> float:
    """Electronvolts in the unit of the energies; where none is given, that in which channels have a sensible width."""
    unit = header.get("XUNITS", "").strip()
    found = re.search(r"(k?)ev\b", unit, re.IGNORECASE)
    if found:
        return 1000.0 if found.group(1) else 1.0
    if unit:
        raise InputError(f"XUNITS is {unit!r}, expected eV or keV")
    return 1000.0 if span < 0.5 * channels else 1.0


def _plausible(axis: EnergyAxis) -> EnergyAxis:
    low, high = WIDTHS_EV
    if not low <= axis.width_ev <= high:
        raise InputError(f"has {axis.describe()}, expected channels of {low:g} to {high:g} eV; correct XUNITS")
    return axis


def _beam_kev(header: dict[str, str]) -> float | None:
    beam = _positive(header, "BEAMKV")
    if beam is not None and beam > HIGHEST_KEV:
        raise InputError(f"BEAMKV is {beam:g}, expected kilovolts; correct it")
    return beam


def _metadata(header: dict[str, str]) -> dict[str, str]:
    """What has no field of its own; elements and resolution under one name, however the file says them."""
    kept = {key: value for key, value in header.items() if key not in ATTRIBUTES and value}
    for key in LISTS_OF_ELEMENTS:
        symbols = symbols_in(kept.get(key, ""))
        if symbols:
            del kept[key]
            kept.setdefault(ELEMENTS, ",".join(symbols))
    resolution = next((value for key in (RESOLUTION.upper(), "MNFWHM", "RESO (MNKA)")
                       if (value := _positive(header, key)) is not None), None)  # fmt: skip
    kept = {key: value for key, value in kept.items() if key not in (RESOLUTION.upper(), "MNFWHM", "RESO (MNKA)")}
    if resolution is not None:
        kept[RESOLUTION] = f"{resolution * 1000 if resolution < 1 else resolution:.10g}"  # of 0.13 keV, or 130 eV
    return kept


def _number(header: dict[str, str], key: str) -> float | None:
    """A number of the header, None where there is none. Raises InputError for what is no number."""
    text = header.get(key, "").strip()
    if not text:
        return None
    plain = text.replace(",", ".") if text.count(",") == 1 and "." not in text else text
    found = NUMBER.match(plain)
    value = float(found.group(0)) if found else np.nan
    if not found or plain[found.end() : found.end() + 1] not in ("", " ", "\t", ",", ";") or not np.isfinite(value):
        raise InputError(f"{key} is {_short(text)}, expected a number")
    return value


def _whole_number(header: dict[str, str], key: str) -> int | None:
    """A count of the header: `4096`, `4096.0`, `4096,0`, `4,096`."""
    text = header.get(key, "").strip()
    if re.fullmatch(r"[1-9]\d{0,2}(,\d{3})+", text):
        return int(text.replace(",", ""))
    value = _number(header, key)
    if value is None:
        return None
    if value != int(value) or value < 1:
        raise InputError(f"{key} is {_short(text)}, expected a whole number above 0")
    return int(value)


def _positive(header: dict[str, str], key: str) -> float | None:
    """A number above 0; None where there is none, or what cannot be meant."""
    try:
        value = _number(header, key)
    except InputError:
        return None
    return value if value is not None and value > 0 else None


def _clean(value: float) -> float:
    """Without the last digits that keV to eV leaves."""
    return float(f"{value:.10g}")


def _shown(value: float) -> str:
    return repr(value) if isinstance(value, float) and value != int(value) else f"{int(value)}."


def _header_line(keyword: str, value: str) -> str:
    return f"{keyword:<13}: {_line(value)}".rstrip() if not value else f"{keyword:<13}: {_line(value)}"


def _line(text: str) -> str:
    return " ".join(text.split())


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
