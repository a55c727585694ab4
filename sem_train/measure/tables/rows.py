"""Measurements in long form, one quantity a row, as analysts load it: `pandas.read_csv(...).pivot(...)`."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from sem_train.measure.bodies.line import InclusionLine
from sem_train.measure.field import FieldMeasurement
from sem_train.measure.tables.layer_quantities import of_layer
from sem_train.measure.tables.quantities import Quantity, of_crack, of_inclusion, of_particles
from semforge.errors import InputError
from semforge.files import whole_file

if TYPE_CHECKING:
    from sem_train.measure.uncertainty.estimate import Estimate

NUMBERS = ("value", "standard_uncertainty", "low_95", "high_95")


@dataclass(frozen=True)
class Row:
    """One number of one image."""

    image: str
    kind: str  # layer, inclusion, line, crack or particle
    name: str  # the class
    host: str  # the layer it lies in; empty for layers
    quantity: str
    value: float | int | None  # None where it could not be measured; truths are 1 and 0
    unit: str  # um, um^2, px, px^2, deg, %, 1/um^2 ...; empty for counts and truths
    note: str
    standard_uncertainty: float | None = None  # u, in the same unit; None where none is stated
    low_95: float | None = None  # 95 % interval of the value
    high_95: float | None = None
    method: str = ""  # definition or standard, e.g. "ISO 1463", "ASTM E2109"


def rows_of(
    image: str, field: FieldMeasurement, estimates: "Mapping[tuple[str, str, str], Estimate] | None" = None
) -> list[Row]:
    """All numbers of one field, with the uncertainties that `uncertainties` gave, by kind, name and quantity.

    A quantity whose bias is known has a second row with the bias taken off, `_corrected`.
    """
    unit = field.unit
    found = []
    for name, layer in field.layers.items():
        found += [_row(image, "layer", name, "", q, note) for q, note in of_layer(layer, unit)]
    for name, inclusion in field.inclusions.items():
        note = "" if inclusion.area_percent is not None else f"no {inclusion.host} in the map"
        found += [_row(image, "inclusion", name, inclusion.host, q, note) for q in of_inclusion(inclusion, unit)]
    for name, line in field.lines.items():
        found += [Row(image, "line", name, line.host, *q, "") for q in _line(line, unit)]
    for name, crack in field.cracks.items():
        found += [_row(image, "crack", name, crack.host, q, "") for q in of_crack(crack, unit)]
    for name, particles in field.particles.items():
        found += [_row(image, "particle", name, "", q, particles.note) for q in of_particles(particles, unit)]
    return found if estimates is None else list(_with_estimates(found, estimates))


def _with_estimates(rows: list[Row], estimates: "Mapping[tuple[str, str, str], Estimate]") -> Iterator[Row]:
    for row in rows:
        for quantity in (row.quantity, f"{row.quantity}_corrected"):
            e = estimates.get((row.kind, row.name, quantity))
            if e is not None:
                note = "; ".join(n for n in (row.note, e.note) if n)
                yield replace(row, quantity=quantity, value=e.value, note=note,
                              standard_uncertainty=e.standard, low_95=e.low, high_95=e.high)  # fmt: skip
            elif quantity == row.quantity:
                yield row


def _row(image: str, kind: str, name: str, host: str, q: Quantity, note: str) -> Row:
    return Row(image, kind, name, host, q.name, q.value, q.unit, note, method=q.method)


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as CSV (UTF-8), whole or not at all; a value that could not be measured is an empty cell."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Row)], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            numbers = {k: "" if v is None else f"{v:.6g}" for k, v in asdict(row).items() if k in NUMBERS}
            writer.writerow(asdict(row) | numbers)


def refuse_bad_target(path: Path, suffix: str) -> None:
    """Raises InputError if a file of that suffix cannot be written at `path`; asked before the work is done."""
    if path.is_dir() or path.suffix.lower() != suffix:
        raise InputError(f"{path}: expected the name of a {suffix} file to write")
    parent = next(p for p in path.absolute().parents if p.exists())
    if not parent.is_dir():
        raise InputError(f"{path}: {parent} is a file, expected a folder")


def terminal_tables(results: dict[str, FieldMeasurement]) -> Group:
    """What a reader wants first: thickness of each layer, area percent of each inclusion, the pore line."""
    return Group(*(_terminal_table(image, field) for image, field in results.items()))


def _terminal_table(image: str, field: FieldMeasurement) -> Table:
    unit = {"um": "µm", "px": "px"}[field.unit]
    table = Table(
        title=f"{image}, lengths in {unit}",
        title_justify="left",
        title_style="bold",
        caption_justify="left",
        box=SIMPLE_HEAD,
    )
    table.add_column("class", no_wrap=True)
    for heading in ("thickness", "sd", "coverage", "% of host", "count", "mean ECD"):
        table.add_column(heading, justify="right", no_wrap=True)
    notes = []
    for *cells, note in _summary(field, unit):
        table.add_row(*cells)
        notes += [f"{cells[0]}: {note}"] if note else []
    table.caption = "\n".join(notes)
    return table


def _summary(field: FieldMeasurement, unit: str) -> Iterator[tuple[str, ...]]:
    for name, layer in field.layers.items():
        yield name, _shown(layer.mean), _shown(layer.sd), f"{layer.coverage:.0%}", "", "", "", layer.note
    for name, inclusion in field.inclusions.items():
        line = field.lines[name]
        note = f"line {line.depth:.1f} {unit} deep" if line.present and line.depth is not None else ""
        shares = _shown(inclusion.area_percent), str(inclusion.count), _shown(inclusion.ecd_mean)
        yield name, "", "", "", *shares, note
    for name, crack in field.cracks.items():
        note = f"{crack.total_length:.1f} {unit} long in all" if crack.count else ""
        yield name, "", "", "", "", str(crack.count), "", note
    for name, particles in field.particles.items():
        mean = particles.sizes.mean if particles.sizes else None
        yield name, "", "", "", "", str(particles.count), _shown(mean), particles.note


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _line(line: InclusionLine, unit: str) -> list[tuple[str, float | int | None, str]]:
    return [
        ("present", int(line.present), ""),
        ("score", line.score, "sd"),
        ("depth", line.depth, unit),
        ("depth_fraction", line.depth_fraction, ""),
        ("linear_coverage", None if line.linear_coverage is None else 100 * line.linear_coverage, "%"),
    ]
