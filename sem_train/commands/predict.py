"""`sem-train predict`."""

from pathlib import Path
from typing import Annotated

import typer

from semforge.cli import console


def predict(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder that 'fit' wrote.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Micrographs: PNG, TIFF or JPEG.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the label maps and overlays.")],
) -> None:
    """Segment micrographs: a label map and an overlay for each."""
    from sem_train.inference import predict_files

    for picture in predict_files(run_folder, images, out):
        console.print(f"{picture.source} → {picture.label_map}", highlight=False, soft_wrap=True)
