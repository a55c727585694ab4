"""What quantities are called in a certificate, and which of them a reader wants first."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sem_train.certificate.numbers import (
    SPACE,
    Stated,
    expanded,
    interval,
    joined,
    shown,
    stated,
    unit_text,
    with_uncertainty,
)
from sem_train.measure.layers import RESOLVED_PX, USABLE_FRACTION
from sem_train.measure.table import Row

NAMES = {
    "thickness_mean": "mean thickness",
    "thickness_sd": "spread of thickness along the layer (sd)",
    "thickness_min": "smallest thickness",
    "thickness_max": "largest thickness",
    "thickness_mean_over_all": "mean thickness, zero where missing",
    "thickness_mean_censored": "mean thickness, what leaves the frame estimated",
    "local_thickness_mean": "local thickness, mean",
    "local_thickness_sd": "local thickness, sd",
    "local_thickness_max": "local thickness, largest",
    "normals": "normals measured",
    "normals_usable": "normals with both boundaries in the frame",
    "normals_with_several_boundaries": "normals that meet the layer more than once",
    "usable_length": "length measured",
    "tilt": "tilt in the image",
    "section_tilt": "tilt of the section",
    "censored": "leaves the frame somewhere",
    "area_percent": "area fraction",
    "count": "number",
    "count_whole": "number not cut by the frame",
    "ecd_mean": "diameter of equal area, mean",
    "ecd_sd": "diameter of equal area, sd",
    "ecd_median": "diameter of equal area, median",
    "feret_max_mean": "largest Feret diameter, mean",
    "feret_min_mean": "smallest Feret diameter, mean",
    "score": "excess over chance",
    "depth": "depth below the surface",
    "depth_fraction": "relative depth (0 outer, 1 inner boundary)",
    "length_total": "total length",
    "length_mean": "mean length",
    "length_max": "largest length",
    "opening_mean": "mean opening",
    "opening_max": "largest opening",
    "per_length": "number per length of the layer",
    "length_density": "length per area of the layer",
    "through": "number through the whole layer",
    "nearest_neighbour_mean": "distance to the nearest neighbour, mean",
    "nearest_neighbour_ratio": "nearest neighbour over that of chance",
    "nearest_neighbour_used": "neighbours used",
    "needed_d50_number": "particles needed for D50 by number to 5 %",
    "needed_d50_volume": "particles needed for D50 by volume to 5 %",
    "circularity_iso_mean": "circularity (ISO 9276-6), mean",
    "circularity_imagej_mean": "circularity (ImageJ), mean",
    "lognormal_a2": "lognormal fit, A²",
    "lognormal_p": "lognormal fit, p",
}
# of a quantity over several fields
OF_FIELDS = {
    "_fields_still_needed": "fields still needed",
    "_fields": "fields",
    "_field_min": "smallest field",
    "_field_max": "largest field",
    "_field_sd": "sd of the fields",
    "_relative_accuracy": "relative accuracy",
}
PATTERNS = (
    (r"thickness_p0*(\d+)", r"thickness, \1th percentile"),
    (r"d(\d+)_(number|area|volume)", r"D\1 by \2"),
    (r"(outer|inner)_([RWP][aqz])", r"\1 interface, \2"),
    (r"(outer|inner)_(cutoff|evaluation_length)", r"\1 interface, \2 of roughness"),
    (r"(outward|inward)_(mean|sd|share)", r"\1 part, \2"),
    (r"distance_to_(outer|inner)_mean", r"distance to the \1 interface, mean"),
)
TRUTHS = {"present", "resolved", "complete", "censored"}  # 1 and 0 mean yes and no
KINDS = {"layer": "", "inclusion": "", "line": "line", "crack": "", "particle": ""}


@dataclass(frozen=True)
class Key:
    """One key result: a few words large, and what they mean."""

    name: str  # "Fe2Al5 thickness"
    text: str  # "12.3 ± 0.4 µm"
    note: str  # "k = 2", "not resolved", ...; empty if nothing
    value: float | None  # to sort by
    unit: str = ""  # of the value, as in tables


class Values:
    """The rows of one image or specimen, by what they are of."""

    def __init__(self, rows: Iterable[Row]):
        self.rows = tuple(rows)
        self._found = {(row.kind, row.name, row.quantity): row for row in self.rows}

    def row(self, kind: str, name: str, quantity: str) -> Row | None:
        """The row, or None."""
        return self._found.get((kind, name, quantity))

    def value(self, kind: str, name: str, quantity: str) -> float | int | None:
        """The value, None where there is none."""
        row = self.row(kind, name, quantity)
        return None if row is None else row.value

    def names(self, kind: str) -> list[str]:
        """Classes that have rows of a kind, in order."""
        return list(dict.fromkeys(row.name for row in self.rows if row.kind == kind))

    def host(self, kind: str, name: str) -> str:
        """The layer that a class lies in; empty if none is known."""
        return next((row.host for row in self.rows if (row.kind, row.name) == (kind, name)), "")


def quantity_name(quantity: str) -> str:
    """E.g. "thickness_mean" as "mean thickness"."""
    for ending, words in OF_FIELDS.items():
        if quantity.endswith(ending) and quantity != ending[1:]:
            return f"{quantity_name(quantity.removesuffix(ending))}: {words}"
    name = NAMES.get(quantity)
    if name is None:
        changed = (re.sub(pattern, words, quantity) for pattern, words in PATTERNS if re.fullmatch(pattern, quantity))
        name = next(changed, quantity).replace("_", " ")
    return name


def subject(row: Row) -> str:
    """What a row is about: "Fe2Al5", "pore in Fe2Al5", "pore line in Fe2Al5"."""
    what = KINDS.get(row.kind, "")
    name = f"{row.name} {what}" if what else row.name
    return f"{name} in {row.host}" if row.host else name


def row_text(row: Row) -> str:
    """The value of a row without its unit; truths as yes and no."""
    if row.quantity in TRUTHS and row.value is not None:
        return "yes" if row.value else "no"
    return shown(_whole(row), _half(row))


def key_results(values: Values) -> list[Key]:
    """Thickness of each layer, area fraction of each inclusion, lines and cracks."""
    keys = [_thickness(values, name) for name in values.names("layer")]
    keys += [_fraction(values, name) for name in values.names("inclusion")]
    keys += [_line(values, name) for name in values.names("line")]
    keys += [_cracks(values, name) for name in values.names("crack")]
    keys += [key for name in values.names("particle") for key in _particles(values, name)]
    return [key for key in keys if key is not None]


def found_in_fields(fields: Sequence[Values], known: Sequence[Key]) -> list[Key]:
    """Key results of a specimen, with what only single fields tell: how many show a layer or a line.

    `known` are the key results over all fields.
    """
    found = []
    names = dict.fromkeys(name for values in fields for name in values.names("layer"))
    counts = {
        _thickness_title(name): (sum(values.value("layer", name, "present") == 1 for values in fields), len(fields))
        for name in names
    }
    for key in known:
        there, total = counts.get(key.name, (0, 0))
        note = f"found in {there} of {total} fields" if 0 < there < total else ""
        found.append(replace(key, note="; ".join(n for n in (key.note, note) if n)))
    for name in dict.fromkeys(name for values in fields for name in values.names("line")):
        title = next(key.name for values in fields for key in [_line(values, name)] if key is not None)
        if any(key.name == title for key in known):
            continue
        keys = [key for values in fields for key in [_line(values, name)] if key is not None]
        depths = sorted(key.value for key in keys if key.value is not None)
        unit = next((key.unit for key in keys if key.unit), "")
        there = sum(values.value("line", name, "present") == 1 for values in fields)
        text = "none" if there == 0 else f"in {there} of {len(fields)} fields"
        span = " to ".join(dict.fromkeys(shown(depth) for depth in (depths[0], depths[-1]))) if depths else ""
        found.append(Key(title, text, joined(span, unit) + " deep" if span else "", there, unit))
    return found


def share_in_frame(values: Values, layer: str) -> float | None:
    """Percent of a layer's normals that were measured, where it leaves the frame somewhere; else None."""
    usable = values.value("layer", layer, "normals_usable")
    present = values.value("layer", layer, "present") != 0
    return usable if present and usable is not None and usable < 100 else None


