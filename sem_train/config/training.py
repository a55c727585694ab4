"""Optimisation and the machine."""

from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
    model_validator,
)

from sem_train.config.shared import NonNegative
from semforge.settings import Settings

Precision = Annotated[
    Literal["auto", "bf16", "fp16", "32"],
    BeforeValidator(lambda value: "32" if value == 32 else value),  # YAML reads a number
]


class TrainingSettings(Settings):
    """Optimisation and the machine."""

    steps: PositiveInt = 1000
    batch_size: PositiveInt = 8  # crops a batch, over all processes, which share it evenly
    accumulate: PositiveInt = 1  # batches a step, their gradients averaged
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: PositiveFloat = 2e-3  # the highest of the schedule
    schedule: Literal["one_cycle", "cosine", "poly", "constant"] = "one_cycle"
    warmup_steps: int = Field(0, ge=0)  # in which the rate rises; one_cycle has its own
    momentum: float | None = Field(None, ge=0, lt=1, validate_default=True)  # of sgd; left out: 0.9
    weight_decay: NonNegative = 1e-2
    gradient_clip: NonNegative = 1.0  # largest norm; 0 turns it off
    ema_decay: float | None = Field(None, gt=0, lt=1)  # of a running mean of the weights; left out: none
    patience: PositiveInt | None = None  # validations without a better mean Dice before the end; left out: all steps
    precision: Precision = "auto"  # auto: bf16 where the hardware has it
    channels_last: bool = True
    seed: int = Field(0, ge=0)
    deterministic: bool = False  # the same weights bit for bit from the same settings on the same machine
    val_every: PositiveInt = 100  # steps between validations and checkpoints
    checkpoint_minutes: PositiveFloat = 10  # between checkpoints, at most
    tensorboard: bool = True  # event files beside the history
    workers: int = Field(0, ge=0)  # loader processes of each process that trains; 0: a thread of its own
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

    @model_validator(mode="after")
    def _warms_up_before_the_end(self) -> "TrainingSettings":
        if self.warmup_steps and self.schedule == "one_cycle":
            raise ValueError("'warmup_steps' is not for schedule one_cycle, which rises by itself; leave it out")
        if self.warmup_steps >= self.steps:
            raise ValueError(f"'warmup_steps' is {self.warmup_steps}, expected fewer than the {self.steps} steps")
        return self
