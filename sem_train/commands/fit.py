"""`sem-train fit`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from sem_train.commands.shared import Overrides
from semforge.cli import console


def fit(
    config: Annotated[Path, typer.Argument(help="Training settings, YAML.")],
    overrides: Overrides = None,
    check: Annotated[bool, typer.Option("--check", help="Check settings and folder, print them as JSON.")] = False,
) -> None:
    """Train a model; the same command again continues an interrupted run."""
    from sem_train.config import TrainConfig
    from semforge.settings import load_settings

    settings = load_settings(config, TrainConfig, overrides or ())
    if check:
        from sem_train.run_folder import RunFolder

        state = RunFolder(settings.out).state(settings)
        print(json.dumps({"out": str(settings.out), "state": state, "config": settings.model_dump(mode="json")}))
        return
    from sem_train.distributed import is_first
    from sem_train.training import fit as train

    result = train(settings)
    if is_first():
        console.print(result.summary(), highlight=False, soft_wrap=True)