def is_lower_bound(values: Values, layer: str) -> bool:
    """Whether so much of a layer leaves the frame that its thickness is no more than a lower bound."""
    share = share_in_frame(values, layer)
    return share is not None and share < 100 * USABLE_FRACTION


def is_unresolved(values: Values, layer: str) -> bool:
    """Whether a layer is there but too thin for its thickness to be believed."""
    return values.value("layer", layer, "present") != 0 and values.value("layer", layer, "resolved") == 0 and (
        values.value("layer", layer, "thickness_mean") is not None
    )  # fmt: skip


def _thickness_title(name: str) -> str:
    return f"{name} thickness"


def _thickness(values: Values, name: str) -> Key | None:
    title = _thickness_title(name)
    if values.value("layer", name, "present") == 0:
        return Key(title, "absent", "", 0.0)
    row = values.row("layer", name, "thickness_mean")
    if row is None:
        return None
    if row.value is None:
        return Key(title, "not measured", row.note, None)
    text = _text(row)
    if is_unresolved(values, name):
        return Key(title, text, f"not resolved: thinner than {RESOLVED_PX:g} pixels", row.value, row.unit)
    if is_lower_bound(values, name):
        return Key(title, f"≥ {text}", "leaves the frame: a lower bound", row.value, row.unit)
    share = share_in_frame(values, name)
    part = [] if share is None else [f"{shown(share)} % of it in the frame"]
    return Key(title, text, "; ".join([_sure(row, values), *part]), row.value, row.unit)


