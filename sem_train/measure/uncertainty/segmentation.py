"""What a model gets wrong, measured on synthetic images of known truth, and carried over to what it measures.

For every quantity: the error, measured minus true, over images that the model was not trained on, as a bias and a
spread. Errors of lengths are in pixels, of shares in percentage points, of all else relative to the measured value: a
boundary drawn half a pixel off is half a pixel off at any magnification. With enough images the bias may change
linearly with the measured value. The spread is that of a single new image about the line, the uncertainty of the line
included.

A microscope's images are no synthetic ones: the error is known for images like those of the recipe.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import ValidationError

from sem_train.measure.uncertainty.estimate import Spread
from sem_train.measure.uncertainty.units import length_power
from semforge.errors import InputError
from semforge.files import file_sha256, write_text
from semforge.settings import Settings

FILE = "segmentation_error.json"
FEWEST_IMAGES = 10  # of fewer, no calibration is made
FEWEST_WITH_SLOPE = 20  # images; of fewer, the bias is taken as the same for all values
CLEAR_SLOPE = 2.6  # its own standard errors: one in a hundred by chance
MOST_LEVERAGE = 0.3  # of one image on that line
FAR = 1.25  # pixel sizes beyond those calibrated by this factor are warned of

log = logging.getLogger(__name__)
Key = tuple[str, str, str]
Scale = Literal["px", "points", "relative"]


class Measured(NamedTuple):
    """One number as a model's label map gives it, and its unit."""

    value: float
    unit: str


@dataclass(frozen=True)
class Observation:
    """One image of known truth as a model sees it; a quantity that is not there has no entry."""

    case: str
    pixel_size_um: float
    measured: Mapping[Key, Measured]
    true: Mapping[Key, Measured]


class QuantityError(Settings):
    """Error of one quantity, in pixels, percentage points or relative to the measured value."""

    kind: str
    name: str
    quantity: str
    scale: Scale
    images: int  # with a true and a measured value
    missed: int  # with a true value and none measured
    invented: int  # with a measured value and no true one
    bias: float  # mean of measured minus true, at the value `centre`
    slope: float  # of the error over the measured value; 0 where it is not clear
    sd: float  # of the errors about that line
    centre: float  # mean of the measured values
    sum_squares: float  # of the measured values about it
    low: float  # smallest and largest value measured
    high: float

    @property
    def dof(self) -> int:
        """Degrees of freedom of `sd`."""
        return self.images - (2 if self.slope else 1)

    def at(self, value: float, pixel: float) -> tuple[float, Spread]:
        """Bias and spread of a measured value; `pixel` is the edge of a pixel in the unit of a length.

        Beyond the calibrated range, the bias of its end is taken.
        """
        unit = {"px": pixel, "points": 1.0, "relative": abs(value)}[self.scale]
        off = float(np.clip(value / pixel if self.scale == "px" else value, self.low, self.high)) - self.centre
        of_line = off**2 / self.sum_squares if self.slope and self.sum_squares > 0 else 0.0
        u = self.sd * math.sqrt(1 + 1 / self.images + of_line)
        return (self.bias + self.slope * off) * unit, Spread(u * unit, self.dof)

    def covers(self, value: float, pixel: float) -> bool:
        """Whether values like this one were among those calibrated, a tenth of their range beside allowed."""
        if self.scale == "relative":
            return True
        x, margin = value / pixel if self.scale == "px" else value, 0.1 * (self.high - self.low)
        return self.low - margin <= x <= self.high + margin


class SegmentationError(Settings):
    """All that is known of the errors of one model."""

    version: Literal[1] = 1
    model_sha256: str  # of its checkpoint file
    data: dict[str, str]  # where the images come from
    images: int
    pixel_size_um: tuple[float, float]  # smallest and largest of the images
    quantities: tuple[QuantityError, ...]

    def of(self, key: Key) -> QuantityError | None:
        """The error of one quantity; None where it could not be calibrated."""
        return next((q for q in self.quantities if (q.kind, q.name, q.quantity) == key), None)

    def warning(self, pixel_size_um: float | None) -> str:
        """What must be said of images of this pixel size; empty if nothing."""
        low, high = self.pixel_size_um
        if pixel_size_um is None:
            return "segmentation error calibrated in µm, but this image has no scale"
        if low / FAR <= pixel_size_um <= high * FAR:
            return ""
        return (
            f"segmentation error calibrated at {low:.3g} to {high:.3g} µm a pixel, this image has {pixel_size_um:.3g}"
        )


