"""Which classifiers an experiment trains and tests, worked out before the first of them begins."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator

from sem_train.classification.config import ClassifyConfig, ClassifyPlan
from semforge.errors import InputError
from semforge.settings import Settings, parse_yaml, validate

Changes = dict[str, Any]  # settings of the plan that are other than in the plan, by dotted name


class Pretraining(Settings):
    """A training whose weights another begins with."""

    changes: Changes = Field({})  # in addition to those of the arm
    transfer: Literal["all", "image"] = "all"  # image: of the image branch alone, for other classes or inputs
    seed: int | None = Field(None, ge=0)  # one training for all seeds; left out: one a seed


class ClassifyArm(Settings):
    """How one arm differs from the plan that all share."""

    changes: Changes = Field({})
    pretraining: Pretraining | None = None


class ClassifyExperiment(Settings):
    """Arms that are trained alike, and tested on the same particles, none of which any of them has seen."""

    name: str = Field(min_length=1)
    out: Path
    arms: dict[str, ClassifyArm] = Field(min_length=1)
    reference: str  # the arm that the others are compared with
    folds: tuple[
        str, ...
    ] = ()  # of the first real data set, each left out and tested on in turn; none: what is excluded
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0,), min_length=1)
    plan: ClassifyPlan

    @model_validator(mode="after")
    def _consistent(self) -> "ClassifyExperiment":
        if self.reference not in self.arms:
            raise ValueError(f"reference {self.reference!r} is not one of the arms {', '.join(self.arms)}")
        for what, values in (("folds", self.folds), ("seeds", self.seeds)):
            if len(set(values)) < len(values):
                raise ValueError(f"'{what}' names {max(values, key=values.count)} twice")
        if self.folds and (not self.plan.data.real or self.plan.data.real[0].fold is None):
            raise ValueError("'folds' are given, but plan.data.real has no column 'fold'")
        return self


@dataclass(frozen=True)
class ClassifyCell:
    """What is trained once, and tested on particles that it has not seen."""

    name: str
    arm: str
    seed: int
    fold: str | None  # None: tested on all that is left out, since it saw none of it
    trainings: tuple[ClassifyConfig, ...]  # each begins with the weights of the one before
    folder: Path

    @property
    def result(self) -> Path:
        """What is written when the cell is done."""
        return self.folder / "result.json"


def plan_classify_cells(experiment: ClassifyExperiment) -> list[ClassifyCell]:
    """All cells, seed by seed and fold by fold, so that what ends early can be compared.

    An arm that trains on no real picture sees no fold: it is trained once a seed and tested on all folds. Raises
    InputError for changes that do not fit.
    """
    cells: dict[str, ClassifyCell] = {}
    for seed in experiment.seeds:
        for fold in experiment.folds or (None,):
            for arm in experiment.arms:
                cell = _cell(experiment, arm, seed, fold)
                cells.setdefault(cell.name, cell)
    return list(cells.values())


def _cell(experiment: ClassifyExperiment, arm: str, seed: int, fold: str | None) -> ClassifyCell:
    settings = experiment.arms[arm]
    plan = _changed(experiment.plan, settings.changes, f"arm {arm!r}")
    before = settings.pretraining
    first = None if before is None else _changed(plan, before.changes, f"pretraining of arm {arm!r}")
    sees = any(p is not None and p.data.real_share > 0 for p in (plan, first))
    name = f"{arm}-seed{seed}" if fold is None or not sees else f"{arm}-fold{fold}-seed{seed}"
    folder = experiment.out / "cells" / name
    trainings = list(_trainings(experiment, plan, first, before, seed, fold, name))
    return ClassifyCell(name, arm, seed, fold if sees else None, tuple(trainings), folder)


def _trainings(
    experiment: ClassifyExperiment, plan: ClassifyPlan, first: ClassifyPlan | None, before: Pretraining | None,
    seed: int, fold: str | None, name: str,
) -> Iterator[ClassifyConfig]:  # fmt: skip
    start: Changes = {}
    if first is not None and before is not None:
        own = _left_out(experiment, first, seed if before.seed is None else before.seed, fold)
        digest = hashlib.sha256(json.dumps(own.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()[:12]
        run = experiment.out / "pretraining" / digest
        yield _config(own, f"pretraining {digest}", run)
        start = {"model.start_from" if before.transfer == "all" else "model.image.weights": str(run)}
    yield _config(_changed(_left_out(experiment, plan, seed, fold), start, name), name,
                  experiment.out / "cells" / name / "run")  # fmt: skip


def _left_out(experiment: ClassifyExperiment, plan: ClassifyPlan, seed: int, fold: str | None) -> ClassifyPlan:
    """The plan of a seed, without what it will be tested on."""
    changes: Changes = {"training.seed": seed}
    if experiment.folds and plan.data.real:
        changes["data.real.0.excluded"] = [fold] if plan.data.real_share > 0 else list(experiment.folds)
    return _changed(plan, changes, f"seed {seed}")


def _config(plan: ClassifyPlan, name: str, out: Path) -> ClassifyConfig:
    return ClassifyConfig.model_validate({**plan.model_dump(), "name": name, "out": out})


def _changed(plan: ClassifyPlan, changes: Changes, what: str) -> ClassifyPlan:
    if not changes:
        return plan
    text = yaml.safe_dump(plan.model_dump(mode="json", exclude_none=True))
    overrides = [f"{key}={json.dumps(value, default=str)}" for key, value in changes.items()]
    try:
        return validate(parse_yaml(text, what, overrides), ClassifyPlan, what)
    except InputError as error:
        raise InputError(
            f"{error}; expected a setting of the plan, such as model.name or data.synthetic.0.limit"
        ) from error
