"""Optimisation and the machine."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, ValidationInfo, field_validator

from sem_train.config.shared import NonNegative
from semforge.settings import Settings


class TrainingSettings(Settings):
    """Optimisation and the machine."""

    steps: PositiveInt = 1000
    batch_size: PositiveInt = 8  # crops a step, over all processes, which share it evenly
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: PositiveFloat = 2e-3  # the highest of the schedule
    schedule: Literal["one_cycle", "cosine", "poly", "constant"] = "one_cycle"
    momentum: float | None = Field(None, ge=0, lt=1, validate_default=True)  # of sgd; left out: 0.9
    weight_decay: NonNegative = 1e-2
    gradient_clip: NonNegative = 1.0  # largest norm; 0 turns it off
    precision: Literal["auto", "bf16", "32"] = "auto"
    channels_last: bool = True
    seed: int = Field(0, ge=0)
    val_every: PositiveInt = 100  # steps between validations and checkpoints
    checkpoint_minutes: PositiveFloat = 10  # between checkpoints, at most
    workers: int = Field(0, ge=0)  # loader processes, of each process that trains
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"  # auto: the GPU if there is one
    devices: PositiveInt | None = None  # processes a node, one a GPU; left out: as srun started them, or else 1
    num_nodes: PositiveInt | None = None  # left out: as srun started them, or else 1
    strategy: Literal["auto", "ddp"] = "auto"  # auto: DDP where there are several processes

    @field_validator("momentum")
    @classmethod
    def _is_of_sgd(cls, momentum: float | None, others: ValidationInfo) -> float | None:
        sgd = others.data.get("optimizer") == "sgd"
        if momentum is not None and not sgd:
            raise ValueError("adamw has no 'momentum', expected it with optimizer sgd")
        return 0.9 if momentum is None and sgd else momentum
