"""`sem-train classify`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from sem_train.commands.shared import Overrides
from semforge.cli import application, console

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
