"""`sem-train compare`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from sem_train.commands.shared import Overrides
from semforge.cli import console, errors


def compare(
    config: Annotated[Path, typer.Argument(help="Experiment settings, YAML.")],
    overrides: Overrides = None,
    plan: Annotated[bool, typer.Option("--plan", help="List the jobs and their state; train nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --plan: for machines.")] = False,
    job: Annotated[
        list[str] | None, typer.Option(help="Run this job of the plan alone, without a report; may be repeated.")
    ] = None,
    report: Annotated[bool, typer.Option("--report", help="Report what is finished; train nothing.")] = False,
    budget: Annotated[
        str | None, typer.Option(help="Thin it to what this machine can do in so long: 90m, 6h, 2d.")
    ] = None,
) -> None:
    """Does synthetic data help? Train arms alike, test them on unseen specimens, say what is certain."""
    from sem_train.config import ExperimentConfig
    from sem_train.experiments.runner import Experiment
    from semforge.settings import load_settings

    settings = load_settings(config, ExperimentConfig, overrides or ())
    if budget is not None:
        from sem_train.experiments.sized import within_budget

        settings = within_budget(settings, budget, errors if as_json else console)
    experiment = Experiment.of(settings)
    if plan:
        if as_json:
            print(json.dumps({"out": str(experiment.config.out), "jobs": [j.as_dict() for j in experiment.jobs()]}))
        else:
            console.print(experiment.table())
        return
    if not report:
        experiment.run(job or None, console)
    if not job:
        experiment.report(console)
