"""Single pores, precipitates, cracks and particles as a table, one object a row."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sem_train.measure.bodies.cracks import Crack
from sem_train.measure.bodies.single import Objects
from sem_train.measure.field import FieldMeasurement
from semforge.files import whole_file

# column, its unit ("length", "area" or what stands in the header as it is), the name in `Objects`
SIZES = (
    ("area", "area", "area"),
    ("ecd", "length", "ecd"),
    ("feret_max", "length", "feret_max"),
    ("feret_min", "length", "feret_min"),
    ("perimeter_crofton", "length", "perimeter"),
    ("aspect_feret_min_over_max", "", "aspect"),
    ("circularity_iso_9276_6", "", "circularity_iso"),
    ("circularity_imagej", "", "circularity_imagej"),
    ("solidity", "", "solidity"),
    ("compactness", "", "compactness"),
    ("weight_iso_13322_1", "", "weight"),
    ("nearest_neighbour", "length", "nearest"),
    ("distance_to_outer_interface", "length", "to_outer"),
    ("distance_to_inner_interface", "length", "to_inner"),
)
CRACKS = (
    ("length", "length", "length"),
    ("opening_mean", "length", "opening_mean"),
    ("opening_max", "length", "opening_max"),
    ("through", "", "through"),
    ("angle_to_normal", "deg", "orientation_deg"),
    ("place_along_layer", "length", "along"),
)
FIXED = ("image", "kind", "class", "host", "object", "x_px", "y_px", "cut_by_frame")


def object_table(field: FieldMeasurement, image: str = "") -> list[dict[str, Any]]:
    """One dict an object, keyed by column: lengths and areas in the field's unit, None where not measured.

    x and y are pixels of the image as given; the centres of its pixels are whole numbers.
    """
    rows: list[dict[str, Any]] = []
    for name, inclusion in field.inclusions.items():
        rows += _objects(image, "inclusion", name, inclusion.host, inclusion.objects, field.unit)
    for name, particles in field.particles.items():
        rows += _objects(image, "particle", name, "", particles.objects, field.unit)
    for name, cracks in field.cracks.items():
        rows += [_crack(image, name, cracks.host, i, c, field.unit) for i, c in enumerate(cracks.cracks, start=1)]
    return rows


def write_objects(path: Path, image: str, field: FieldMeasurement) -> None:
    """Write the objects of one field as CSV (UTF-8), units in the header, whole or not at all."""
    write_object_rows(path, object_table(field, image), field.unit)


def write_object_rows(path: Path, rows: Sequence[dict[str, Any]], unit: str) -> None:
    """Write rows of `object_table`, of one or more fields in one unit, as `write_objects` does.

    Raises ValueError if a row is in another unit.
    """
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns(unit), lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows({key: _written(value) for key, value in row.items()} for row in rows)


def columns(unit: str) -> list[str]:
    """The header: fixed columns, then quantities with their unit, e.g. ecd_um, area_um2, angle_to_normal_deg."""
    return [*FIXED, *dict.fromkeys(_column(name, kind, unit) for name, kind, _ in (*SIZES, *CRACKS))]


def _column(name: str, kind: str, unit: str) -> str:
    return "_".join(filter(None, (name, {"length": unit, "area": f"{unit}2"}.get(kind, kind))))


def _objects(image: str, kind: str, name: str, host: str, objects: Objects, unit: str) -> list[dict[str, Any]]:
    found = []
    for i in range(len(objects)):
        place = _fixed(image, kind, name, host, i + 1, objects.xy[i], bool(objects.cut[i]))
        found.append(place | {_column(c, u, unit): _number(getattr(objects, a)[i]) for c, u, a in SIZES})
    return found


def _crack(image: str, name: str, host: str, number: int, crack: Crack, unit: str) -> dict[str, Any]:
    values = {_column(c, u, unit): getattr(crack, a) for c, u, a in CRACKS}
    place = _fixed(image, "crack", name, host, number, crack.xy, crack.cut)
    return place | {_column("area", "area", unit): crack.area} | values


def _fixed(
    image: str, kind: str, name: str, host: str, number: int, xy: Sequence[float] | np.ndarray, cut: bool
) -> dict[str, Any]:
    return dict(zip(FIXED, (image, kind, name, host, number, float(xy[0]), float(xy[1]), cut), strict=True))


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _written(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
