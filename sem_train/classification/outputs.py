"""What an evaluation of a classifier leaves on disk: tables for machines and for people, and a picture."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from sem_train.classification.calibration import reliability
from sem_train.classification.evaluation import ClassifierEvaluation, Result
from sem_train.classification.shares import REJECTED
from sem_train.provenance import commit, machine, versions
from semforge.files import whole_file, write_text
from semforge.numbers import finite
from semforge.tables import plain_table


def write_evaluation(folder: Path, evaluation: ClassifierEvaluation) -> None:
    """Write `particles.csv`, `confusion.csv`, `scores.csv`, `scores.json` and `evaluation.png` into `folder`."""
    write_text(folder / "particles.csv", _particles(evaluation))
    write_text(folder / "confusion.csv", _confusion(evaluation))
    write_text(folder / "scores.csv", _scores(evaluation))
    write_text(folder / "scores.json", as_json(evaluation) + "\n")
    _picture(folder / "evaluation.png", evaluation)


def as_json(evaluation: ClassifierEvaluation) -> str:
    """All scores, for machines. What could not be worked out is null."""
    calibration = evaluation.classifier.calibration
    about = {
        "run": str(evaluation.run), "data": evaluation.data, "left_out_as_seen": evaluation.left_out,
        "classes": list(evaluation.classes), "network": evaluation.classifier.plan.model.name,
        "reject": calibration.reject, "false_rejection": calibration.false_rejection,
        "calibration": {
            name: {k: getattr(m, k) for k in ("temperature", "threshold", "particles", "ece_before", "ece_after")}
            for name, m in calibration.modes.items()
        },
        "results": [_result(evaluation, r) for r in evaluation.results],
        "versions": versions(), "machine": machine(), "commit": commit(),
    }  # fmt: skip
    return json.dumps(finite(about), indent=1, ensure_ascii=False)


def summary(evaluation: ClassifierEvaluation) -> Any:
    """A table for the terminal."""
    first = evaluation.results[0]
    about = f"{evaluation.run} on {evaluation.data}"
    table = plain_table(about, "seen", "counts", "particles", "accuracy", "95 %", "macro-F1", "ECE", "rejected")
    for r in evaluation.results:
        (low, high), rejected = r.accuracy_interval, r.rejected_share(unknown=False)
        level = "as they are" if r.at_most_counts is None else f"≤ {r.at_most_counts}"
        table.add_row(r.view, level, str(int(r.of_a_class.sum())), f"{r.accuracy:.3f}", f"{low:.3f} to {high:.3f}",
                      f"{r.macro_f1:.3f}", f"{r.calibration_error:.3f}", f"{rejected:.3f}")  # fmt: skip
    said = lambda recalls: ", ".join(
        f"{name} {share:.3f} ({low:.3f} to {high:.3f})"
        for name, (share, low, high) in zip(evaluation.classes, recalls, strict=True)
    )
    table.caption = f"recall, rejected or not: {said(first.recalls)}"
    table.caption += f"; what is rejected counted as missed: {said(first.recalls_less_rejected)}"
    unknown = first.rejected_share(unknown=True)
    if not math.isnan(unknown):
        table.caption += f"; of what is of no class {unknown:.3f} are rejected"
    return table


def _result(evaluation: ClassifierEvaluation, r: Result) -> dict[str, Any]:
    return {
        "seen": r.view, "at_most_counts": r.at_most_counts, "particles": int(r.of_a_class.sum()),
        "specimens": len(np.unique(r.groups[r.of_a_class])), "median_counts": float(np.median(r.counts)),
        "accuracy": r.accuracy, "accuracy_interval": list(r.accuracy_interval), "macro_f1": r.macro_f1,
        "expected_calibration_error": r.calibration_error, "accuracy_of_accepted": r.accuracy_of_accepted,
        "rejected_of_a_class": r.rejected_share(unknown=False), "rejected_of_no_class": r.rejected_share(unknown=True),
        "recall": {
            name: {"recall": share, "interval": [low, high], "particles": int(row.sum()),
                   "recall_less_rejected": less[0], "interval_less_rejected": list(less[1:])}
            for name, (share, low, high), less, row in
            zip(evaluation.classes, r.recalls, r.recalls_less_rejected, r.confusion, strict=True)
        },
        "confusion": r.confusion.tolist(), "confusion_columns": [*evaluation.classes, REJECTED],
    }  # fmt: skip


def _particles(evaluation: ClassifierEvaluation) -> str:
    r, classes = evaluation.results[0], evaluation.classes
    head = ["particle", "specimen", "class", "named", "probability", "rejected", "counts", *(f"p_{c}" for c in classes)]
    lines = [",".join(head)]
    for i, label in enumerate(r.labels):
        p, truth = r.probabilities[i], classes[label] if label >= 0 else ""
        about = [r.names[i], r.groups[i], truth, classes[int(p.argmax())], f"{p.max():.4f}", str(int(r.rejected[i]))]
        values = [*about, f"{r.counts[i]:.0f}", *(f"{x:.4f}" for x in p)]
        lines.append(",".join(values))
    return "\n".join(lines) + "\n"


def _confusion(evaluation: ClassifierEvaluation) -> str:
    rows = [",".join(["class", *evaluation.classes, REJECTED])]
    for name, row in zip(evaluation.classes, evaluation.results[0].confusion, strict=True):
        rows.append(",".join([name, *map(str, row)]))
    return "\n".join(rows) + "\n"


def _scores(evaluation: ClassifierEvaluation) -> str:
    recalls = [f"{what}_{name}" for name in evaluation.classes for what in ("recall", "recall_low", "recall_high")]
    less = [f"recall_less_rejected_{name}" for name in evaluation.classes]
    head = ["seen", "at_most_counts", "particles", "accuracy", "accuracy_low", "accuracy_high", "macro_f1",
            "calibration_error", "rejected", *recalls, *less]  # fmt: skip
    lines = [",".join(head)]
    for r in evaluation.results:
        numbers = [r.accuracy, *r.accuracy_interval, r.macro_f1, r.calibration_error, r.rejected_share(unknown=False),
                   *(x for recall in r.recalls for x in recall), *(x for x, *_ in r.recalls_less_rejected)]  # fmt: skip
        level = "" if r.at_most_counts is None else str(r.at_most_counts)
        lines.append(",".join([r.view, level, str(int(r.of_a_class.sum())), *(_number(x) for x in numbers)]))
    return "\n".join(lines) + "\n"


def _number(x: float) -> str:
    return "" if math.isnan(x) else f"{x:.4f}"


def _picture(path: Path, evaluation: ClassifierEvaluation) -> None:
    """Confusion matrix, and confidence against share of right answers."""
    from matplotlib.figure import Figure

    first, classes = evaluation.results[0], evaluation.classes
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.2, 1])
    counts = first.confusion
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    left.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(counts.shape):
        ink = "white" if shares[i, j] > 0.6 else "black"
        left.text(j, i, str(counts[i, j]), ha="center", va="center", color=ink)
    left.axvline(len(classes) - 0.5, color="grey", linewidth=0.8)
    left.set_xticks(range(len(classes) + 1), [*classes, REJECTED], rotation=40, ha="right")
    left.set_yticks(range(len(classes)), classes)
    left.set(xlabel="named", ylabel="is", title=f"{first.view}: accuracy {first.accuracy:.3f}")
    right.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    for r in evaluation.results:
        if r.at_most_counts is None:
            bins = reliability(r.probabilities[r.of_a_class], r.labels[r.of_a_class])
            right.plot(*zip(*[(sure, share) for sure, share, _ in bins], strict=True), "o-", markersize=4,
                       label=f"{r.view}, ECE {r.calibration_error:.3f}")  # fmt: skip
    right.set(xlabel="confidence", ylabel="share named rightly", xlim=(0, 1), ylim=(0, 1))
    right.legend(loc="upper left", fontsize="small")
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120)
