"""What a cell is made of, kept beside it, so that results of other settings or other data never count as its own.

`made_of.json` in the folder of a cell holds all that decides what it finds: folds, validation, the settings of its
trainings or of its baseline, and by content the synthetic samples, the real images with their labels and specimens.
What only says where or on which machine is no part of it.
"""

import json
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

from sem_train.config import ExperimentConfig, Plan, TrainConfig
from sem_train.data import Picture, file_identity, sample_identities
from sem_train.experiments.plan import Cell
from sem_train.run_folder import RunFolder, compared, difference
from semforge.errors import InputError
from semforge.files import write_text
from semforge.settings import load_settings, validate

SHOWN = 12  # hexadecimal digits of a digest


class Origins:
    """What the cells of an experiment are made of today. Each file is looked at once."""

    def __init__(self, config: ExperimentConfig, pictures: Iterable[Picture]):
        self.config = config
        self.pictures = {p.name: p for p in pictures}
        self._contents: dict[str, str] = {}  # by name of a picture
        self._samples: dict[str, str | None] = {}  # by settings of synthetic data

    def refuse_others(self, cells: Sequence[Cell]) -> None:
        """Raises InputError if a cell that was begun is made of anything else, with the first thing that differs.

        Of cells without a record, which earlier versions left, what can be told counts: the settings of their
        trainings and which images, of which specimens, they were tested on.
        """
        others = {cell.folder: found for cell in cells if cell.is_begun and (found := self._difference(cell))}
        if others:
            folder, found = next(iter(others.items()))
            more = f" and {len(others) - 1} more cells" if len(others) > 1 else ""
            raise InputError(
                f"{folder}{more}: made of other settings or data ({found}); give those again, change 'out', or remove "
                f"{'these folders' if more else 'this folder'}"
            )

    def claim(self, cell: Cell) -> None:
        """Keep what a cell is made of, before its training begins."""
        if not (cell.is_begun and cell.record.exists()):
            write_text(cell.record, json.dumps(self.of(cell), indent=1) + "\n")

    def of(self, cell: Cell) -> dict[str, Any]:
        """As it is kept. Raises InputError if a file is gone."""
        validated = {name for training in cell.trainings for real in training.data.real for name in real.held_out}
        return {
            "folds": None if cell.fold is None else self.config.folds.model_dump(include={"count", "seed"}),
            "validation": self.config.validation.model_dump() if self.config.validation.specimens else None,
            "baseline": self.config.arms[cell.arm].baseline,
            "train": {name: self._content(name) for name in cell.train},
            "validated": {p.name: self._content(p.name) for p in self.pictures.values() if p.specimen in validated},
            "test": {name: self._content(name) for name in cell.test},
            **{part: plan.model_dump(mode="json", include=set(Plan.model_fields)) for part, plan in self._plans(cell)},
            "samples": {part: self._samples_of(plan) for part, plan in self._plans(cell)},
        }

    def _plans(self, cell: Cell) -> list[tuple[str, Plan]]:
        """The settings of all its trainings by what they are; of a baseline the plan itself."""
        *before, last = cell.trainings or (self.config.plan,)
        return [*(("pretraining", training) for training in before), ("plan", last)]

    def _difference(self, cell: Cell) -> str | None:
        if not cell.record.exists():
            old, now = _of_earlier(cell), self._as_earlier(cell)
            return difference(old, {key: now[key] for key in old})
        kept = json.loads(cell.record.read_text(encoding="utf-8"))
        old, now = (_reduced(record, str(cell.record)) for record in (kept, self.of(cell)))
        for part, digest in old["samples"].items():
            if digest is None or now["samples"].get(part) is None:  # a file that is gone tells nothing
                old["samples"][part] = now["samples"].get(part)
        return difference(old, now)

    def _as_earlier(self, cell: Cell) -> dict[str, Any]:
        plans = {part: _compared(plan) for part, plan in self._plans(cell)}
        test = {name: self.pictures[name].specimen for name in cell.test}
        return {**plans, "train": len(cell.train), "test": test}

    def _content(self, name: str) -> str:
        if name not in self._contents:
            picture = self.pictures[name]
            labels = file_identity(picture.labels)[:SHOWN] if picture.labels else "none"
            self._contents[name] = f"specimen {picture.specimen}, image {picture.identity[:SHOWN]}, labels {labels}"
        return self._contents[name]

    def _samples_of(self, plan: Plan) -> str | None:
        """Digest of the synthetic samples that are trained on; None if there are none, or their file is gone."""
        if plan.data.real_share == 1:
            return None
        key = repr(plan.data.synthetic)
        if key not in self._samples:
            identities = sample_identities(plan.data.synthetic)
            self._samples[key] = None if identities is None else sha256(repr(identities).encode()).hexdigest()[:SHOWN]
        return self._samples[key]


def _reduced(kept: dict[str, Any], source: str) -> dict[str, Any]:
    """A record without what does not change what is found, settings that it lacks as they are if left out."""
    plans = {part: _compared(validate(kept[part], Plan, source)) for part in ("pretraining", "plan") if part in kept}
    if kept["baseline"] is not None:
        data, classes = plans["plan"]["data"], plans["plan"]["classes"]
        plans["plan"] = {"data": {key: data[key] for key in ("real", "scale")}, "classes": classes}
    return {**kept, **plans}


def _compared(plan: Plan) -> dict[str, Any]:
    stored = compared(plan)
    stored["data"]["synthetic"] = [
        {key: value for key, value in source.items() if key != "made_by"}
        for source in stored["data"]["synthetic"] if plan.data.real_share < 1
    ]  # fmt: skip
    del stored["model"]["start_from"]  # which is a place; the pretraining itself is compared
    return {key: value for key, value in stored.items() if key in Plan.model_fields}


def _of_earlier(cell: Cell) -> dict[str, Any]:
    """What earlier versions left of what a cell is made of."""
    known: dict[str, Any] = {}
    *before, last = cell.trainings or (None,)
    for part, training in [*(("pretraining", training) for training in before), ("plan", last)]:
        path = None if training is None else RunFolder(training.out).config
        if path is not None and path.exists():
            known[part] = _compared(load_settings(path, TrainConfig))
    if cell.results.exists():
        rows = json.loads(cell.results.read_text(encoding="utf-8"))
        known["train"] = next((row["real_images"] for row in rows), 0)
        known["test"] = {row["image"]: row["specimen"] for row in rows}
    return known
