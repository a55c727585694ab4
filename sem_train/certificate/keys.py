"""The results that a reader wants first, as a few words each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sem_train.certificate.numbers import SPACE, interval, joined, shown, with_uncertainty
from sem_train.certificate.words import Values, half_of, quantity_name, stated_of, whole
from sem_train.measure.layers.thickness import RESOLVED_PX, USABLE_FRACTION
from sem_train.measure.tables.rows import Row


@dataclass(frozen=True)
class Key:
    """One key result: a few words large, and what they mean."""

    name: str  # "Fe2Al5 thickness"
    text: str  # "12.3 ± 0.4 µm"
    note: str  # "k = 2", "not resolved", ...; empty if nothing
    value: float | None  # to sort by
    unit: str = ""  # of the value, as in tables


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
        found.append(Key(f"{name}, number", shown(whole(count)), "", count.value))
    return found


def _text(row: Row) -> str:
    """With ±, or with both ends in brackets where they are not equally far."""
    found = stated_of(row)
    if found is not None and found.lopsided:
        ends = interval(row.low_95, row.high_95).replace(" ", SPACE)
        return f"{joined(shown(row.value, found.half), row.unit)} ({ends})"
    return with_uncertainty(row.value, half_of(row), row.unit)


def _sure(row: Row, values: Values) -> str:
    """What is said of an uncertainty beside it, and how many fields more would make it small."""
    found = stated_of(row)
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
