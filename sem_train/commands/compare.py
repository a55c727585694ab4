"""`sem-train compare`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from sem_train.commands.shared import Overrides
from semforge.cli import console, errors
from semforge.errors import InputError


def compare(
    config: Annotated[Path, typer.Argument(help="Experiment settings, YAML.")],
    overrides: Overrides = None,
    plan: Annotated[bool, typer.Option("--plan", help="List the jobs and their state; run none of them.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --plan: for machines.")] = False,
    job: Annotated[
        list[str] | None, typer.Option(help="Run this job of the plan alone, without a report; may be repeated.")
    ] = None,
    report: Annotated[bool, typer.Option("--report", help="Report what is finished; train nothing.")] = False,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Thin it to what this machine can do in so long: 90m, 6h, 2d. The first time, also with --plan, "
            "a few steps of each kind of training are measured; what fits is kept in OUT/budget.yaml."
        ),
    ] = None,
) -> None:
    """Does synthetic data help? Train arms alike, test them on unseen specimens, say what is certain."""
    _refuse_useless(plan, as_json, job, report, budget)
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
            for each in experiment.jobs():
                console.print(f"{each.state:<10}  {each.name}", highlight=False, soft_wrap=True)
        return
    if not report:
        experiment.run(job or None, console)
    if not job:
        experiment.report(console)


def _refuse_useless(plan: bool, as_json: bool, job: list[str] | None, report: bool, budget: str | None) -> None:
    """Raises InputError for options of which one would silently do nothing beside the others."""
    if as_json and not plan:
        raise InputError("--json is of --plan; results for machines are in OUT/results.json")
    if job and (plan or report):
        raise InputError(f"--job runs a job, {'--plan' if plan else '--report'} runs none; give one of them")
    if plan and report:
        raise InputError("--plan lists jobs, --report reports those that are finished; give one of them")
    if report and budget is not None:
        raise InputError("--report runs nothing, --budget measures; say sem-train compare OUT/budget.yaml --report")
