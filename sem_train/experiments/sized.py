"""An experiment as `--budget` sized it: measured, planned, told, and kept, so that the same command goes on alike.

===========  ======================================================================================
budget.yaml  the settings that fit, an experiment of its own: `sem-train compare OUT/budget.yaml`
budget.json  hours that were asked for, settings before sizing, costs measured, what was given up
===========  ======================================================================================
"""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from sem_train.config import ExperimentConfig
from sem_train.data import real_pictures
from sem_train.experiments.budget import Cost, Costs, Sized, bill, budget_table, parse_budget, size
from sem_train.experiments.cells import is_finished, results_of
from sem_train.experiments.plan import Cell, plan_cells
from sem_train.experiments.speed import measure_costs
from sem_train.provenance import machine
from sem_train.run_folder import RunFolder, difference
from semforge.errors import InputError
from semforge.files import write_text
from semforge.settings import load_settings


def within_budget(config: ExperimentConfig, budget: str, console: Console) -> ExperimentConfig:
    """The most of an experiment that fits into `budget` (`6h`) on this machine; tells what it leaves out.

    The first call measures and decides, later ones with the same budget and settings get the same. Raises InputError
    if nothing fits, and if the budget has changed and trainings that are there would not be a part of the experiment.
    """
    budget_s, kept = parse_budget(budget), _Kept(config.out)
    pictures = real_pictures(config.plan.data.real[0], config.plan.classes)
    asked, before = config.model_dump(mode="json"), kept.read()
    if before is not None and before["asked"] != asked:
        raise InputError(
            f"{kept.notes}: was made of other settings ({difference(before['asked'], asked)}); "
            "give those again, change 'out', or remove the folder"
        )
    known = {kind: Cost(**cost) for kind, cost in before["costs"].items()} if before else {}
    tell = partial(console.print, highlight=False)
    costs = measure_costs(config, plan_cells(config, pictures), pictures, tell, known)
    specimens = {p.name: p.specimen for p in pictures}

    def seconds(candidate: ExperimentConfig) -> float:
        cells = plan_cells(candidate, pictures)
        return sum(item.seconds for item in bill(candidate, cells, costs, specimens))

    if before is not None and before["seconds"] == budget_s:
        sized = Sized(load_settings(kept.settings, ExperimentConfig), before["estimated_s"], tuple(before["undecided"]))
    else:
        sized = size(config, budget_s, seconds)
        _refuse_strays(sized.config, plan_cells(sized.config, pictures), budget, before)
        kept.write(sized, budget, budget_s, asked, costs)
    items = bill(sized.config, plan_cells(sized.config, pictures), costs, specimens)
    console.print(budget_table(sized.config, items, budget_s, sized.undecided))
    return sized.config


class _Kept:
    def __init__(self, out: Path):
        self.settings, self.notes = out / "budget.yaml", out / "budget.json"

    def read(self) -> dict[str, Any] | None:
        """What an earlier call decided."""
        return json.loads(self.notes.read_text(encoding="utf-8")) if self.notes.exists() else None

    def write(self, sized: Sized, budget: str, budget_s: float, asked: dict[str, Any], costs: Costs) -> None:
        """Keep what was decided; the notes, which count, come last."""
        head = [f"# Sized by --budget {budget}: about {sized.seconds / 3600:.2f} hours on the machine that measured it"]
        head += [f"# {line}" for line in sized.undecided]
        settings = yaml.safe_dump(sized.config.model_dump(mode="json"), sort_keys=False)
        write_text(self.settings, "\n".join([*head, settings]))
        notes = {"budget": budget, "seconds": budget_s, "estimated_s": sized.seconds, "undecided": sized.undecided,
                 "costs": {kind: asdict(cost) for kind, cost in costs.items()}, "asked": asked,
                 "machine": machine()}  # fmt: skip
        write_text(self.notes, json.dumps(notes, indent=1) + "\n")


def _refuse_strays(
    config: ExperimentConfig, cells: tuple[Cell, ...], budget: str, before: dict[str, Any] | None
) -> None:
    """Raises InputError if a training or result in the experiment's folder would not be a part of it."""
    advice = f"give --budget {before['budget']} again" if before else "leave --budget out"
    why = f"--budget {budget}: {config.out} holds {{}}; {advice}, change 'out', or remove the folder"
    planned = {cell.name: cell for cell in cells}
    for folder in sorted(path for path in (config.out / "cells").glob("*") if _is_begun(path)):
        if folder.name not in planned:
            raise InputError(why.format(f"{folder.name}, which does not fit"))
        cell = planned[folder.name]
        if is_finished(cell) and {row.image for row in results_of(cell)} != set(cell.test):
            raise InputError(why.format(f"results of {cell.name} on other test images"))
        for training in cell.trainings[-1:]:
            try:
                RunFolder(training.out).state(training)
            except InputError as error:
                raise InputError(why.format(f"trainings of another size ({error})")) from error


def _is_begun(folder: Path) -> bool:
    return (folder / "results.json").exists() or RunFolder(folder / "run").last.exists()
