"""What the experiment knows of a test image under one trained model: the rows that all statistics start from."""

import math
from dataclasses import dataclass
from typing import Any

NO_REAL = "none"  # of `asked`: the arm is trained without real images


@dataclass(frozen=True)
class Measured:
    """A quantity in the true and in the predicted label map; None where it could not be measured."""

    true: float | None
    predicted: float | None

    @property
    def error(self) -> float:
        """Predicted minus true; NaN where one of them is missing."""
        return math.nan if self.true is None or self.predicted is None else self.predicted - self.true


@dataclass(frozen=True)
class Score:
    """How a predicted label map compares with the true one. Lengths are in pixels of the image as it is on disk."""

    counts: list[list[int]]  # (C, C) labelled pixels by true (row) and predicted (column) class
    boundary_px: dict[str, float | None]  # class -> mean distance between true and predicted outline, both ways
    thickness_px: dict[str, Measured]  # layer -> mean thickness
    area_percent: dict[str, Measured]  # inclusion or crack class -> share of its host; particle class: of the image


@dataclass(frozen=True)
class ImageResult:
    """One test image under one trained model."""

    arm: str
    real_images: int  # that the model was trained on; 0: none
    asked: str  # the number of real images that the experiment names: "1", "4", "all"; NO_REAL for an arm without
    fold: int
    seed: int
    image: str
    specimen: str
    score: Score
    seconds: float  # that training took; 0 where nothing was trained
    label_map: str  # path of the predicted label map, relative to the experiment's folder

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> "ImageResult":
        """Inverse of `dataclasses.asdict`."""
        score = row["score"]
        pairs = {key: {name: Measured(**pair) for name, pair in score[key].items()}
                 for key in ("thickness_px", "area_percent")}  # fmt: skip
        return cls(**{**row, "score": Score(**{**score, **pairs})})
