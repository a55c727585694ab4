"""What `sem-train compare EXPERIMENT` consists of, as it says itself, and the settings as they were handed in."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import yaml

from render_farm import programs
from semforge.errors import InputError, SemforgeError
from semforge.files import existing_file, write_text
from semforge.settings import parse_yaml


@dataclass(frozen=True)
class ExperimentJob:
    """A cell, or a pretraining that cells share."""

    name: str
    needs: str | None  # the job that must be finished before
    steps: int
    state: str  # new, unfinished or finished
    kind: str  # cell or pretraining

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.state == "finished"


@dataclass(frozen=True)
class Experiment:
    """Settings of an experiment and its jobs, each behind the one it needs."""

    config: Path
    overrides: tuple[str, ...]
    out: Path
    jobs: tuple[ExperimentJob, ...]

    @property
    def queue_name(self) -> str:
        """The name of this experiment's jobs in Slurm's queue; no other's have it."""
        return f"semforge-compare-{sha256(str(self.out.resolve()).encode()).hexdigest()[:10]}"

    def missing(self) -> list[ExperimentJob]:
        """Jobs to be done, pretrainings first and in their order otherwise."""
        return sorted((job for job in self.jobs if not job.finished), key=lambda job: job.kind != "pretraining")

    def hand_in(self, folder: Path) -> Path:
        """The settings as jobs are to read them: edits of the file, or another call, change them for no job."""
        text = existing_file(self.config, "a YAML file").read_text(encoding="utf-8")
        settings = yaml.safe_dump(parse_yaml(text, str(self.config), self.overrides), sort_keys=False)
        path = folder / f"experiment-{sha256(settings.encode()).hexdigest()[:10]}.yaml"
        write_text(path, settings)
        return path

    def again(self) -> "Experiment":
        """The same with the states that its jobs have now."""
        return read_experiment(self.config, self.overrides)

    def report(self) -> None:
        """Have sem-train compare what is finished, here. Raises SemforgeError if it fails; it has said why."""
        words = ("compare", str(self.config), *self.overrides, "--report")
        status = subprocess.run([*programs.SEM_TRAIN, *words], stdin=subprocess.DEVNULL, check=False).returncode
        if status:
            raise SemforgeError(f"{self.out}: all jobs are finished, but the report {programs.how_it_ended(status)}")


def read_experiment(config: Path, overrides: Sequence[str]) -> Experiment:
    """Have sem-train plan an experiment. Raises InputError with its words."""
    said = programs.ask("compare", str(config), *overrides, "--plan", "--json")
    jobs = tuple(ExperimentJob(**job) for job in said["jobs"])
    if not jobs:
        raise InputError(f"{config}: has no jobs, expected a cell at least")
    return Experiment(config, tuple(overrides), Path(said["out"]), jobs)


def failed(experiment: Experiment, reasons: dict[str, str]) -> list[str]:
    """A line for each job that should be finished and is not: its name and why."""
    missing = {job.name: job for job in experiment.missing()}
    lines = []
    for name, job in missing.items():
        waited = f"needs {job.needs}, which is not finished" if job.needs in missing else ""
        lines.append(f"{name}: {waited or reasons.get(name) or 'is not finished, and nothing says why'}")
    return lines
