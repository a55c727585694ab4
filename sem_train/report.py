"""The page that is filed with an evaluation: one HTML file that opens anywhere, also without a network."""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from markupsafe import Markup
from PIL import Image

from sem_train.agreement import Agreement, Detection
from sem_train.config import UNLABELLED
from sem_train.evaluation import Evaluation, Example
from sem_train.figures import parity_plots, training_curves
from sem_train.measure.bodies.line import LINE_SCORE
from sem_train.measure.layers.thickness import PRESENT_COVERAGE, PRESENT_PX
from sem_train.overlays import COLOURS, overlay
from sem_train.run_folder import read_history
from sem_train.scale_bars import ScaleBar, scale_bar
from semforge.errors import InputError
from semforge.files import write_text
from semforge.pages import page_environment

PICTURE_PX = 640  # longest side of a picture in the page


@dataclass(frozen=True)
class ContactRow:
    """One example as the page shows it; pictures are data URIs."""

    case: str
    mean_dice: float
    micrograph: str
    true: str
    predicted: str
    bar: ScaleBar | None


def write_report(path: Path, evaluation: Evaluation) -> None:
    """Write the page of an evaluation, whole or not at all."""
    write_text(path, render_report(evaluation))


def render_report(evaluation: Evaluation) -> str:
    """The page as text."""
    environment = page_environment("sem_train")
    environment.filters |= {"num": number, "signed": lambda x, digits=2: number(x, digits, sign=True)}
    try:
        history = read_history(evaluation.run)
    except InputError:  # a run copied without its history still has its model
        history = {}
    classes = evaluation.model.classes
    return environment.get_template("report.html.j2").render(
        e=evaluation,
        today=date.today().isoformat(),
        verdicts=verdicts(evaluation),
        contacts=[_contact(x, evaluation) for x in evaluation.examples],
        legend=[
            (c.name, _css_colour(COLOURS[i % len(COLOURS)]))
            for i, c in enumerate(classes.classes)
            if c.role not in ("background", "outside")
        ],
        curves=Markup(training_curves(history)),
        parity=Markup(parity_plots(evaluation.agreements)),
        layers=[d for d in evaluation.detections if d.what == "layer"],
        lines=[d for d in evaluation.detections if d.what == "line"],
        rules={"coverage": PRESENT_COVERAGE, "pixels": PRESENT_PX, "score": LINE_SCORE},
    )


def verdicts(e: Evaluation) -> list[str]:
    """The result in sentences, most wanted first."""
    said = [f"Over {_count(len(e.images), 'image')} the mean Dice coefficient of the classes is "
            f"{number(e.mean_dice, 3)}, the mean intersection over union {number(e.mean_iou, 3)}."]  # fmt: skip
    said += [_agreement_sentence(a) for a in e.agreements if a.pairs]
    said += [_detection_sentence(d) for d in e.detections]
    return [sentence[0].upper() + sentence[1:] for sentence in said]


def number(value: float, digits: int = 2, sign: bool = False) -> str:
    """A number as a page shows it: real minus sign, a dash for what is unknown."""
    if not math.isfinite(value):
        return "–"
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", "−")


def _agreement_sentence(a: Agreement) -> str:
    error, bias = number(a.mean_absolute_error), number(a.bias, sign=True)
    if a.quantity == "thickness":
        relative = number(a.relative_percent(a.mean_absolute_error), 1)
        return f"{a.name} thickness: mean error {error} µm ({relative} %), bias {bias} µm, n = {len(a.pairs)}."
    return f"{a.name} area in {a.host}: mean error {error} percentage points, bias {bias}, n = {len(a.pairs)}."


def _detection_sentence(d: Detection) -> str:
    there, missing = d.true_positive + d.false_negative, d.false_positive + d.true_negative
    what = f"{d.name} layer" if d.what == "layer" else f"{d.name} line"
    found = f"found in {d.true_positive} of {there} that have one" if there else "none of the images has one"
    false = f"reported in {d.false_positive} of {missing} that have none" if missing else "all images have one"
    return f"{what}: {found}; {false}."


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _contact(example: Example, e: Evaluation) -> ContactRow:
    classes = e.model.classes
    height, width = example.image.shape
    plain = np.full((height, width), UNLABELLED, dtype=np.uint8)  # no class, no tint
    grey, true, predicted = (
        data_uri(overlay(example.image, labels, classes)) for labels in (plain, example.true, example.predicted)
    )
    bar = scale_bar(width, example.pixel_size_um) if example.pixel_size_um else None
    return ContactRow(example.case, example.mean_dice, grey, true, predicted, bar)


def data_uri(picture: np.ndarray) -> str:
    """JPEG of (H, W, 3) uint8, at most `PICTURE_PX` on its longest side, to stand in a page without a file."""
    image = Image.fromarray(picture)
    image.thumbnail((PICTURE_PX, PICTURE_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=90, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _css_colour(colour: Sequence[float]) -> str:
    return "rgb({:.0f}, {:.0f}, {:.0f})".format(*colour)
