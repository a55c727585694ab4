"""Numbers and units as a printed certificate shows them."""

import math
import re
from dataclasses import dataclass

THIN = "\u202f"  # narrow space that does not break a line
SPACE = "\u00a0"  # one that does not break a line
MINUS = "−"
DASH = "–"
COVERAGE_FACTOR = 2  # where no interval says another
LOPSIDED = 0.1  # of its half-width: how far the middle of an interval may be from the value to pass for ±
DIGITS = 3  # significant ones of a value without uncertainty
MOST_DIGITS = 10  # however small an uncertainty is
NEGLIGIBLE = 1e-9  # of a value: an uncertainty that is an accident of arithmetic
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Stated:
    """What is stated of the uncertainty of a value."""

    half: float  # expanded uncertainty U, half of the 95 % interval where one is given, else 2u
    factor: float  # coverage factor k = U / u
    lopsided: bool  # whether the interval reaches clearly further on one side


def stated(value: float | int | None, standard: float | None, low: float | None, high: float | None) -> Stated | None:
    """The expanded uncertainty of a value; None where none is stated."""
    if value is None or standard is None or not (math.isfinite(standard) and standard > NEGLIGIBLE * abs(value)):
        return None
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high) and high > low):
        return Stated(COVERAGE_FACTOR * standard, COVERAGE_FACTOR, False)
    half = (high - low) / 2
    return Stated(half, half / standard, abs((high + low) / 2 - value) > LOPSIDED * half)


def shown(value: float | int | None, half: float | None = None, digits: int = DIGITS) -> str:
    """A value, rounded as its expanded uncertainty allows; a dash where there is none.

    Whole numbers stay whole. Without an uncertainty `digits` significant digits are kept.
    """
    if value is None or not math.isfinite(value):
        return DASH
    if isinstance(value, int) and not half:
        return _grouped(f"{value}")
    return _fixed(float(value), _places(half) if half else _significant(float(value), digits))


def expanded(half: float | None) -> str:
    """An expanded uncertainty: two digits if it begins with 1 or 2, else one; a dash where there is none."""
    return DASH if half is None else _fixed(half, _places(half))


def with_uncertainty(value: float | int | None, half: float | None, unit: str) -> str:
    """E.g. "12.3 ± 0.4 µm", or "12.3 µm" where no uncertainty is stated."""
    text = shown(value, half)
    if value is None:
        return text
    if half:
        text = f"{text}{SPACE}±{SPACE}{expanded(half)}"
        text = f"({text})" if unit == "%" else text
    return joined(text, unit)


def interval(low: float | None, high: float | None) -> str:
    """E.g. "11.9 to 12.7", with the digits that tell its ends apart."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return DASH
    places = _places((high - low) / 2) if high > low else _significant(low, DIGITS)
    return f"{_fixed(low, places)} to {_fixed(high, places)}"


def joined(text: str, unit: str) -> str:
    """A number with its unit."""
    words = unit_text(unit)
    return f"{text}{'' if words in ('', '°') else THIN}{words}"


def unit_text(unit: str) -> str:
    """A unit of a table as printed: um^2 is µm², 1/um^2 is µm⁻²."""
    text = re.sub(r"\bum\b", "µm", unit)
    text = re.sub(r"^1/(\w+)(?:\^(\d+))?$", lambda found: f"{found[1]}^-{found[2] or 1}", text)
    text = re.sub(r"\^(-?\d+)", lambda power: power[1].translate(SUPERSCRIPT), text)
    return "°" if text == "deg" else text


def typeset(note: str) -> str:
    """Words of a table with real minus signs and µm."""
    return re.sub(r"(?<![\w.])-(?=\d)", MINUS, re.sub(r"\bum\b", "µm", note))


def _places(width: float) -> int:
    """Decimal places (negative: left of the point) that an uncertainty of this size is given with."""
    power = math.floor(math.log10(width))
    return -power + (1 if width / 10**power < 2.95 else 0)


def _significant(value: float, digits: int) -> int:
    return digits - 1 - math.floor(math.log10(abs(value))) if value else 0


def _fixed(value: float, places: int) -> str:
    power = math.floor(math.log10(abs(value))) if value else 0
    places = min(places, MOST_DIGITS - 1 - power)
    # beyond these, zeros would be counted by eye
    if power < -4 or (places < 0 and power >= 6):
        mantissa, _, exponent = f"{value:.{max(places + power, 0)}e}".partition("e")
        return f"{_grouped(mantissa)}{THIN}×{THIN}10{str(int(exponent)).translate(SUPERSCRIPT)}"
    rounded = round(value, places) if places >= 0 else round(value / 10.0**-places) * 10.0**-places
    text = f"{rounded:.{max(places, 0)}f}"
    return _grouped(text.lstrip("-") if float(text) == 0 else text)


def _grouped(text: str) -> str:
    """Real minus sign, and thousands apart from five digits on."""
    sign, digits = (MINUS, text[1:]) if text.startswith("-") else ("", text)
    whole, point, rest = digits.partition(".")
    if len(whole) > 4:
        whole = f"{int(whole):,}".replace(",", THIN)
    return sign + whole + point + rest
