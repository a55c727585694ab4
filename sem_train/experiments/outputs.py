"""All files that an experiment leaves for people and programs, from one analysis."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sem_train.classes import ClassMap
from sem_train.experiments import tables
from sem_train.experiments.analysis import Analysis
from sem_train.experiments.curves import learning_curves
from sem_train.experiments.page import render_page
from sem_train.experiments.pictures import Load, case_rows
from sem_train.experiments.results import ImageResult
from sem_train.provenance import commit, machine, versions
from semforge.files import whole_file, write_text


def write_outputs(
    out: Path, title: str, analysis: Analysis, results: Sequence[ImageResult], classes: ClassMap,
    about: dict[str, Any], load: Load,
) -> None:  # fmt: skip
    """Write `experiment.html`, `summary.md`, `curves.png`, `summary.csv`, `differences.csv`, `images.csv` and
    `results.json` into `out`, each whole or not at all.

    `load` gives image, true and predicted label map of a result; what it cannot read (InputError, OSError) is named in
    the page. `about` says how it was done; commit, machine and versions are added where it does not have them.
    """
    about = {"commit": commit() or "unknown", "machine": machine(), "versions": versions(), **about}
    curves = learning_curves(analysis) if analysis.estimates else None
    if curves is not None:
        with whole_file(out / "curves.png") as temporary:
            temporary.write_bytes(curves)
    write_text(out / "summary.csv", tables.summary_csv(analysis))
    write_text(out / "differences.csv", tables.differences_csv(analysis))
    write_text(out / "images.csv", tables.images_csv(analysis, results))
    write_text(out / "results.json", tables.results_json(title, analysis, results, about))
    write_text(out / "summary.md", tables.markdown(title, analysis, about))
    cases = list(case_rows(analysis, results, classes, load))
    write_text(out / "experiment.html", render_page(title, analysis, classes, about, curves, cases))
