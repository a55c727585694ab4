"""Several fields of one specimen in one result, as ASTM E562, E1245 and E2109 ask.

The value is the mean of the fields, and its sampling uncertainty is how they scatter: t·s/√n. That holds what varies
along the specimen and what goes wrong by chance in a single image. Calibration, tilt, the place of edges and what the
model gets wrong on such a specimen are the same in all fields: more of them make the mean no better there, so they are
added whole.

Fields that show more count more: thickness by the length on which it was measured, shares and densities by the area of
the layer, mean sizes by the number of bodies. The scatter is then that of a ratio estimate; with equal weights it is
s/√n.

Only means are put together. The sd and the percentiles of a specimen are not the mean of those of its fields: they come
from all profiles laid together.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sem_train.measure.tables.rows import Row
from sem_train.measure.uncertainty.budget import (
    CORRECTED,
    bounds_of,
    estimated_rows,
    segmentation_notes,
    segmentation_part,
    shared_spreads,
)
from sem_train.measure.uncertainty.estimate import Estimate, Spread, combine, coverage_factor
from sem_train.measure.uncertainty.sources import Sources
from semforge.errors import InputError

WANTED_PERCENT = 10.0  # relative accuracy that E562 takes as sufficient
MOST_FIELDS = 10_000
MEANS = ("thickness_mean", "thickness_mean_over_all", "coverage", "area_percent", "number_density", "ecd_mean",
         "per_length", "length_density")  # fmt: skip


@dataclass(frozen=True)
class FieldRows:
    """One field as its table has it."""

    name: str
    rows: Sequence[Row]
    pixel_size_um: float | None


@dataclass(frozen=True)
class Combined:
    """One quantity of a specimen."""

    row: Row  # kind, name, host, quantity, unit and method; its value is the mean
    estimate: Estimate
    fields: int  # that have a value
    smallest: float  # of a field
    largest: float
    sd: float | None  # among fields; None of one
    relative_accuracy_percent: float | None  # half of the sampling interval in percent of the mean; None of one
    still_needed: int | None  # fields, until that is as small as wanted; None of one


def combine_fields(
    specimen: str, fields: Sequence[FieldRows], sources: Sources, wanted_percent: float = WANTED_PERCENT
) -> tuple[Combined, ...]:
    """Put the fields of a specimen together.

    `sources` are those of the fields; `wanted_percent` is the relative accuracy (%RA) for which the number of fields
    still needed is worked out. Raises InputError if some fields are in µm and others in pixels.
    """
    if not 0 < wanted_percent < math.inf:
        raise InputError(f"wanted relative accuracy is {wanted_percent:g} %, expected more than zero")
    scaled = [f for f in fields if f.pixel_size_um is not None]
    if len({round(f.pixel_size_um or 0.0, 12) for f in fields}) > 1 and len(scaled) < len(fields):
        without = next(f.name for f in fields if f.pixel_size_um is None)
        raise InputError(f"{specimen}: {without} has no scale and other fields have; give it, or leave the field out")
    tables = [{(r.kind, r.name, r.quantity): r for r in field.rows} for field in fields]
    asked = {
        key: row for t in tables for key, row in t.items() if row.quantity in MEANS and row in estimated_rows([row])
    }
    found = []
    for row in asked.values():
        combined = _combine(specimen, fields, tables, row, sources, wanted_percent)
        corrected = _corrected(combined, fields, sources)
        found += [combined] if corrected is None else [combined, corrected]
    return tuple(found)


def specimen_rows(specimen: str, combined: Sequence[Combined], wanted_percent: float = WANTED_PERCENT) -> list[Row]:
    """The result as rows: each quantity, then its spread over fields, %RA and the number of fields still needed."""
    found = []
    for c in combined:
        e = c.estimate
        found.append(replace(c.row, image=specimen, value=e.value, note=e.note, standard_uncertainty=e.standard,
                             low_95=e.low, high_95=e.high))  # fmt: skip
        if c.fields < 2 or c.row.quantity.endswith(CORRECTED):
            continue
        more: tuple[tuple[str, float | int | None, str, str], ...] = (
            ("fields", c.fields, "", ""),
            ("field_min", c.smallest, c.row.unit, ""),
            ("field_max", c.largest, c.row.unit, ""),
            ("field_sd", c.sd, c.row.unit, ""),
            ("relative_accuracy", c.relative_accuracy_percent, "%", "ASTM E562"),
            ("fields_still_needed", c.still_needed, "", f"ASTM E562, for {wanted_percent:g} %"),
        )
        found += [Row(specimen, c.row.kind, c.row.name, c.row.host, f"{c.row.quantity}_{name}", value, unit, "",
                      method=method) for name, value, unit, method in more]  # fmt: skip
    return found


def field_mean(values: np.ndarray, weights: np.ndarray) -> tuple[float, Spread]:
    """Weighted mean of the values (N,) of fields and its sampling spread; infinite for one field."""
    n, share = len(values), weights / weights.sum()
    mean = float(share @ values)
    if n < 2:
        return mean, Spread(math.inf, 1.0)
    return mean, Spread(math.sqrt(n / (n - 1) * float((share**2 * (values - mean) ** 2).sum())), n - 1)


def fields_needed(mean: float, sd: float, percent: float) -> int | None:
    """How many fields in all bring t·s/√n to `percent` of the mean (ASTM E562); None if more than `MOST_FIELDS`."""
    if sd == 0:
        return 2
    wanted = abs(mean) * percent / 100
    low, high = 2, MOST_FIELDS
    reaches = lambda n: coverage_factor(n - 1) * sd / math.sqrt(n) <= wanted
    if not reaches(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle + 1, high)
    return low


def _combine(
    specimen: str, fields: Sequence[FieldRows], tables: list[dict], row: Row, sources: Sources, wanted: float
) -> Combined:
    key = (row.kind, row.name, row.quantity)
    having = [i for i, t in enumerate(tables) if key in t and t[key].value is not None]
    values = np.array([float(tables[i][key].value) for i in having])
    weights = _weights([tables[i] for i in having], row)
    notes = [f"{len(having)} of {len(fields)} fields have a value"] if len(having) < len(fields) else []
    notes += _censored([tables[i] for i in having], row)
    if len(having) == 1:
        only = tables[having[0]][key]
        return Combined(replace(only, image=specimen), _of_one(only, notes), 1, values[0], values[0], None, None, None)
    mean, sampling = field_mean(values, weights)
    sd = sampling.standard * math.sqrt(len(values))
    half = coverage_factor(sampling.dof) * sampling.standard
    needed = fields_needed(mean, sd, wanted)
    pixel_size = _mean_pixel_size(fields)
    middle = replace(row, image=specimen, value=mean)
    spreads = {"sampling": sampling, **shared_spreads(middle, pixel_size or 1.0, pixel_size is not None, sources)}
    bias, segmentation = segmentation_part(middle, pixel_size, sources)
    if segmentation is not None:
        spreads["segmentation"] = segmentation
    parts = ", ".join(f"{name} {s.standard:.2g}" for name, s in spreads.items())
    what = f"95 % interval of the specimen, mean of {len(values)} fields; u: {parts}"
    notes = [what, *notes, *segmentation_notes(middle, pixel_size, sources)]
    estimate = combine(mean, spreads, "; ".join(n for n in notes if n), bias, bounds_of(middle))
    return Combined(
        middle, estimate, len(values), float(values.min()), float(values.max()), sd,
        100 * half / abs(mean) if mean else None, None if needed is None else max(needed - len(values), 0),
    )  # fmt: skip


def _corrected(found: Combined, fields: Sequence[FieldRows], sources: Sources) -> Combined | None:
    """The same with the bias of the segmentation taken off; None where it is not known."""
    pixel_size = _mean_pixel_size(fields)
    bias, segmentation = segmentation_part(found.row, pixel_size, sources)
    if segmentation is None:
        return None
    e = found.estimate
    row = replace(found.row, quantity=found.row.quantity + CORRECTED, value=e.value - bias)
    # what `combine` had moved outwards for the bias goes back
    low, high = e.low + max(bias, 0.0) - bias, e.high - max(-bias, 0.0) - bias
    low, high = max(low, bounds_of(row)[0]), min(high, bounds_of(row)[1])
    value = e.value - bias
    note = f"{e.value:.6g} as measured, less the bias of {bias:+.3g}; {e.note}"
    return replace(
        found, row=row, estimate=Estimate(value, e.standard, min(low, value), max(high, value), e.parts, note)
    )


def _mean_pixel_size(fields: Sequence[FieldRows]) -> float | None:
    sizes = [f.pixel_size_um for f in fields if f.pixel_size_um is not None]
    return float(np.mean(sizes)) if sizes else None


def _of_one(row: Row, notes: list[str]) -> Estimate:
    """One field says what it says, and no more."""
    value, standard = float(row.value or 0.0), row.standard_uncertainty
    text = "; ".join(n for n in ("one field: how fields differ is not known", *notes, row.note) if n)
    if standard is None or row.low_95 is None or row.high_95 is None:
        return Estimate(value, math.nan, math.nan, math.nan, {}, text)
    return Estimate(value, standard, row.low_95, row.high_95, {}, text)


def _weights(tables: list[dict], row: Row) -> np.ndarray:
    """How much each field counts."""
    if row.kind == "layer":
        key = ("layer", row.name, "usable_length")
    elif row.kind == "inclusion" and row.unit in ("%", "1/um^2", "1/px^2"):
        key = ("layer", row.host, "area")
    elif row.kind == "crack":
        key = ("layer", row.host, "area" if row.quantity == "length_density" else "usable_length")
    elif row.kind in ("inclusion", "particle") and row.unit not in ("%", "1/um^2", "1/px^2"):
        key = (row.kind, row.name, "count")
    else:
        return np.ones(len(tables))
    found = np.array([float(t[key].value or 0.0) if key in t else math.nan for t in tables])
    # a coverage of nothing was measured on no length, but seen: it counts as the others do on average
    known = np.isfinite(found) & (found > 0)
    return np.where(known, found, found[known].mean()) if known.any() else np.ones(len(tables))


def _censored(tables: list[dict], row: Row) -> list[str]:
    layer = row.name if row.kind == "layer" else row.host
    key = ("layer", layer, "censored")
    cut = sum(bool(t[key].value) for t in tables if key in t)
    return [f"{layer} leaves the frame in {cut} of {len(tables)} fields"] if cut and row.kind == "layer" else []
