"""Random changes of training crops."""

from typing import Literal

from pydantic import Field, model_validator

from sem_train.config.shared import NonNegative, Share
from semforge.settings import Settings


class AugmentSettings(Settings):
    """Random changes of training crops; 0 turns one off. Intensities are in units of the normalised image."""

    flip: Literal["none", "horizontal", "vertical", "both"] = "both"
    rotate_degrees: float = Field(0, ge=0, le=180)  # angle uniform within ±
    zoom: float = Field(0, ge=0, lt=1)  # factor uniform within 1 ±
    contrast: float = Field(0, ge=0, lt=1)  # gamma uniform within 1 ±
    brightness: NonNegative = 0  # offset uniform within ±
    blur_px: NonNegative = 0  # Gaussian sd uniform from 0
    noise: NonNegative = 0  # Gaussian sd uniform from 0
    levels: int = Field(0, ge=0, le=20)  # control points of a random monotone change of grey levels; at least 3
    invert: Share = 0  # probability that bright and dark change places

    @model_validator(mode="after")
    def _enough_points(self) -> "AugmentSettings":
        if self.levels in (1, 2):
            raise ValueError(f"'levels' is {self.levels}, expected 0 or at least 3")
        return self
