"""From experiment settings to its outputs: all cells, or some of them, one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.table import Table

from sem_train.config import DataSettings, ExperimentConfig, TrainConfig
from sem_train.data import Picture, gather, real_pictures
from sem_train.experiments.analysis import analyse
from sem_train.experiments.cells import is_finished, results_of, run_cell, train
from sem_train.experiments.made_of import Origins
from sem_train.experiments.outputs import write_outputs
from sem_train.experiments.plan import Cell, numbers_asked, plan_cells
from sem_train.experiments.results import ImageResult
from sem_train.experiments.tables import terminal
from sem_train.micrographs import read_label_map
from sem_train.run_folder import RunFolder
from semforge.errors import InputError
from semforge.tables import plain_table

State = Literal["new", "unfinished", "finished"]


@dataclass(frozen=True)
class Job:
    """What can be run by itself: a cell, or a pretraining that cells share."""

    name: str
    needs: str | None  # the job that must be finished before
    steps: int  # that are its own
    state: State
    cell: Cell | None
    training: TrainConfig | None  # of a pretraining

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {"name": self.name, "needs": self.needs, "steps": self.steps, "state": self.state,
                "kind": "cell" if self.cell else "pretraining"}  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """An experiment whose data was found and whose cells are planned."""

    config: ExperimentConfig
    pictures: tuple[Picture, ...]  # all real images
    cells: tuple[Cell, ...]

    @classmethod
    def of(cls, config: ExperimentConfig) -> "Experiment":
        """Find the real images and plan.

        Raises InputError if they are missing or too few, or if the folder holds cells of other settings or data.
        """
        pictures = tuple(real_pictures(config.plan.data.real[0], config.plan.classes))
        cells = plan_cells(config, pictures)
        Origins(config, pictures).refuse_others(cells)
        return cls(config, pictures, cells)

    def jobs(self) -> list[Job]:
        """All there is to run, a job behind the one that it needs."""
        jobs: dict[str, Job] = {}
        for cell in self.cells:
            before = cell.trainings[0] if len(cell.trainings) > 1 else None
            if before is not None and before.name not in jobs:
                state = RunFolder(before.out).state(before)
                jobs[before.name] = Job(before.name, None, before.training.steps, state, None, before)
            steps = cell.trainings[-1].training.steps if cell.trainings else 0
            jobs[cell.name] = Job(cell.name, before and before.name, steps, _state(cell), cell, None)
        return list(jobs.values())

    def table(self) -> Table:
        """The plan: a row an arm and number of real images."""
        shown = plain_table(self.config.name, "arm", "real images", "cells", "finished", "steps each")
        groups: dict[tuple[str, str], list[Cell]] = {}
        for cell in self.cells:
            groups.setdefault((cell.arm, cell.asked), []).append(cell)
        for (arm, asked), cells in sorted(groups.items(), key=lambda group: list(self.config.arms).index(group[0][0])):
            finished = sum(_state(cell) == "finished" for cell in cells)
            shown.add_row(arm, asked, str(len(cells)), str(finished), str(cells[0].steps) if cells[0].steps else "–")
        jobs = self.jobs()
        left = sum(job.steps for job in jobs if job.state != "finished")
        shown.caption = f"{sum(job.steps for job in jobs)} steps in all, {left} of them in jobs that are not finished"
        return shown

    def run(self, names: Sequence[str] | None, console: Console) -> None:
        """Run the jobs of these names, or all; what an earlier call finished is kept.

        Raises InputError for a name that is none or data that is missing, before anything is trained, and
        KeyboardInterrupt with every finished step kept.
        """
        jobs = self.jobs()
        unknown = set(names or ()) - {job.name for job in jobs}
        if unknown:
            raise InputError(f"{sorted(unknown)[0]!r} is no job of {self.config.name}; see --plan")
        jobs = [job for job in jobs if (names is None or job.name in names) and job.state != "finished"]
        self._check()
        for number, job in enumerate(jobs, start=1):
            console.print(f"{number}/{len(jobs)} {job.name}", highlight=False)
            if job.cell is not None:
                run_cell(self.config, job.cell, self.pictures)
            elif job.training is not None:
                train(job.training)

    def _check(self) -> None:
        """Read all data once, so that a bad file is found before hours of training."""
        checked: list[DataSettings] = []
        for name, arm in self.config.arms.items():
            plan = self.config.plan if arm.baseline else self.config.plan_of(name)
            mixture = 0.5 if plan.data.synthetic else 1.0
            data = plan.data.model_copy(update={"real_fraction": mixture})
            if data not in checked:
                gather(data, plan.classes)
                checked.append(data)

    def results(self) -> list[ImageResult]:
        """All that finished cells have found."""
        return [row for cell in self.cells for row in results_of(cell)]

    def report(self, console: Console) -> None:
        """Print and write the comparison of what is finished. Raises InputError if the reference arm has nothing."""
        config, results = self.config, self.results()
        if not any(row.arm == config.reference for row in results):
            raise InputError(
                f"{config.out}: no cell of {config.reference!r} is finished: there is nothing to compare with"
            )
        analysis = analyse(
            results, config.plan.classes.names, config.reference, [str(n) for n in numbers_asked(config)],
            baselines=[name for name, arm in config.arms.items() if arm.baseline], missing=self._missing(),
        )  # fmt: skip
        console.print(terminal(analysis))
        about = {"config": config.model_dump(mode="json")}
        write_outputs(config.out, config.name, analysis, results, config.plan.classes, about, self.load)
        console.print(f"→ {config.out / 'experiment.html'}", highlight=False, soft_wrap=True)

    def _missing(self) -> list[str]:
        """What is not finished, in words."""
        groups: dict[tuple[str, str], list[bool]] = {}
        for cell in self.cells:
            groups.setdefault((cell.arm, cell.asked), []).append(is_finished(cell))
        return [
            f"{arm} with {asked} real images: {len(done) - sum(done)} of {len(done)} trainings are not finished"
            for (arm, asked), done in groups.items() if not all(done)
        ]  # fmt: skip

    def load(self, result: ImageResult) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Image, true and predicted class ids of a result, each (H, W). Raises InputError if a file is gone."""
        picture = next((p for p in self.pictures if p.name == result.image), None)
        if picture is None:
            raise InputError(f"{result.image}: a cell was tested on it, but it is no image of the experiment any more")
        image, truth = picture.read()
        return image, truth, read_label_map(self.config.out / result.label_map).labels


def _state(cell: Cell) -> State:
    if is_finished(cell):
        return "finished"
    return "unfinished" if cell.trainings and RunFolder(cell.trainings[-1].out).last.exists() else "new"
