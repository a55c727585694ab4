"""How often 95 % intervals hold the truth: python -m benchmarks.coverage masks | segmentation

masks         exact label maps of specimens whose truth is known by formula (benchmarks/layer_specimens.py): intervals
              of the specimen from one field and from five. Once with sampling alone, once with a pixel size that is
              wrong by 1 % (standard deviation) and stated so.
segmentation  RUN DATA...: the segmentation error of a run, calibrated on some of the images that it was not trained
              on, and intervals of the field of the others, beside what their geometry says.

The tables of docs/uncertainty.md are what they print; --out writes the same as CSV.
"""

import csv
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from scipy.stats import beta

from benchmarks.layer_specimens import CLASSES, SHAPE, Specimen
from sem_train.measure import FieldMeasurement, Section, measure_section, prepare
from sem_train.measure.tables.rows import Row, rows_of
from sem_train.measure.uncertainty import (
    CORRECTED,
    FieldRows,
    Observation,
    Sources,
    combine_fields,
    fit_segmentation_error,
    specimen_rows,
    uncertainties,
)
from sem_train.measure.uncertainty.units import length_power

Key = tuple[str, str, str]
SETTINGS = {
    f"{ratio} lengths, {'smooth' if smooth else 'rough'}, {'clustered' if members else 'single'} pores": Specimen(
        correlation=SHAPE[1] / ratio, smooth=smooth, members=members, germs=2.5e-4 if members else 7e-4
    )
    for ratio in (40, 20, 12)
    for smooth in (False, True)
    for members in (0.0, 3.0)
}
SCALE_PERCENT = 1.0
app = typer.Typer(help=__doc__, add_completion=False)


class Tally:
    """Which intervals held the truth, how far off and how wide they were, by quantity and kind of interval."""

    def __init__(self, repeated: float = 1.0) -> None:
        self.repeated = repeated  # how often each image was counted
        self.cases: dict[tuple[str, str], list[tuple[bool, float, float]]] = defaultdict(list)

    def add(self, quantity: str, interval: str, truth: float, value: float, low: float, high: float) -> None:
        self.cases[quantity, interval].append((low <= truth <= high, value - truth, (high - low) / 2))

    def take(self, other: "Tally") -> None:
        for key, cases in other.cases.items():
            self.cases[key] += cases

    def rows(self) -> Iterable[dict[str, str]]:
        for (quantity, interval), cases in self.cases.items():
            held, error, half = np.array(cases, dtype=float).T
            share, n = held.mean(), round(len(held) / self.repeated)
            k = share * n
            low = beta.ppf(0.025, k, n - k + 1) if k else 0.0
            high = beta.isf(0.025, k + 1, n - k) if k < n else 1.0
            yield {"quantity": quantity, "interval": interval, "intervals": str(n),
                   "held_percent": f"{100 * share:.1f}",
                   "held_low_95": f"{100 * low:.1f}", "held_high_95": f"{100 * high:.1f}",
                   "mean_error": f"{error.mean():+.3g}", "sd_error": f"{error.std(ddof=1):.3g}",
                   "median_half_width": f"{np.median(half):.3g}"}  # fmt: skip

    def show(self, out: Path | None) -> None:
        rows = list(self.rows())
        for row in rows:
            print("{:44} {:36} {:>5} {:>6} ({:>5} to {:>5}) {:>9} {:>8} {:>8}".format(*row.values()))
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            with out.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)


class Pooled:
    """Quantities whose truth no formula gives: it is taken to be the mean over all fields of a setting."""

    QUANTITIES = ("number_density", "ecd_mean", "d50_number")

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], list[Row]] = defaultdict(list)

    def add(self, setting: str, row: Row) -> None:
        if row.kind == "inclusion" and row.quantity in self.QUANTITIES:
            self.rows[setting, row.quantity].append(row)

    def take(self, other: "Pooled") -> None:
        for key, rows in other.rows.items():
            self.rows[key] += rows

    def count(self, tally: Tally) -> None:
        for rows in self.rows.values():
            truth = {(r.kind, r.name, r.quantity): float(np.mean([s.value for s in rows])) for r in rows[:1]}
            for row in rows:
                _count(tally, row, truth, "one field, sampling, truth pooled")


@app.command()
def masks(
    specimens: int = 200,
    fields: int = 5,
    seed: int = 0,
    workers: int = 1,
    out: Annotated[Path | None, typer.Option()] = None,
) -> None:
    """Exact label maps of specimens of known truth."""
    tally, pooled = Tally(), Pooled()
    with ProcessPoolExecutor(workers) as pool:
        results = pool.map(measure_specimen, range(specimens), [fields] * specimens, [seed] * specimens)
        for number, (own, rows) in enumerate(results):
            tally.take(own)
            pooled.take(rows)
            if number % 20 == 19:
                print(f"{number + 1} of {specimens} specimens", file=sys.stderr, flush=True)
    pooled.count(tally)
    tally.show(out)


