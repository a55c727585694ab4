"""Arms of an experiment with classifiers: trained and tested cell by cell, compared specimen by specimen."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.console import Console

from sem_train.classification.evaluation import evaluate_classifier
from sem_train.classification.experiment import ClassifyCell, ClassifyExperiment, plan_classify_cells
from sem_train.classification.scoring import macro_f1
from sem_train.classification.training import fit_classifier
from sem_train.experiments.intervals import by_specimen, interval, p_over_trainings
from sem_train.experiments.permutation import sign_flip_p
from sem_train.provenance import commit, machine, versions
from semforge.errors import InputError
from semforge.files import write_text
from semforge.numbers import finite
from semforge.tables import plain_table


@dataclass(frozen=True)
class CellResult:
    """What a cell has found: a true and a named class a particle."""

    names: list[str]
    groups: list[str]
    labels: list[int]
    named: list[int]


@dataclass(frozen=True)
class ArmResult:
    """What is known of an arm, and of its difference to the reference."""

    arm: str
    trainings: int
    particles: int
    accuracy: float  # of all particles, mean over seeds
    accuracy_low: float  # 95 %, of the mean over specimens
    accuracy_high: float
    macro_f1: float  # mean over seeds
    difference: float  # of accuracy, mean over specimens; NaN of the reference
    difference_low: float
    difference_high: float
    p: float  # the larger of two: that specimens differ so by chance, and that trainings do


def run_comparison(experiment: ClassifyExperiment, console: Console) -> None:
    """Train and test all cells; what an earlier call finished is kept.

    Raises InputError if data or settings cannot be used, and KeyboardInterrupt with all finished steps kept.
    """
    cells = [cell for cell in plan_classify_cells(experiment) if not cell.result.exists()]
    for number, cell in enumerate(cells, start=1):
        console.print(f"{number}/{len(cells)} {cell.name}", highlight=False)
        for training in cell.trainings:
            fit_classifier(training)
        first = evaluate_classifier(cell.trainings[-1].out).results[0]
        named = first.probabilities.argmax(axis=1)
        result = CellResult(first.names.tolist(), first.groups.tolist(), first.labels.tolist(), named.tolist())
        write_text(cell.result, json.dumps(asdict(result)) + "\n")


def compared(experiment: ClassifyExperiment) -> list[ArmResult]:
    """All arms with a finished cell. Raises InputError if the reference has none."""
    cells = [cell for cell in plan_classify_cells(experiment) if cell.result.exists()]
    found = {cell.name: CellResult(**json.loads(cell.result.read_text(encoding="utf-8"))) for cell in cells}
    of_arm = {arm: [c for c in cells if c.arm == arm] for arm in experiment.arms}
    if not of_arm[experiment.reference]:
        raise InputError(f"{experiment.out}: no cell of {experiment.reference!r} is finished: there is nothing to "
                         "compare with")  # fmt: skip
    tables = {arm: _by_group(own, found) for arm, own in of_arm.items() if own}
    fold_of = {group: cell.fold for cell in of_arm[experiment.reference] for group in found[cell.name].groups}
    return [
        _arm(arm, of_arm[arm], found, table, None if arm == experiment.reference else tables[experiment.reference],
             fold_of)
        for arm, table in tables.items()
    ]  # fmt: skip


GroupTable = dict[int, dict[str, float]]  # accuracy by seed and group


def _by_group(cells: Sequence[ClassifyCell], found: dict[str, CellResult]) -> GroupTable:
    table: GroupTable = {}
    for cell in cells:
        result = found[cell.name]
        groups = np.array(result.groups)
        right = np.array(result.labels) == np.array(result.named)
        table.setdefault(cell.seed, {}).update({g: float(right[groups == g].mean()) for g in np.unique(groups)})
    return table


def _arm(
    arm: str, cells: list[ClassifyCell], found: dict[str, CellResult], own: GroupTable, reference: GroupTable | None,
    fold_of: dict[str, str | None],
) -> ArmResult:  # fmt: skip
    rows = [found[cell.name] for cell in cells]
    seeds = sorted(own)
    pooled = {
        seed: [np.concatenate([getattr(found[c.name], what) for c in cells if c.seed == seed])
               for what in ("labels", "named")]
        for seed in seeds
    }  # fmt: skip
    n_classes = 1 + max(max(row.labels + row.named) for row in rows)
    values, folds = _values(own, None, fold_of)
    low, high = interval(values, folds)
    difference = difference_low = difference_high = p = float("nan")
    if reference is not None:
        differences, folds = _values(own, reference, fold_of)
        if len(differences):
            each = by_specimen(differences)
            difference = float(each.mean())
            p = float(np.nanmax([sign_flip_p(each), p_over_trainings(differences)]))
            difference_low, difference_high = interval(differences, folds)
    return ArmResult(
        arm, len(cells), len({name for row in rows for name in zip(row.groups, row.names, strict=True)}),
        float(np.mean([(truth == named).mean() for truth, named in pooled.values()])), low, high,
        float(np.mean([macro_f1(truth, named, n_classes) for truth, named in pooled.values()])),
        difference, difference_low, difference_high, p,
    )  # fmt: skip


def _values(
    own: GroupTable, reference: GroupTable | None, fold_of: dict[str, str | None]
) -> tuple[np.ndarray, list[int]]:
    """Accuracy (S, T) of each group in each training, or its difference to the reference; and the fold of each."""
    seeds = [seed for seed in sorted(own) if reference is None or seed in reference]
    names = sorted({g for seed in seeds for g in own[seed] if reference is None or g in reference[seed]})
    folds = sorted({fold_of.get(g) for g in names}, key=str)
    columns = [(fold, seed) for fold in folds for seed in seeds]
    table = np.full((len(names), len(columns)), np.nan)
    for i, group in enumerate(names):
        for j, (fold, seed) in enumerate(columns):
            if fold_of.get(group) == fold and group in own[seed]:
                value = own[seed][group]
                table[i, j] = value if reference is None else value - reference[seed].get(group, np.nan)
    return table, [folds.index(fold) for fold, _ in columns]


def comparison_table(experiment: ClassifyExperiment, results: Sequence[ArmResult]) -> Any:
    """For the terminal."""
    table = plain_table(experiment.name, "arm", "trainings", "accuracy", "95 %", "macro-F1",
                        f"less {experiment.reference}", "95 %", "p")  # fmt: skip
    for r in results:
        reference = r.arm == experiment.reference
        table.add_row(
            r.arm, str(r.trainings), f"{r.accuracy:.3f}", f"{r.accuracy_low:.3f} to {r.accuracy_high:.3f}",
            f"{r.macro_f1:.3f}", "–" if reference else f"{r.difference:+.3f}",
            "–" if reference else f"{r.difference_low:+.3f} to {r.difference_high:+.3f}",
            "–" if reference else f"{r.p:.4f}",
        )  # fmt: skip
    missing = [cell.name for cell in plan_classify_cells(experiment) if not cell.result.exists()]
    if missing:
        table.caption = f"{len(missing)} cells are not finished, the first {missing[0]}"
    return table


def write_comparison(experiment: ClassifyExperiment, results: Sequence[ArmResult]) -> None:
    """Write `comparison.csv` and `comparison.json` into the experiment's folder."""
    rows = [asdict(r) for r in results]
    shown = lambda v: "" if isinstance(v, float) and np.isnan(v) else f"{v:.5g}" if isinstance(v, float) else str(v)
    lines = [",".join(rows[0]), *(",".join(shown(v) for v in row.values()) for row in rows)]
    write_text(experiment.out / "comparison.csv", "\n".join(lines) + "\n")
    about = {"experiment": experiment.model_dump(mode="json"), "arms": finite(rows), "versions": versions(),
             "machine": machine(), "commit": commit()}  # fmt: skip
    write_text(experiment.out / "comparison.json", json.dumps(about, indent=1, ensure_ascii=False) + "\n")
