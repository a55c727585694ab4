"""The uncertainty budget of one field: all sources of every quantity, and their sum."""

import math
import re
from collections.abc import Iterable

from sem_train.measure.field import FieldMeasurement
from sem_train.measure.section import Section
from sem_train.measure.tables.rows import Row, rows_of
from sem_train.measure.uncertainty.estimate import Estimate, Spread, combine
from sem_train.measure.uncertainty.sampling import Key, sampling_spreads, thickness_in
from sem_train.measure.uncertainty.sources import Sources
from sem_train.measure.uncertainty.systematic import EDGE_PX, u_calibration, u_edge, u_tilt
from sem_train.measure.uncertainty.units import length_power

CORRECTED = "_corrected"  # added to the name of a quantity whose segmentation bias is taken off
SLOW = "the layer varies over lengths comparable with the field"
SHORT = 5.0  # a field worth fewer independent places says little of its specimen
_SIZES = r"ecd_mean|ecd_median|d\d+_(number|area|volume)"
ESTIMATED = {
    "layer": re.compile(r"thickness_(mean|mean_over_all|sd|p\d+)|coverage"),
    "inclusion": re.compile(rf"area_percent|number_density|{_SIZES}"),
    "crack": re.compile("per_length|length_density"),
    "particle": re.compile(rf"area_percent|number_density|{_SIZES}"),
}


def uncertainties(section: Section | None, field: FieldMeasurement, sources: Sources) -> dict[Key, Estimate]:
    """Uncertainty of the quantities of a field, by kind, name and quantity of their rows.

    Quantities for which no interval can be told have none, as do extremes: how much thinner the specimen is elsewhere,
    no field tells. Where the segmentation error is calibrated, there is a second estimate of the same name with
    `_corrected`, with the bias taken off. `section` is None for instance maps.
    """
    sampled = sampling_spreads(section, field) if sources.target == "specimen" else {}
    found: dict[Key, Estimate] = {}
    for row in estimated_rows(rows_of("", field)):
        key = (row.kind, row.name, row.quantity)
        if sources.target == "specimen" and key not in sampled:
            continue
        spreads = systematic_spreads(row, field, sources)
        bias, segmentation = segmentation_part(row, field.pixel_size_um, sources)
        if segmentation is not None:
            spreads["segmentation"] = segmentation
        if key in sampled:
            spreads = {"sampling": sampled[key], **spreads}
        notes = [_what(row, spreads, sources), _neighbourhood(section, row, sources)]
        notes += segmentation_notes(row, field.pixel_size_um, sources)
        value, bounds = float(row.value or 0.0), bounds_of(row)
        said = f"measured minus true {bias:+.3g} {row.unit} on images of known truth".replace(" %", " points")
        known = [said] if segmentation is not None else []
        found[key] = combine(value, spreads, "; ".join(n for n in (*notes, *known) if n), bias, bounds)
        if segmentation is not None:
            off = [f"{value:.6g} as measured, less the bias of {bias:+.3g}"]
            text = "; ".join(n for n in (*off, *notes) if n)
            found[(row.kind, row.name, row.quantity + CORRECTED)] = combine(value - bias, spreads, text, bounds=bounds)
    return found


def estimated_rows(rows: Iterable[Row]) -> list[Row]:
    """The rows that have a value for which an uncertainty can be asked."""
    return [r for r in rows if r.value is not None and math.isfinite(r.value) and is_estimated(r.kind, r.quantity)]


def is_estimated(kind: str, quantity: str) -> bool:
    """Whether this is a quantity for which an uncertainty can be asked."""
    return kind in ESTIMATED and ESTIMATED[kind].fullmatch(quantity) is not None


def systematic_spreads(row: Row, field: FieldMeasurement, sources: Sources) -> dict[str, Spread]:
    """Calibration, edge and tilt, as far as they act on the quantity."""
    pixel = field.pixel_size_um or 1.0
    return shared_spreads(row, pixel, field.unit == "um", sources, _edge(row, field, sources, pixel))


