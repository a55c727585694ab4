"""An evaluation on the terminal."""

from rich.console import Group
from rich.table import Table

from sem_train.evaluation import Evaluation
from sem_train.report import number
from semforge.tables import plain_table


def summary(e: Evaluation) -> Group:
    """Overlap of the classes, measured against true, and what was found or not."""
    parts = [_classes(e)]
    if e.agreements:
        parts.append(_agreements(e))
    if e.detections:
        parts.append(_detections(e))
    return Group(*parts)


def _classes(e: Evaluation) -> Table:
    table = plain_table(f"{len(e.images)} {e.data.kind} images of {e.data.path}", "class", "Dice", "IoU")
    for c in e.classes:
        table.add_row(c.name, number(c.dice, 3), number(c.iou, 3))
    table.add_section()
    table.add_row("mean", number(e.mean_dice, 3), number(e.mean_iou, 3))
    if e.included_trained:
        table.caption = "includes images that the run was trained on"
    elif e.left_out:
        table.caption = f"{e.left_out} left out: the run was trained on them"
    return table


def _agreements(e: Evaluation) -> Table:
    table = plain_table("Measured against true", "quantity", "images", "mean true", "mean error", "bias", "error, %")
    for a in e.agreements:
        thickness = a.quantity == "thickness"
        name = f"{a.name} thickness, µm" if thickness else f"{a.name}, % of {a.host}"
        relative = number(a.relative_percent(a.mean_absolute_error), 1)
        values = number(a.mean_true), number(a.mean_absolute_error), number(a.bias, sign=True), relative
        table.add_row(name, str(len(a.pairs)), *values)
    table.caption = "errors of area are in percentage points"
    return table


def _detections(e: Evaluation) -> Table:
    table = plain_table("Found or not, images", "", "found", "missed", "false", "rightly none")
    for d in e.detections:
        counts = (d.true_positive, d.false_negative, d.false_positive, d.true_negative)
        table.add_row(f"{d.name} {d.what}", *map(str, counts))
    return table
