"""What is minimised."""

from typing import Literal

from pydantic import Field, model_validator

from sem_train.config.shared import NonNegative
from semforge.settings import Settings

ClassWeights = Literal["none", "inverse_frequency", "median_frequency"] | tuple[NonNegative, ...]


class LossSettings(Settings):
    """Factor of each loss in the sum that is minimised, 0 for none of it, and weights of the classes in all of them."""

    dice: NonNegative = 1.0
    cross_entropy: NonNegative = 1.0
    focal: NonNegative = 0.0
    focal_gamma: float = Field(2.0, ge=1)  # how little a pixel counts that is right already
    tversky: NonNegative = 0.0
    tversky_alpha: NonNegative = 0.3  # weight of false positives
    tversky_beta: NonNegative = 0.7  # and of false negatives
    lovasz: NonNegative = 0.0
    boundary: NonNegative = 0.0  # about 0.01, beside another: distances are in pixels
    class_weights: ClassWeights = "median_frequency"
    weight_cap: float = Field(2.0, ge=1)  # limit of weights from frequencies: higher ones pull borders outwards

    @model_validator(mode="after")
    def _is_a_loss(self) -> "LossSettings":
        names = ("dice", "cross_entropy", "focal", "tversky", "lovasz", "boundary")
        if not any(getattr(self, name) for name in names):
            raise ValueError(f"{', '.join(names)} are all 0, expected one above 0")
        if self.tversky_alpha + self.tversky_beta == 0:
            raise ValueError("'tversky_alpha' and 'tversky_beta' are both 0, expected one above 0")
        return self
