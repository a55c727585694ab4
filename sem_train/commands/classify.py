"""`sem-train classify`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from sem_train.commands.shared import Overrides
from semforge.cli import application, console
from semforge.errors import InputError

classify = application("Name particles by their picture, by their spectrum, or by both.")


@classify.command(epilog="Example: sem-train classify fit configs/classify/urban_dust.yaml model.name=image")
def fit(
    config: Annotated[Path, typer.Argument(help="Settings of the training, YAML.")],
    overrides: Overrides = None,
    check: Annotated[bool, typer.Option("--check", help="Check settings and folder, print them as JSON.")] = False,
) -> None:
    """Train a classifier; the same command again continues an interrupted run."""
    from sem_train.classification.config import ClassifyConfig
    from semforge.settings import load_settings

    settings = load_settings(config, ClassifyConfig, overrides or ())
    if check:
        from sem_train.run_folder import RunFolder

        state = RunFolder(settings.out).state(settings)
        print(json.dumps({"out": str(settings.out), "state": state, "config": settings.model_dump(mode="json")}))
        return
    from sem_train.classification.training import fit_classifier

    console.print(fit_classifier(settings).summary(), highlight=False, soft_wrap=True)


@classify.command(epilog="Example: sem-train classify evaluate runs/classify_urban_dust --counts 100,300,1000")
def evaluate(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder that 'classify fit' wrote.")],
    data: Annotated[
        Path | None,
        typer.Option(help="dataset.h5, its folder, or YAML with 'synthetic' and 'real' as in settings. Left out: what "
                     "the run's settings exclude."),
    ] = None,
    counts: Annotated[
        str, typer.Option(help="Thin spectra to these numbers of counts too, e.g. 100,300,1000.")
    ] = "",
    unknown: Annotated[
        str, typer.Option(help="Populations or labels of no class that should be rejected, separated by commas.")
    ] = "",
    out: Annotated[Path | None, typer.Option(help="Folder to write. Left out: RUN/evaluation.")] = None,
    include_seen: Annotated[
        bool, typer.Option("--include-seen", help="Also use what the run was trained or calibrated on.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all numbers as JSON.")] = False,
) -> None:  # fmt: skip
    """Test a classifier on labelled particles: accuracy, recall a class, calibration, what it rejects."""
    from sem_train.classification.evaluation import evaluate_classifier
    from sem_train.classification.outputs import as_json as in_json
    from sem_train.classification.outputs import summary, write_evaluation

    result = evaluate_classifier(run_folder, data, _numbers(counts), _words(unknown), include_seen)
    folder = out or (run_folder if run_folder.is_dir() else run_folder.parent) / "evaluation"
    write_evaluation(folder, result)
    if as_json:
        print(in_json(result))
    else:
        console.print(summary(result))
        console.print(f"→ {folder}", highlight=False, soft_wrap=True)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _numbers(text: str) -> tuple[int, ...]:
    words = _words(text)
    for word in words:
        if not word.isdigit() or int(word) == 0:
            raise InputError(f"--counts {text}: {word!r} is no number of counts, expected e.g. 100,300,1000")
    return tuple(int(word) for word in words)


@classify.command(epilog="Example: sem-train classify compare configs/classify/urban_dust_few.yaml seeds=[0,1,2]")
def compare(
    config: Annotated[Path, typer.Argument(help="Experiment settings, YAML.")],
    overrides: Overrides = None,
    plan: Annotated[bool, typer.Option("--plan", help="List the trainings and whether they are done.")] = False,
    report: Annotated[bool, typer.Option("--report", help="Report what is finished; train nothing.")] = False,
) -> None:
    """Train arms alike, test them on the same particles, compare them specimen by specimen."""
    from sem_train.classification.comparison import compared, comparison_table, run_comparison, write_comparison
    from sem_train.classification.experiment import ClassifyExperiment, plan_classify_cells
    from semforge.settings import load_settings

    settings = load_settings(config, ClassifyExperiment, overrides or ())
    if plan:
        for cell in plan_classify_cells(settings):
            state = "finished" if cell.result.exists() else "to do"
            console.print(f"{cell.name}: {len(cell.trainings)} trainings, {state}", highlight=False)
        return
    if not report:
        run_comparison(settings, console)
    results = compared(settings)
    console.print(comparison_table(settings, results))
    write_comparison(settings, results)
    console.print(f"→ {settings.out / 'comparison.csv'}", highlight=False, soft_wrap=True)
