"""Whether measuring is biased: `python -m benchmarks.measuring DATA --classes TRAIN.yaml [--count 200]`.

Measures the exact label maps of a rendered data set and compares with the truth of its specimens, which is worked out
from their geometry. Asked for: the mean error of a layer's mean thickness below 0.3 px, that of an area fraction below
0.2 percentage points. Prints them with the number of specimens and the spread; ends with 1 if one is larger.
The parts that a pore line splits a layer into stand beside without a limit: their truth is the middle about which the
line's pores scatter. Take a recipe whose layers end at their interfaces, as the slurry coatings: where pores of one
layer reach into the next, as at the oxide of barrier coatings, a label map shows it thinner than its interfaces are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from sem_train.agreement import Comparison, agreements
from sem_train.cases import Case, load_cases
from sem_train.classes import ClassMap
from sem_train.measure import measure_label_map
from sem_train.measure.files import ClassFile
from semforge import cli
from semforge.settings import load_settings

WANTED = {"px": 0.3, "%": 0.2}


@dataclass(frozen=True)
class Bias:
    """Measured minus true of one quantity over many specimens."""

    quantity: str
    unit: str  # px, or % for percentage points
    specimens: int
    mean: float
    sd: float  # of single specimens
    median: float  # of the absolute errors
    wanted: float | None  # the mean is to be smaller; None where nothing is asked for

    @property
    def good(self) -> bool:
        """Whether it is as small as asked for."""
        return self.wanted is None or abs(self.mean) < self.wanted


def biases(cases: Sequence[Case], classes: ClassMap) -> list[Bias]:
    """Measure the true label maps of synthetic cases, one image of each specimen, and compare."""
    comparisons, pixel = [], {}
    for case in cases:
        if case.truth is None or case.pixel_size_um is None:
            continue
        pixel[case.name] = case.pixel_size_um
        _, labels = case.read()
        comparisons.append(Comparison(case.name, case.truth, measure_label_map(labels, classes, case.pixel_size_um)))
    found = []
    for a in agreements(comparisons, classes):
        if not a.pairs:
            continue
        scale = np.array([pixel[p.case] for p in a.pairs]) if a.quantity == "thickness" else 1.0
        unit, what = ("px", "thickness") if a.quantity == "thickness" else ("%", f"area percent of {a.host}")
        errors = a.errors / scale
        spread = float(errors.std(ddof=1)) if len(errors) > 1 else 0.0
        typical = float(np.median(np.abs(errors)))
        wanted = None if a.name.endswith(" part") else WANTED[unit]
        found.append(Bias(f"{a.name}: {what}", unit, len(errors), float(errors.mean()), spread, typical, wanted))
    return found


def main(
    data: Annotated[Path, typer.Argument(help="Rendered data set of coatings.")],
    classes: Annotated[Path, typer.Option(help="YAML file with its class map.")],
    count: Annotated[int, typer.Option(min=1, help="Specimens, the first of the data set.")] = 200,
) -> None:
    """Compare what is measured on exact label maps with the truth."""
    known = load_settings(classes, ClassFile)
    cases = [c for c in load_cases(data, known).cases if not c.name.partition(", image ")[2].strip("0")]
    found = biases(cases[:count], known)
    table = Table("quantity", "specimens", "bias", "asked", "sd", "median |error|", box=SIMPLE_HEAD)
    for b in found:
        unit = "px" if b.unit == "px" else "points"
        asked = "" if b.wanted is None else f"< {b.wanted:g} {unit}"
        figures = f"{b.mean:+.3f} {unit}", asked, f"{b.sd:.3f}", f"{b.median:.3f}"
        table.add_row(b.quantity, str(b.specimens), *figures, style="" if b.good else "red")
    cli.console.print(table)
    if not all(b.good for b in found):
        raise typer.Exit(1)


if __name__ == "__main__":
    app = cli.application("Whether measuring is biased.")
    app.command()(main)
    cli.run(app, "benchmarks.measuring")
