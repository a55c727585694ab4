"""`sem-train map evaluate`: scores of one run and of the classical methods, as tables, a figure and a page."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sem_train.provenance import commit, machine
from sem_train.spectra import evaluation
from sem_train.spectra.contents import Card, ShownTable
from sem_train.spectra.evaluation import Bench, Row
from sem_train.spectra.figures import as_svg
from sem_train.spectra.methods import METHODS
from sem_train.spectra.model import load_model
from sem_train.spectra.page import write_page
from sem_train.spectra.points import name_files
from sem_train.spectra.references import INDEX, learnt_points, may_be_spectrum, point_files, scenes_learnt_of
from sem_train.spectra.scenes import open_scenes
from sem_train.spectra.score_figures import score_curves
from sem_train.spectra.tables import scores_table, write_confusion, write_points, write_recall, write_rows
from semforge.files import write_text

TABLE, RECALL, CONFUSION, NAMES = "scores.csv", "recall.csv", "confusion.csv", "names.csv"
CURVES, PAGE = "scores.svg", "scores.html"


def evaluate(
    run: Path, out: Path, data: Sequence[Path], methods: Sequence[str] = (), counts: Sequence[float] = (),
    binnings: Sequence[int] = (1,), samples: int | None = None, library_methods: bool = False,
    only: Sequence[str] = (),
    told: Callable[[str], None] = lambda line: None,
) -> list[Row]:  # fmt: skip
    """Score a run's network and other methods on held-out draws, or on data; write what was found into `out`.

    What the run has learnt of the data is left out; where that leaves nothing, or `samples` asks for it, it is scored
    with a caution on the page. Raises InputError if the run or the data cannot be used, or a method is not known.
    """
    model = load_model(run).only(only)
    bench = Bench(model, methods or METHODS)
    if library_methods:
        from sem_train.spectra.library_methods import library_methods as made

        bench.methods += made(model, bench.references[0])
    rows: list[Row] = []

    def tell(row: Row) -> None:
        told(f"{row.data}, {row.counts:.0f} counts, binning {row.binning}: {row.method} {row.scores.accuracy:.3f}")

    cautions = [model.score_note] if model.score_note else []
    if not data:
        rows += evaluation.on_draws(bench, counts or evaluation.COUNTS, tell)
    for path in data:
        if is_points(path):
            files = {file.resolve() for file, _ in point_files(path)}
            learnt = files & learnt_points(model.config.data)
            leave = learnt if learnt < files else frozenset()
            cautions += _of_learnt(path, len(learnt), len(files), bool(leave), "spectra")
            found, *_ = evaluation.on_points(bench, path, leave)
            for row in found:
                tell(row)
            rows += found
            shown_files = [file for file, _ in point_files(path) if file.resolve() not in leave]
            write_points(out / NAMES, name_files(model, shown_files))
        else:
            scenes = open_scenes(path)
            known = scenes_learnt_of(path, model.config.data, len(scenes))
            first = max(len(scenes) - samples, 0) if samples else known if known < len(scenes) else 0
            cautions += _of_learnt(path, known, len(scenes), first >= known, "spectrum images")
            for scene in scenes[first:]:
                rows += evaluation.on_scene(bench, scene, counts, binnings, tell)
    for line in cautions:
        told(line)
    rows += together(rows)
    write_rows(out / TABLE, rows)
    write_recall(out / RECALL, rows, model.classes)
    write_confusion(out / CONFUSION, rows, model.classes)
    shown = [row for row in rows if row.data == ALL] or rows
    curves = as_svg(score_curves(shown), "scores")
    write_text(out / CURVES, curves)
    _write_page(out / PAGE, model.config.name, model.classes, shown, run, cautions)
    return rows


def _of_learnt(path: Path, learnt: int, all_: int, left_out: bool, what: str) -> list[str]:
    """What to say where the run has learnt some of the data."""
    if not learnt:
        return []
    if left_out:
        return [f"{path}: {learnt} of {all_} {what} were learnt and are left out"]
    return [f"{path}: {learnt} of {all_} {what} were learnt and are scored: scores are too good"]


ALL = "all"


def together(rows: Sequence[Row]) -> list[Row]:
    """Scores over several scenes, each pixel alike; empty where there is one."""
    if len({row.data for row in rows}) < 2:
        return []
    found = []
    own = {data: max(r.counts for r in rows if r.data == data) for data in {r.data for r in rows}}
    # scenes differ a little in their own counts: those are one condition
    key = lambda r: (r.method, r.binning, "own" if r.counts == own[r.data] else r.counts)
    for condition in dict.fromkeys(key(row) for row in rows):
        found.append(evaluation.pooled(ALL, [row for row in rows if key(row) == condition]))
    return found


def is_points(path: Path) -> bool:
    """Whether a path holds point spectra rather than spectrum images."""
    path = Path(path)
    if path.suffix == ".csv" or (path / INDEX).is_file():
        return True
    return path.is_dir() and any(may_be_spectrum(p) for p in path.glob("*/*"))


def _write_page(
    path: Path, name: str, classes: Sequence[str], rows: Sequence[Row], run: Path, cautions: Sequence[str]
) -> None:
    most = max(row.counts for row in rows)
    best = [row for row in rows if row.counts == most and row.binning == 1]
    confusions = [
        ShownTable(
            f"Confusion: {row.method}, {row.counts:.0f} counts", ("true", *classes, "unclassified", "recall"),
            tuple((c, *(int(n) for n in row.scores.confusion[k]), _rounded(row.scores.recall[k]))
                  for k, c in enumerate(classes)),
        )
        for row in best
    ]  # fmt: skip
    keys = [(f"{row.scores.accuracy:.3f}", f"{row.method}, {row.counts:.0f} counts") for row in best]
    write_page(
        path, f"Phases named by {name}", [Card("Confusion", tables=tuple(confusions))], keys=keys,
        about="The network and classical methods against the truth", tables=[scores_table("Scores", rows)],
        warnings=cautions,
        provenance={"run": str(run), "commit": commit() or "unknown", "machine": machine()},
        command=f"sem-train map evaluate {run}",
    )  # fmt: skip


def _rounded(value: float) -> float | None:
    return round(float(value), 3) if np.isfinite(value) else None
