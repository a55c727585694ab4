"""Measurements in wide form, one image a row, as spreadsheets like it."""

import csv
from collections.abc import Sequence
from pathlib import Path

from sem_train.measure.tables.rows import Row
from semforge.files import whole_file

NUMBERS = {"value": "", "standard_uncertainty": "standard_uncertainty", "low_95": "low_95", "high_95": "high_95"}


def wide_rows(rows: Sequence[Row]) -> tuple[list[str], list[dict[str, str]]]:
    """Header and one dict an image, in the order of the images; columns say their unit.

    `Fe2Al5_thickness_mean_um` is the value of a row, `Fe2Al5_thickness_mean_low_95_um` the lower end of its
    interval. What an image does not have is absent from its dict.
    """
    images: dict[str, dict[str, str]] = {}
    columns: dict[str, None] = {}
    for row in rows:
        cells = images.setdefault(row.image, {"image": row.image})
        for attribute, suffix in NUMBERS.items():
            number = getattr(row, attribute)
            if number is not None or attribute == "value":
                name = column(row, suffix)
                columns[name] = None
                cells[name] = "" if number is None else f"{number:.6g}"
    return ["image", *columns], list(images.values())


def column(row: Row, suffix: str = "") -> str:
    """The name of the column of a number: class, quantity, what of it, unit."""
    quantity = f"{row.kind}_{row.quantity}" if row.kind == "line" else row.quantity
    unit = row.unit.replace("1/", "per_").replace("/", "_per_").replace("^", "").replace("%", "percent")
    parts = [row.name, quantity, suffix, unit]
    if unit and quantity.endswith(f"_{unit}") and not suffix:
        parts.pop()
    return "_".join(part for part in parts if part)


def write_summary(path: Path, rows: Sequence[Row]) -> None:
    """Write `wide_rows` as CSV (UTF-8), whole or not at all; what was not measured is an empty cell."""
    header, cells = wide_rows(rows)
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(cells)
