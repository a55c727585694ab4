"""From scores of single images to an answer: pooled scores of each arm, and differences with their uncertainty."""

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from sem_train.config import ExperimentConfig
from sem_train.metrics import dice, iou
from semforge.files import write_text

RESAMPLES = 5000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Thickness:
    """Mean thickness of a layer in pixels, None where it could not be measured."""

    true: float | None
    predicted: float | None

    @property
    def error(self) -> float:
        """Predicted minus true; NaN where one of them is missing."""
        return math.nan if self.true is None or self.predicted is None else self.predicted - self.true


@dataclass(frozen=True)
class ImageResult:
    """One test image under one trained model."""

    arm: str
    fold: int
    seed: int
    image: str
    specimen: str
    counts: list[list[int]]  # pixels by true (row) and predicted (column) class
    thickness: dict[str, Thickness]  # of each layer
    seconds: float  # that the model was trained

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> "ImageResult":
        """Inverse of `dataclasses.asdict`."""
        return cls(**{**row, "thickness": {name: Thickness(**t) for name, t in row["thickness"].items()}})


@dataclass(frozen=True)
class Estimate:
    """A quantity of an arm over all its test images, and how it differs from the baseline arm's."""

    arm: str
    quantity: str  # iou_<class>, dice_<class>, thickness_error_px_<layer> (mean absolute), unmeasured_<layer>, seconds
    value: float  # over all test images: pixels pooled, thickness errors averaged
    sd: float  # between trials (folds and seeds)
    difference: float  # mean over specimens of this arm minus the baseline; NaN for the baseline
    low: float  # bounds of the 95 % bootstrap interval of the difference, specimens resampled
    high: float
    specimens: int  # that the difference rests on


Quantity = Callable[[Sequence[ImageResult]], float]


def quantities(results: Sequence[ImageResult], names: Sequence[str]) -> dict[str, Quantity]:
    """What is compared: each maps results of one arm to one number."""
    found: dict[str, Quantity] = {}
    for i, name in enumerate(names):
        found[f"iou_{name}"] = lambda rows, i=i: float(iou(pooled(rows))[i])
        found[f"dice_{name}"] = lambda rows, i=i: float(dice(pooled(rows))[i])
    for layer in results[0].thickness:
        found[f"thickness_error_px_{layer}"] = lambda rows, layer=layer: _mean(
            abs(r.thickness[layer].error) for r in rows
        )
        found[f"unmeasured_{layer}"] = lambda rows, layer=layer: float(
            sum(math.isnan(r.thickness[layer].error) for r in rows)
        )
    return found


def pooled(results: Sequence[ImageResult]) -> np.ndarray:
    """Confusion counts (C, C) of all pixels of the images."""
    return np.sum([r.counts for r in results], axis=0)


def compare(results: Sequence[ImageResult], names: Sequence[str], baseline: str) -> list[Estimate]:
    """Every quantity of every arm, in the order in which arms come in `results`.

    A difference is taken within each specimen, over its images and seeds, and averaged over specimens, since images of
    one specimen are no independent witnesses. Specimens where a side has no value are left out of it.
    """
    arms = list(dict.fromkeys(r.arm for r in results))
    estimates = []
    for arm in arms:
        mine = [r for r in results if r.arm == arm]
        for name, quantity in quantities(results, names).items():
            by_trial = [quantity(rows) for rows in _grouped(mine, lambda r: (r.fold, r.seed)).values()]
            differences = _paired(quantity, mine, [r for r in results if r.arm == baseline]) if arm != baseline else []
            low, high = bootstrap_interval(differences)
            estimates.append(Estimate(arm, name, quantity(mine), _sd(by_trial), _mean(differences), low, high,
                                      len(differences)))  # fmt: skip
        seconds = [rows[0].seconds for rows in _grouped(mine, lambda r: (r.fold, r.seed)).values()]
        estimates.append(Estimate(arm, "seconds", _mean(seconds), _sd(seconds), math.nan, math.nan, math.nan, 0))
    return estimates


