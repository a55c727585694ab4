"""`sem-train`: train on synthetic and real micrographs, predict, compare, evaluate, measure."""

from pathlib import Path
from typing import Annotated

import typer

from semforge.cli import application, console, run

app = application("Train segmentation models on synthetic and real micrographs, and measure what they see.")

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings to change, e.g. training.steps=200.")
]


@app.command(epilog="Example: sem-train fit configs/train/slurry_unet.yaml training.steps=200 out=runs/try")
def fit(config: Annotated[Path, typer.Argument(help="Training settings, YAML.")], overrides: Overrides = None) -> None:
    """Train a model; the same command again continues an interrupted run."""
    from semforge.settings import load_settings
    from sem_train.config import TrainConfig
    from sem_train.training import fit as train

    result = train(load_settings(config, TrainConfig, overrides or ()))
    console.print(result.summary(), highlight=False)


@app.command(epilog="Example: sem-train predict runs/slurry_unet micrographs/*.tif --out predictions")
def predict(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder that 'fit' wrote.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Micrographs: PNG, TIFF or JPEG.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the label maps and overlays.")],
) -> None:
    """Segment micrographs: a label map and an overlay for each."""
    from sem_train.inference import predict_files

    for picture in predict_files(run_folder, images, out):
        console.print(f"{picture.source} → {picture.label_map}", highlight=False, soft_wrap=True)


@app.command(epilog="Example: sem-train compare configs/experiments/ebc.yaml seeds=[0]")
def compare(
    config: Annotated[Path, typer.Argument(help="Experiment settings, YAML.")], overrides: Overrides = None
) -> None:
    """Train on real images alone and with synthetic ones, equal steps, and test both on unseen specimens."""
    from semforge.settings import load_settings
    from sem_train.config import ExperimentConfig
    from sem_train.experiment import run_experiment

    run_experiment(load_settings(config, ExperimentConfig, overrides or ()), console)


def main() -> None:
    """Entry point of `sem-train`."""
    run(app, "sem-train")


if __name__ == "__main__":
    main()
