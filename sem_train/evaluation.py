"""How good a trained model is on labelled images: overlap of every class, and error of what is measured from it."""

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sem_train.agreement import Agreement, Comparison, Detection, agreements, detections, is_measurable
from sem_train.calibration import observe
from sem_train.cases import Case, TestData, load_cases
from sem_train.inference import TrainedModel, checkpoint_of, load_run
from sem_train.measure import measure_label_map
from sem_train.measure.uncertainty import Observation, SegmentationError, fit_segmentation_error, model_digest
from sem_train.metrics import confusion, dice, iou, mean_over_present
from sem_train.provenance import commit, versions
from semforge.errors import InputError
from semforge.numbers import finite


@dataclass(frozen=True)
class ClassScore:
    """Overlap of one class over the pixels of all images; NaN for a class neither true nor predicted."""

    name: str
    dice: float
    iou: float
    true_pixels: int
    predicted_pixels: int


@dataclass(frozen=True)
class ImageScore:
    """Overlap of every class in one image, in order of class id."""

    case: str
    dice: tuple[float, ...]
    iou: tuple[float, ...]
    mean_dice: float  # over the classes that are there


@dataclass(frozen=True)
class Example:
    """An image to look at."""

    case: str
    image: np.ndarray  # (H, W) uint8 or uint16
    true: np.ndarray  # (H, W) uint8 class ids
    predicted: np.ndarray  # (H, W) uint8 class ids
    pixel_size_um: float | None
    mean_dice: float


@dataclass(frozen=True)
class Evaluation:
    """A model's result on a data set."""

    run: Path
    data: TestData
    model: TrainedModel
    left_out: int  # images the run was trained on
    included_trained: bool
    classes: tuple[ClassScore, ...]
    images: tuple[ImageScore, ...]
    agreements: tuple[Agreement, ...]  # synthetic data only
    detections: tuple[Detection, ...]  # synthetic data only
    examples: tuple[Example, ...]  # from the best to the worst
    provenance: dict[str, str]
    calibration: SegmentationError | None = None  # where it was asked for

    @property
    def mean_dice(self) -> float:
        """Mean over the classes that are there."""
        return mean_over_present(np.array([c.dice for c in self.classes]))

    @property
    def mean_iou(self) -> float:
        """Mean over the classes that are there."""
        return mean_over_present(np.array([c.iou for c in self.classes]))

    def to_json(self) -> str:
        """All numbers, for machines. What could not be measured is null."""
        return json.dumps(finite(_as_dict(self)), indent=1, ensure_ascii=False)


def evaluate(
    run: Path, data_path: Path, include_trained: bool = False, examples: int = 0, calibrate: bool = False
) -> Evaluation:
    """Predict every image of `data_path` with the model of `run` and compare with the truth.

    Images the run was trained on are left out, and real ones of specimens it was trained on, unless
    `include_trained`. `examples` images are kept to look at. `calibrate` works out the segmentation error, from
    synthetic images that the run was not trained on. Raises InputError if run or data cannot be used or if nothing
    remains.
    """
    if calibrate and include_trained:
        raise InputError("--calibrate and --include-trained: errors on images trained on say nothing of others")
    model = load_run(run)
    unlabelled = {v for real in model.config.data.real for v in real.unlabelled}
    data = load_cases(data_path, model.classes, unlabelled)
    cases = [c for c in data.cases if include_trained or not _seen(model, data, c)]
    if not cases:
        raise InputError(f"{data_path}: the run was trained on all {len(data.cases)} images; give others, "
                         "or --include-trained")  # fmt: skip
    if calibrate and data.kind != "synthetic":
        raise InputError(f"{data_path}: real images have no known truth; calibrate with synthetic ones")
    counts, images, comparisons, observations = [], [], [], []
    for case in cases:
        image, true = case.read()
        predicted = model.predict(image).labels
        counts.append(confusion(predicted, true, len(model.classes)))
        images.append(_image_score(case, counts[-1]))
        if is_measurable(case.truth):
            truth, measured = case.truth or {}, measure_label_map(predicted, model.classes, case.pixel_size_um)
            comparisons.append(Comparison(case.name, truth, measured))
            if calibrate and case.pixel_size_um is not None:
                observations.append(observe(case.name, truth, true, measured, model.classes, case.pixel_size_um))
    return Evaluation(
        run=Path(run), data=data, model=model, left_out=len(data.cases) - len(cases), included_trained=include_trained,
        classes=_class_scores(np.sum(counts, axis=0), model), images=tuple(images),
        agreements=agreements(comparisons, model.classes) if comparisons else (),
        detections=detections(comparisons, model.classes) if comparisons else (),
        examples=tuple(_example(model, cases[i], images[i]) for i in _spread(images, examples)),
        provenance=_provenance(data), calibration=_calibrated(run, data, observations) if calibrate else None,
    )  # fmt: skip


