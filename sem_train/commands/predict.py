"""`sem-train predict`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from semforge.cli import console

if TYPE_CHECKING:
    from sem_train.inference import PredictedFile


def predict(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder that 'fit' wrote.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Micrographs: PNG, TIFF or JPEG.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the label maps and overlays.")],
    pixel_size_um: Annotated[
        float | None, typer.Option(help="Edge of a pixel in µm, where the files do not say it.")
    ] = None,
    accept_scale_bar: Annotated[
        bool, typer.Option("--accept-scale-bar", help="Take the scale off the scale bar where nothing else says it.")
    ] = False,
    label_format: Annotated[
        Literal["png", "tif"], typer.Option(help="Of label maps; tif opens in Fiji and napari in colours and at scale.")
    ] = "png",
) -> None:
    """Segment micrographs: a label map and an overlay for each, without its databar."""
    from sem_train.inference import predict_files

    for picture in predict_files(run_folder, images, out, pixel_size_um, accept_scale_bar, label_format):
        console.print(f"{picture.source} → {picture.label_map}", highlight=False, soft_wrap=True)
        console.print(f"  {_about(picture)}", highlight=False, soft_wrap=True, markup=False)


def _about(picture: "PredictedFile") -> str:
    scale = f"scale ({picture.scale.source}): {picture.scale.note}"
    if picture.databar is None:
        return scale
    rows = f"rows {picture.databar.start} to {picture.databar.stop - 1}"
    return f"{scale}; {rows} are a databar and left out of label map and overlay"