def _fraction(values: Values, name: str) -> Key | None:
    row = values.row("inclusion", name, "area_percent")
    if row is None:
        return None
    title = f"{name} area in {row.host}" if row.host else f"{name} area"
    if row.value is None:
        return Key(title, "not measured", row.note, None)
    return Key(title, _text(row), _sure(row, values), row.value, row.unit)


def _line(values: Values, name: str) -> Key | None:
    present = values.value("line", name, "present")
    if present is None:
        return None
    title = f"{name} line in {values.host('line', name)}"
    if not present:
        return Key(title, "none", "", None)
    depth = values.row("line", name, "depth")
    if depth is None or depth.value is None:
        return Key(title, "yes", "", None)
    return Key(title, f"yes, {_text(depth)} deep", _sure(depth, values), depth.value, depth.unit)


def _cracks(values: Values, name: str) -> Key | None:
    """Length per area, which fields can be compared and combined by."""
    density = values.row("crack", name, "length_density")
    count, length = values.value("crack", name, "count"), values.row("crack", name, "length_total")
    if density is None and count is None:
        return None
    host = values.host("crack", name)
    title = f"{name} length per area of {host}" if host else f"{name} length per area"
    if count == 0:
        return Key(title, "none", "", 0)
    note = [] if count is None else [f"{shown(int(count))} found"]
    if length is not None and length.value is not None:
        note.append(f"{joined(shown(length.value), length.unit)} long in all")
    if density is None or density.value is None:
        return Key(title, "not measured", ", ".join(note), None)
    return Key(title, _text(density), "; ".join([*note, _sure(density, values)]), density.value, density.unit)


def _particles(values: Values, name: str) -> list[Key]:
    found = []
    for quantity in ("d50_number", "d50_volume", "area_percent"):
        row = values.row("particle", name, quantity)
        if row is not None and row.value is not None:
            found.append(Key(f"{name}, {quantity_name(quantity)}", _text(row), _sure(row, values), row.value, row.unit))
    count = values.row("particle", name, "count")
    if count is not None and count.value is not None:
        found.append(Key(f"{name}, number", shown(_whole(count)), "", count.value))
    return found


def _whole(row: Row) -> float | int | None:
    """Counts as whole numbers."""
    whole = isinstance(row.value, float) and row.unit == "" and row.value.is_integer()
    return int(row.value) if whole and row.value is not None else row.value


def _stated(row: Row) -> Stated | None:
    return stated(row.value, row.standard_uncertainty, row.low_95, row.high_95)


def _half(row: Row) -> float | None:
    found = _stated(row)
    return found.half if found else None


def _text(row: Row) -> str:
    """With ±, or with both ends in brackets where they are not equally far."""
    found = _stated(row)
    if found is not None and found.lopsided:
        ends = interval(row.low_95, row.high_95).replace(" ", SPACE)
        return f"{joined(shown(row.value, found.half), row.unit)}{SPACE}({ends})"
    return with_uncertainty(row.value, _half(row), row.unit)


def _sure(row: Row, values: Values) -> str:
    """What is said of an uncertainty beside it, and how many fields more would make it small."""
    found = _stated(row)
    if found is None:
        return "no uncertainty stated"
    said = f"k = {found.factor:.1f}".removesuffix(".0")
    if found.lopsided:
        said = "95 % interval in brackets"
    needed = values.row(row.kind, row.name, f"{row.quantity}_fields_still_needed")
    if needed is not None and needed.value:
        wanted = needed.method.rpartition(", for ")[2] if ", for " in needed.method else "the precision wanted"
        said += f"; {shown(int(needed.value))} more field{'' if needed.value == 1 else 's'} for ± {wanted}"
    return said


@dataclass(frozen=True)
class Line:
    """One row of the table of all values, as text, with what it sorts by."""

    subject: str
    quantity: str
    value: str
    sort: float | int | str
    unit: str
    uncertainty: str
    interval: str
    low: float | str
    method: str
    note: str
    first: bool  # of its subject


def table_lines(rows: Sequence[Row]) -> list[Line]:
    """Rows with a value as the page shows them; what notes of one subject have in common is said once."""
    found: list[Line] = []
    said: set[str] = set()
    for row in (r for r in rows if r.value is not None):
        about = subject(row)
        first = not found or found[-1].subject != about
        said = set() if first else said
        note = [part for part in row.note.split("; ") if part not in said]
        said |= set(note)
        found.append(
            Line(
                subject=about, quantity=quantity_name(row.quantity), value=row_text(row),
                sort="" if row.value is None else row.value, unit=unit_text(row.unit), uncertainty=expanded(_half(row)),
                interval=interval(row.low_95, row.high_95), low="" if row.low_95 is None else row.low_95,
                method=row.method, note="; ".join(note), first=first,
            )
        )  # fmt: skip
    return found