def measure_specimen(number: int, fields: int, seed: int) -> tuple[Tally, Pooled]:
    """Measure fields of one specimen, and count which intervals hold its truth."""
    name, specimen = list(SETTINGS.items())[number % len(SETTINGS)]
    rng, tally, pooled = np.random.default_rng([seed, number]), Tally(), Pooled()
    truth = specimen.truth
    scale = 1 + SCALE_PERCENT / 100 * rng.normal()
    exact = Sources(calibration_percent=0.0, edge_px=0.0, tilt_uncertainty_deg=0.0)
    scaled = replace(exact, calibration_percent=SCALE_PERCENT)
    tables = []
    for i in range(fields):
        section = prepare(specimen.field(rng), CLASSES)
        field = measure_section(section, 1.0)
        tables.append(FieldRows(str(i), rows_of(str(i), field), 1.0))
        for row in rows_of(str(i), field, uncertainties(section, field, exact)):
            _count(tally, row, truth, "one field, sampling")
            pooled.add(name, row)
            if row.quantity in ("thickness_mean", "area_percent"):
                _count(tally, row, truth, "one field, sampling", f": {name}")
        if i == 0:
            for row in rows_of(str(i), field, uncertainties(section, field, scaled)):
                _count(tally, row, truth, "one field, sampling and scale", scale=scale)
    for kind, sources in (("sampling", exact), ("sampling and scale", scaled)):
        for row in specimen_rows("specimen", combine_fields("specimen", tables, sources)):
            _count(tally, row, truth, f"{fields} fields, {kind}", scale=scale if sources is scaled else 1.0)
    return tally, pooled


def _count(tally: Tally, row: Row, truth: dict[Key, float], interval: str, more: str = "", scale: float = 1.0) -> None:
    """Count the interval of a row; a pixel size that is too large by `scale` makes what is true seem larger, too."""
    true = truth.get((row.kind, row.name, row.quantity))
    if true is not None and row.value is not None and row.low_95 is not None and row.high_95 is not None:
        true *= scale ** length_power(row.unit)
        tally.add(f"{row.name} {row.quantity}{more}", interval, true, float(row.value), row.low_95, row.high_95)


@app.command()
def segmentation(
    run: Path,
    data: list[Path],
    calibrated_with: int = 40,
    draws: int = 50,
    seed: int = 0,
    out: Annotated[Path | None, typer.Option()] = None,
) -> None:
    """Predicted label maps of rendered images of known geometry that the run was not trained on."""
    from sem_train.calibration import observe
    from sem_train.cases import load_cases
    from sem_train.inference import load_run

    model = load_run(run)
    seen = []
    for case in [c for path in data for c in load_cases(path, model.classes).cases]:
        if model.has_seen_sample(case.identity) or not case.pixel_size_um:
            continue
        image, true = case.read()
        section = prepare(model.predict(image).labels, model.classes)
        field = measure_section(section, case.pixel_size_um)
        seen.append((section, field, observe(case.name, case.truth or {}, true, field, model.classes,
                                             case.pixel_size_um)))  # fmt: skip
    draw_and_count(seen, calibrated_with, draws, seed).show(out)


def draw_and_count(
    seen: Sequence[tuple[Section, FieldMeasurement, Observation]], calibrated_with: int, draws: int, seed: int
) -> Tally:
    """Calibrate with images drawn at random, and count which intervals of the others hold what is true of them.

    Again and again, since each image is in some draws calibrated with and tested in others: the share that held is
    that of the way to do it, not of one lucky calibration. The images are the same in all draws, so the interval of
    that share is that of as many intervals as there are images.
    """
    rng = np.random.default_rng(seed)
    tally = Tally(repeated=draws * (1 - calibrated_with / len(seen)))
    for _ in range(draws):
        order = rng.permutation(len(seen))
        error = fit_segmentation_error([seen[i][2] for i in order[:calibrated_with]], "", {})
        sources = Sources(calibration_percent=0.0, tilt_uncertainty_deg=0.0, segmentation=error, target="field")
        for section, field, observation in (seen[i] for i in order[calibrated_with:]):
            for (kind, name, quantity), e in uncertainties(section, field, sources).items():
                plain = quantity.removesuffix(CORRECTED)
                true = observation.true.get((kind, name, plain))
                if true is not None and "segmentation" in e.parts:
                    how = "as measured" if plain == quantity else "bias taken off"
                    tally.add(f"{name} {plain}", f"field, {how}", true.value, e.value, e.low, e.high)
    return tally


if __name__ == "__main__":
    app()
