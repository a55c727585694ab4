"""A training as a whole."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from sem_train.classes import ClassMap
from sem_train.config.augment import AugmentSettings
from sem_train.config.data import DataSettings
from sem_train.config.loss import LossSettings
from sem_train.config.model import ModelSettings
from sem_train.config.training import TrainingSettings
from semforge.settings import Settings

Classes = Annotated[ClassMap, BeforeValidator(lambda v: {"classes": v} if isinstance(v, list | tuple) else v)]


class Plan(Settings):
    """Everything about a training but its name and place."""

    data: DataSettings
    classes: Classes
    model: ModelSettings = ModelSettings()
    loss: LossSettings = LossSettings()
    augment: AugmentSettings = AugmentSettings()
    training: TrainingSettings = TrainingSettings()

    @model_validator(mode="after")
    def _classes_fit(self) -> "Plan":
        n = len(self.classes)
        weights = self.loss.class_weights
        if isinstance(weights, tuple) and (len(weights) != n or sum(weights) == 0):
            raise ValueError(f"'loss.class_weights' has {len(weights)} values, expected {n}, one a class, not all 0")
        return self

    @model_validator(mode="after")
    def _batch_can_be_normalised(self) -> "Plan":
        if self.model.name == "deeplabv3plus" and self.training.batch_size == 1:
            raise ValueError("'training.batch_size' is 1, expected at least 2: deeplabv3plus pools crops to one pixel")
        return self


class TrainConfig(Plan):
    """A training run. Its folder `out` holds checkpoints, history and this configuration."""

    name: str = Field(min_length=1)
    out: Path
