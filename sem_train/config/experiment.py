"""Experiment settings: what a user may write in configs/experiments."""

from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from sem_train.config.plan import Plan
from semforge.settings import Settings

# What arms have in common, or the comparison would be of something else
EQUAL = ("classes", "data.real", "training.steps", "training.batch_size", "training.accumulate", "training.seed")


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


class ArmSettings(Settings):
    """How one arm differs from the plan that all share. Left out: not at all."""

    real_fraction: Any = None  # as data.real_fraction
    pretrain: float = Field(0, ge=0, lt=1)  # share of the steps on synthetic images alone, before those of the mixture
    fine_tune_rate: PositiveFloat = 0.3  # highest learning rate after pretraining, as a multiple of the plan's
    # a method without a network
    baseline: Literal["otsu", "threshold_workflow", "random_forest", "random_forest_augmented"] | None = None
    real_images: tuple[PositiveInt | Literal["all"], ...] | None = None  # numbers to run; left out: the experiment's
    changes: dict[str, Any] = Field({})  # other settings of the plan, e.g. {model: {name: fno}} or {model.name: fno}

    @model_validator(mode="after")
    def _is_one_thing(self) -> "ArmSettings":
        if self.baseline is not None and (self.pretrain or self.changes or self.real_fraction is not None):
            raise ValueError("'baseline' is fitted to real images without a network, expected no other settings")
        return self


def _by_number(value: Any) -> Any:
    """A number is a share of real crops."""
    return {"real_fraction": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


class ValidationSettings(Settings):
    """Real specimens of the training side that choose the weights to test, the same for all arms."""

    specimens: int = Field(0, ge=0)  # 0: none is given up, and the last weights are tested
    select: Literal["best", "last"] = "best"  # of the validations, by mean Dice


class ExperimentConfig(Settings):
    """Arms that are trained alike and tested on unseen specimens, for several numbers of real images."""

    name: str = Field(min_length=1)
    out: Path
    arms: dict[str, Annotated[ArmSettings, BeforeValidator(_by_number)]] = Field(min_length=1)
    reference: str  # the arm that the others are compared with
    real_images: tuple[PositiveInt | Literal["all"], ...] = Field(("all",), min_length=1)
    folds: FoldSettings
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0,), min_length=1)
    validation: ValidationSettings = ValidationSettings()
    plan: Plan

    @model_validator(mode="after")
    def _consistent(self) -> "ExperimentConfig":
        if self.reference not in self.arms:
            raise ValueError(f"reference {self.reference!r} is not one of the arms {', '.join(self.arms)}")
        for what, values in (("real_images", self.real_images), ("seeds", self.seeds)):
            if len(set(values)) < len(values):
                raise ValueError(f"'{what}' names {max(values, key=values.count)} twice")
        data = self.plan.data
        if len(data.real) != 1:
            raise ValueError("plan.data.real needs exactly one real data set: its specimens are what is split")
        real = data.real[0]
        if real.held_out or real.only or any(source.held_out for source in data.synthetic):
            raise ValueError("plan.data holds data out, expected none: the experiment splits it; see 'validation'")
        if self.plan.model.start_from is not None:
            raise ValueError("plan.model.start_from is given, expected none: see 'pretrain' of an arm")
        if self.plan.training.patience is not None:
            raise ValueError(
                f"plan.training.patience is {self.plan.training.patience}, expected none: all arms make equal steps"
            )
        return self

    @model_validator(mode="after")
    def _arms_can_be_trained(self) -> "ExperimentConfig":
        for name, arm in self.arms.items():
            if any(c in name for c in "/\\ ") or name.startswith("."):
                raise ValueError(f"arm {name!r} names folders, expected a name without blanks and slashes")
            if arm.baseline is None:
                try:
                    self.plan_of(name)
                except ValidationError as error:
                    first = error.errors()[0]
                    where = ".".join(str(part) for part in first["loc"])
                    raise ValueError(f"arm {name!r}: {where}: {first['msg']}") from None
            if arm.pretrain and not self.plan.data.synthetic:
                raise ValueError(f"arm {name!r} has 'pretrain', but plan.data.synthetic is empty")
        return self

    @model_validator(mode="after")
    def _arms_can_be_compared(self) -> "ExperimentConfig":
        # validations choose among weights, so all arms choose from as many
        chosen = ("training.val_every",) if self.validation.specimens else ()
        for name, arm in self.arms.items():
            if arm.baseline is not None:
                continue
            plan = self.plan_of(name)
            for key in (*EQUAL, *chosen, "training.patience"):
                if _setting(plan, key) != _setting(self.plan, key):
                    raise ValueError(
                        f"arm {name!r} changes {key!r}, expected it equal in all arms; change it in 'plan'"
                    )
            before = self.pretraining_steps(name)
            for what, steps in (("pretraining", before), ("fine-tuning", plan.training.steps - before)):
                if before and plan.training.warmup_steps >= steps:
                    raise ValueError(
                        f"arm {name!r}: 'training.warmup_steps' is {plan.training.warmup_steps}, expected fewer than "
                        f"the {steps} steps of its {what}; lower it or change 'pretrain'"
                    )
        return self

    def pretraining_steps(self, arm: str) -> int:
        """Steps of an arm on synthetic images alone, before those of its mixture; 0 for an arm without."""
        steps = self.plan.training.steps
        return min(round(self.arms[arm].pretrain * steps), steps - 1)

    def plan_of(self, arm: str) -> Plan:
        """The plan with the changes of an arm. Raises ValueError if they do not fit."""
        settings, chosen = self.plan.model_dump(), self.arms[arm]
        changes = dict(chosen.changes)
        if chosen.real_fraction is not None:
            changes["data.real_fraction"] = chosen.real_fraction
        for key, value in changes.items():
            settings = _changed(settings, key.split("."), value, f"arm {arm!r} changes {key!r}")
        return Plan.model_validate(settings)


def _setting(plan: Plan, key: str) -> Any:
    return reduce(getattr, key.split("."), plan)


def _changed(settings: dict[str, Any], keys: list[str], value: Any, what: str) -> dict[str, Any]:
    first, *rest = keys
    if first not in settings:
        raise ValueError(f"{what}, which is no setting of the plan; expected one of {', '.join(settings)}")
    if first == "model" and not rest:
        return settings | {first: value}  # another network has other options
    if rest:
        return settings | {first: _changed(settings[first], rest, value, what)}
    if isinstance(value, dict) and isinstance(settings[first], dict):
        for key, inner in value.items():
            settings = settings | {first: _changed(settings[first], [key], inner, what)}
        return settings
    return settings | {first: value}
