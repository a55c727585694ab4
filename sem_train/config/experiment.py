"""Experiment settings: what a user may write in configs/experiments."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from sem_train.config.plan import Plan
from sem_train.config.shared import Share
from semforge.settings import Settings


class FoldSettings(Settings):
    """Grouped cross-validation: the images of a specimen are all in one fold."""

    count: int = Field(ge=2)
    run: tuple[int, ...] | None = None  # which folds to run; left out: all
    seed: int = Field(0, ge=0)  # which specimens share a fold

    @model_validator(mode="after")
    def _exist(self) -> "FoldSettings":
        wrong = [fold for fold in self.run or () if not 0 <= fold < self.count]
        if wrong:
            raise ValueError(f"'run' names fold {wrong[0]}, expected 0 to {self.count - 1}")
        return self

    @property
    def chosen(self) -> tuple[int, ...]:
        """The folds to run."""
        return self.run if self.run is not None else tuple(range(self.count))


class ExperimentConfig(Settings):
    """Arms that differ only in the share of real crops, trained alike and tested on unseen specimens."""

    name: str = Field(min_length=1)
    out: Path
    arms: dict[str, Share]  # arm -> share of real crops in a batch
    baseline: str  # the arm that the others are compared with
    folds: FoldSettings
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0,), min_length=1)
    plan: Plan

    @model_validator(mode="after")
    def _consistent(self) -> "ExperimentConfig":
        if self.baseline not in self.arms:
            raise ValueError(f"baseline {self.baseline!r} is not one of the arms {', '.join(self.arms)}")
        data = self.plan.data
        if len(data.real) != 1:
            raise ValueError("plan.data.real needs exactly one real data set: its specimens are what is split")
        if not data.synthetic and min(self.arms.values()) < 1:
            raise ValueError("an arm has synthetic crops but plan.data.synthetic is empty")
        if data.real[0].held_out or any(source.held_out for source in data.synthetic):
            raise ValueError("plan.data holds data out, expected none: every arm is scored after its last step")
        return self