def shared_spreads(
    row: Row, pixel: float, has_scale: bool, sources: Sources, edge: float | None = None
) -> dict[str, Spread]:
    """Those that are the same in all fields of a specimen; `edge` is u by the edge where it is known already."""
    value, power = float(row.value or 0.0), length_power(row.unit)
    found = {}
    if has_scale and power:
        found["calibration"] = Spread(u_calibration(value, power, sources.calibration_percent))
    if edge is None and is_thickness(row) and not row.quantity.endswith("_sd"):
        edge = u_edge(edge_px(row, sources), pixel)
    if edge:
        found["edge"] = Spread(edge)
    if is_thickness(row):
        found["tilt"] = Spread(u_tilt(value, sources.tilt_deg, sources.tilt_uncertainty_deg))
    return found


def segmentation_part(row: Row, pixel_size_um: float | None, sources: Sources) -> tuple[float, Spread | None]:
    """Bias and spread of what the model gets wrong; None where it is not calibrated."""
    error = sources.segmentation.of((row.kind, row.name, row.quantity)) if sources.segmentation else None
    if error is None:
        return 0.0, None
    return error.at(float(row.value or 0.0), pixel_size_um or 1.0)


def segmentation_notes(row: Row, pixel_size_um: float | None, sources: Sources) -> list[str]:
    """What a reader must know of that part."""
    if sources.segmentation is None:
        return ["segmentation error not included"]
    error = sources.segmentation.of((row.kind, row.name, row.quantity))
    if error is None:
        return ["segmentation error not calibrated for this quantity"]
    notes = [sources.segmentation.warning(pixel_size_um)]
    if pixel_size_um is not None and not error.covers(float(row.value or 0.0), pixel_size_um):
        notes.append("beyond the values that the segmentation error was calibrated with")
    return notes


def edge_px(row: Row, sources: Sources) -> float:
    """u of one boundary in pixels: as given, or half a pixel either way unless the calibrated error has it in it."""
    if sources.edge_px is not None:
        return sources.edge_px
    calibrated = sources.segmentation is not None and sources.segmentation.of((row.kind, row.name, row.quantity))
    return 0.0 if calibrated else EDGE_PX


def is_thickness(row: Row) -> bool:
    """Whether the row is a length across a layer."""
    return row.kind == "layer" and row.quantity.startswith("thickness_")


def bounds_of(row: Row) -> tuple[float, float]:
    """Least and greatest value that the quantity can have."""
    return 0.0, 100.0 if row.unit == "%" else math.inf


def _edge(row: Row, field: FieldMeasurement, sources: Sources, pixel: float) -> float | None:
    """u of sizes and shares of bodies, whose one outline is off by the same amount all around."""
    u = edge_px(row, sources) * pixel
    if row.kind in ("inclusion", "particle") and length_power(row.unit) == 1:
        return 2 * u
    if row.kind == "inclusion" and row.quantity == "area_percent":
        inclusion, layer = field.inclusions[row.name], field.layers[row.host]
        # cut bodies have no diameter of their own: taken for as large as the others
        outline = math.pi * (inclusion.ecd_mean or 0.0) * inclusion.count
        return 100 * outline * u / layer.area if layer.area > 0 else None
    return None


def _what(row: Row, spreads: dict[str, Spread], sources: Sources) -> str:
    """E.g. "95 % interval of the specimen; u: sampling 0.8, calibration 1.7"."""
    parts = ", ".join(f"{name} {s.standard:.2g}" for name, s in spreads.items())
    of = "specimen, from one field" if sources.target == "specimen" else "field alone"
    return f"95 % interval of the {of}; u: {parts or 'none'}"


def _neighbourhood(section: Section | None, row: Row, sources: Sources) -> str:
    if sources.target == "field" or section is None or not is_thickness(row):
        return ""
    series = thickness_in(section, row.name)
    if series is None or series.n_eff >= SHORT:
        return ""
    return f"{SLOW} (n_eff {series.n_eff:.1f}): take more fields"