def fit_segmentation_error(
    observations: Sequence[Observation], model_sha256: str, data: dict[str, str]
) -> SegmentationError:
    """Bias and spread of every quantity that enough of the images have. Raises InputError for too few images."""
    if len(observations) < FEWEST_IMAGES:
        raise InputError(
            f"calibrating the segmentation error takes at least {FEWEST_IMAGES} images with known truth that the run "
            f"was not trained on, found {len(observations)}"
        )
    keys = dict.fromkeys(key for o in observations for key in (*o.true, *o.measured))
    fitted = [_fit(key, observations) for key in keys]
    sizes = [o.pixel_size_um for o in observations]
    return SegmentationError(
        model_sha256=model_sha256, data=data, images=len(observations), pixel_size_um=(min(sizes), max(sizes)),
        quantities=tuple(q for q in fitted if q is not None),
    )  # fmt: skip


def scale_of(unit: str) -> Scale:
    """In what the error of a quantity of this unit is expressed."""
    return "px" if length_power(unit) == 1 else "points" if unit == "%" else "relative"


def write_segmentation_error(run: Path, error: SegmentationError) -> Path:
    """Write into a run's folder."""
    path = run / FILE
    write_text(path, error.model_dump_json(indent=1) + "\n")
    return path


def read_segmentation_error(run: Path) -> SegmentationError | None:
    """That of a run's folder or of a checkpoint in it. None where there is none, or, with a warning, of another model.

    Raises InputError if the file cannot be read.
    """
    from sem_train.inference import checkpoint_of  # measuring label maps needs no network library

    run = Path(run)
    path = (run if run.is_dir() else run.parent) / FILE
    if not path.is_file():
        return None
    try:
        error = SegmentationError.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as problem:
        raise InputError(f"{path}: cannot be read as a segmentation error, calibrate it again") from problem
    if error.model_sha256 != model_digest(checkpoint_of(run)):
        log.warning("%s: is of other weights than the run's, so it is not used; calibrate it again", path)
        return None
    return error


def model_digest(checkpoint: Path) -> str:
    """SHA-256 of a checkpoint file."""
    return file_sha256(checkpoint)


def _fit(key: Key, observations: Sequence[Observation]) -> QuantityError | None:
    pairs = [(o.measured[key], o.true[key].value, o.pixel_size_um) for o in observations
             if key in o.measured and key in o.true]  # fmt: skip
    if len(pairs) < FEWEST_IMAGES:
        return None
    scale = scale_of(pairs[0][0].unit)
    measured, true, pixel = (
        np.array(column, dtype=float) for column in zip(*((m.value, t, p) for m, t, p in pairs), strict=True)
    )
    if scale == "px":
        measured, true = measured / pixel, true / pixel
    elif scale == "relative":
        known = measured > 0
        if known.sum() < FEWEST_IMAGES:
            return None
        measured, true = measured[known], true[known]
    error = (measured - true) / (measured if scale == "relative" else 1.0)
    n, centre, bias = len(error), float(measured.mean()), float(error.mean())
    squares = float(((measured - centre) ** 2).sum())
    slope, sd = 0.0, float(error.std(ddof=1))
    # a line that one image decides is no line
    spread_out = squares > 0 and float(((measured - centre) ** 2).max()) / squares < MOST_LEVERAGE
    if n >= FEWEST_WITH_SLOPE and scale != "relative" and spread_out:
        steep = float(((measured - centre) * error).sum() / squares)
        about = math.sqrt(float(((error - bias - steep * (measured - centre)) ** 2).sum()) / (n - 2))
        if about > 0 and abs(steep) * math.sqrt(squares) / about > CLEAR_SLOPE:
            slope, sd = steep, about
    has_true = sum(key in o.true for o in observations)
    has_measured = sum(key in o.measured for o in observations)
    kind, name, quantity = key
    return QuantityError(
        kind=kind, name=name, quantity=quantity, scale=scale, images=n, missed=has_true - len(pairs),
        invented=has_measured - len(pairs), bias=bias, slope=slope, sd=sd, centre=centre, sum_squares=squares,
        low=float(measured.min()), high=float(measured.max()),
    )  # fmt: skip