def _calibrated(run: Path, data: TestData, observations: Sequence[Observation]) -> SegmentationError:
    about = {"path": str(data.path), **data.about}
    return fit_segmentation_error(observations, model_digest(checkpoint_of(run)), about)


def _seen(model: TrainedModel, data: TestData, case: Case) -> bool:
    seen = model.trained_on
    if data.kind == "synthetic":
        return case.identity in seen.samples
    return case.identity in seen.images or (case.specimen is not None and case.specimen in seen.specimens)


def _class_scores(counts: np.ndarray, model: TrainedModel) -> tuple[ClassScore, ...]:
    columns = zip(model.classes.names, dice(counts), iou(counts), counts.sum(axis=1), counts.sum(axis=0), strict=True)
    return tuple(ClassScore(n, float(d), float(i), int(t), int(p)) for n, d, i, t, p in columns)


def _image_score(case: Case, counts: np.ndarray) -> ImageScore:
    every_dice, every_iou = dice(counts), iou(counts)
    return ImageScore(case.name, tuple(map(float, every_dice)), tuple(map(float, every_iou)),
                      mean_over_present(every_dice))  # fmt: skip


def _spread(images: Sequence[ImageScore], number: int) -> list[int]:
    """Positions of images from the best to the worst, evenly spread over their rank."""
    ranked = sorted(range(len(images)), key=lambda i: -images[i].mean_dice)
    chosen = np.unique(np.linspace(0, len(ranked) - 1, min(number, len(ranked))).round().astype(int))
    return [ranked[i] for i in chosen]


def _example(model: TrainedModel, case: Case, score: ImageScore) -> Example:
    image, true = case.read()
    return Example(case.name, image, true, model.predict(image).labels, case.pixel_size_um, score.mean_dice)


def _provenance(data: TestData) -> dict[str, str]:
    return {
        **data.about,
        **{f"evaluated with {name}": version for name, version in versions().items()},
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        **({"commit": made_at} if (made_at := commit()) else {}),
    }


def _as_dict(e: Evaluation) -> dict[str, Any]:
    return {
        "run": str(e.run),
        "data": {"path": str(e.data.path), "kind": e.data.kind},
        "images": len(e.images),
        "left_out_as_trained_on": e.left_out,
        "trained_on_included": e.included_trained,
        "mean_dice": e.mean_dice,
        "mean_iou": e.mean_iou,
        "classes": {
            c.name: {"dice": c.dice, "iou": c.iou, "true_pixels": c.true_pixels, "predicted_pixels": c.predicted_pixels}
            for c in e.classes
        },
        "per_image": [
            {"image": s.case, "mean_dice": s.mean_dice, "dice": dict(zip(e.model.classes.names, s.dice, strict=True)),
             "iou": dict(zip(e.model.classes.names, s.iou, strict=True))}
            for s in e.images
        ],
        "measured_against_true": [
            {"quantity": a.quantity, "class": a.name, "host": a.host, "unit": a.unit, "images": len(a.pairs),
             "mean_true": a.mean_true, "mean_absolute_error": a.mean_absolute_error, "bias": a.bias,
             "mean_absolute_error_percent": a.relative_percent(a.mean_absolute_error),
             "bias_percent": a.relative_percent(a.bias),
             "pairs": [{"image": p.case, "true": p.true, "measured": p.measured} for p in a.pairs]}
            for a in e.agreements
        ],
        "presence": [
            {"of": d.what, "class": d.name, "true_positive": d.true_positive, "false_positive": d.false_positive,
             "false_negative": d.false_negative, "true_negative": d.true_negative}
            for d in e.detections
        ],
        "segmentation_error": None if e.calibration is None else e.calibration.model_dump(mode="json"),
        "provenance": e.provenance,
    }  # fmt: skip