def bootstrap_interval(differences: Sequence[float]) -> tuple[float, float]:
    """95 % percentile interval of the mean, resampling the given values; NaN for fewer than two."""
    if len(differences) < 2:
        return math.nan, math.nan
    values = np.asarray(differences)
    rng = np.random.default_rng(np.random.SeedSequence(0))
    means = values[rng.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def table(title: str, estimates: Sequence[Estimate]) -> Table:
    """For the terminal: a row a quantity, a column an arm."""
    shown = Table(title=title, caption="± sd of trials; Δ mean difference over specimens (95 % bootstrap interval)")
    arms = list(dict.fromkeys(e.arm for e in estimates))
    for column in ("", *arms):
        shown.add_column(column)
    for quantity in dict.fromkeys(e.quantity for e in estimates):
        cells = {e.arm: _cell(e) for e in estimates if e.quantity == quantity}
        shown.add_row(quantity.replace("_", " "), *(cells[arm] for arm in arms))
    return shown


def markdown(config: ExperimentConfig, estimates: Sequence[Estimate], provenance: dict[str, Any]) -> str:
    """The same as a page of its own, with what it rests on."""
    head = ["arm", "quantity", "value", "sd of trials", f"difference from {config.baseline}", "95 % interval"]
    lines = [f"# {config.name}", ""]
    lines += [f"- {arm}: {share:.0%} of each batch real" for arm, share in config.arms.items()]
    training = config.plan.training
    lines += [
        f"- every arm: {training.steps} steps of {training.batch_size} crops, folds {list(config.folds.chosen)} of "
        f"{config.folds.count} by specimen, seeds {list(config.seeds)}",
        f"- commit {provenance['commit'] or 'unknown'}, {provenance['machine']}",
        "- " + ", ".join(f"{name} {version}" for name, version in provenance["versions"].items()),
        "", "Scores pool the pixels of all test images, none of a specimen trained on. A difference is the mean over "
        "specimens; its interval is a bootstrap over specimens.", "",
        f"| {' | '.join(head)} |", "|---|---|--:|--:|--:|--:|",
    ]  # fmt: skip
    lines += [f"| {' | '.join(row)} |" for row in _rows(estimates)]
    return "\n".join(lines) + "\n"


def write_summary(path: Path, estimates: Sequence[Estimate]) -> None:
    """All estimates as CSV."""
    _write_csv(path, [vars(estimate) for estimate in estimates])


def write_images(path: Path, results: Sequence[ImageResult], names: Sequence[str]) -> None:
    """One row a test image and trial, as CSV."""
    rows = []
    for r in results:
        about = {"arm": r.arm, "fold": r.fold, "seed": r.seed, "image": r.image, "specimen": r.specimen}
        scores = {name: quantity([r]) for name, quantity in quantities(results, names).items()}
        thickness = {f"{kind}_px_{layer}": getattr(t, kind) for layer, t in r.thickness.items()
                     for kind in ("true", "predicted")}  # fmt: skip
        rows.append({**about, **scores, **thickness, "seconds": r.seconds})
    _write_csv(path, rows)


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    missing = lambda x: x is None or (isinstance(x, float) and math.isnan(x))
    writer.writerows({key: "" if missing(x) else x for key, x in row.items()} for row in rows)
    write_text(path, text.getvalue())


def _cell(e: Estimate) -> str:
    value = _number(e.value) + ("" if math.isnan(e.sd) else f" ± {_number(e.sd)}")
    if math.isnan(e.difference):
        return value
    interval = "" if math.isnan(e.low) else f"\n({_number(e.low, '+')} to {_number(e.high, '+')})"
    return f"{value}\nΔ {_number(e.difference, '+')}{interval}"


def _number(value: float, sign: str = "") -> str:
    return "–" if math.isnan(value) else f"{value:{sign}.3f}" if abs(value) < 10 else f"{value:{sign}.1f}"


def _rows(estimates: Sequence[Estimate]) -> list[list[str]]:
    return [
        [e.arm, e.quantity, _number(e.value), _number(e.sd), _number(e.difference, "+"),
         "–" if math.isnan(e.low) else f"{_number(e.low, '+')} to {_number(e.high, '+')}"]
        for e in estimates
    ]  # fmt: skip


def _paired(quantity: Quantity, mine: list[ImageResult], others: list[ImageResult]) -> list[float]:
    mine_by, others_by = (_grouped(rows, lambda r: r.specimen) for rows in (mine, others))
    differences = [quantity(mine_by[s]) - quantity(others_by[s]) for s in mine_by if s in others_by]
    return [d for d in differences if not math.isnan(d)]


def _grouped(results: list[ImageResult], key: Callable[[ImageResult], Any]) -> dict[Any, list[ImageResult]]:
    groups: dict[Any, list[ImageResult]] = {}
    for result in results:
        groups.setdefault(key(result), []).append(result)
    return groups


def _mean(values: Any) -> float:
    known = [x for x in values if not math.isnan(x)]
    return sum(known) / len(known) if known else math.nan


def _sd(values: Sequence[float]) -> float:
    known = [x for x in values if not math.isnan(x)]
    return float(np.std(known, ddof=1)) if len(known) > 1 else math.nan
