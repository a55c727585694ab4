"""Numbers, lengths and dates as instruments write them."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

UM = {
    "pm": 1e-6, "å": 1e-4, "angstrom": 1e-4, "nm": 1e-3, "nanometer": 1e-3, "nanometre": 1e-3, "um": 1.0, "µm": 1.0,
    "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "micrometre": 1.0, "mm": 1e3, "millimeter": 1e3,
    "millimetre": 1e3, "cm": 1e4, "m": 1e6, "meter": 1e6, "metre": 1e6,
}  # fmt: skip
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
GREEK_MU, MICRO = "\u03bc", "\u00b5"


def number(value: Any) -> float | None:
    """A value as a number; None for what is empty, yes or no, or no number."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def leading_number(value: Any) -> float | None:
    """The number that a text such as "15000 Volt" begins with."""
    found = re.match(rf"\s*({NUMBER})", str(value)) if value is not None else None
    return float(found.group(1)) if found else None


def unit_um(unit: str) -> float | None:
    """Micrometres in one of a unit of length; None for what is none, such as pixels, or for inches.

    Programs that know only the print resolution of an image call it inches; no micrograph is measured in them.
    """
    plain = unit.strip().lower().replace("\\u00b5", MICRO).replace(GREEK_MU, MICRO)
    return UM.get(plain)


def length_um(text: Any) -> float | None:
    """A length such as "10um" or "2.5 nm" in µm; None where it is none."""
    found = re.fullmatch(rf"\s*({NUMBER})\s*(\S+?)\s*", str(text)) if text is not None else None
    factor = unit_um(found.group(2)) if found else None
    return None if found is None or factor is None else float(found.group(1)) * factor


def shown(value: float | None) -> str | None:
    """A number as the instrument's conditions give it: up to five digits, no exponent where none is needed."""
    return None if value is None else f"{float(f'{value:.5g}'):.10g}"


def scaled(value: float | None, factor: float) -> float | None:
    """The value times a factor, where there is one."""
    return None if value is None else value * factor


def known(**conditions: Any) -> dict[str, str]:
    """The conditions that have a value, as text."""
    texts = {key: str(value).strip() for key, value in conditions.items() if value not in (None, "", False)}
    return {key: text for key, text in texts.items() if text}


def moment(text: Any, *formats: str) -> str | None:
    """A date, or date and time, as `2021-11-30 11:02:50` if it is in one of the formats, else as it stands."""
    plain = " ".join(str(text).split()) if text else ""
    for form in formats:
        try:
            when = datetime.strptime(plain, form)
        except ValueError:
            continue
        return when.strftime("%Y-%m-%d %H:%M:%S" if "%H" in form or "%I" in form else "%Y-%m-%d")
    return plain or None


def ini(text: str) -> dict[str, dict[str, str]]:
    """Sections of `key = value` lines; lines before the first section are in ''. Later lines win."""
    sections: dict[str, dict[str, str]] = {"": {}}
    section = sections[""]
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            section = sections.setdefault(line[1:-1], {})
        elif "=" in line:
            key, value = line.split("=", 1)
            section[key.strip()] = value.strip()
    return sections


def flat(sections: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """All sections as one, the first with a key has the word."""
    merged: dict[str, str] = {}
    for section in reversed(list(sections.values())):
        merged.update(section)
    return merged
