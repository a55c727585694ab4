"""`sem-train gap`."""

from pathlib import Path
from typing import Annotated

import typer

from semforge.cli import console


def gap(
    real: Annotated[Path, typer.Argument(metavar="REAL", help="Folder of real images, or a glob pattern.")],
    synthetic: Annotated[Path, typer.Argument(metavar="SYNTHETIC", help="dataset.h5, its folder, or images.")],
    scale: Annotated[float, typer.Option(help="Size that real images are brought to, 1 is as they are.")] = 1.0,
    crop_px: Annotated[int, typer.Option(help="Edge of the crops that are compared.")] = 128,
    crops: Annotated[int, typer.Option(help="Crops of each set, at least one an image.")] = 512,
    group: Annotated[
        Path | None, typer.Option(help="CSV with name and specimen of the real images. Left out: REAL/index.csv.")
    ] = None,
    max_images: Annotated[int, typer.Option(help="Images of each set to use, drawn by the seed.")] = 400,
    seed: Annotated[int, typer.Option(help="Draws crops, folds and halves.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print all numbers as JSON.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="List what tells the sets apart.")] = False,
    pictures: Annotated[Path | None, typer.Option(help="Sheet of the most telling crops to write, PNG.")] = None,
) -> None:
    """How far synthetic images are from real ones: grey levels, spectra, and a classifier told to tell them apart."""
    from sem_train.gap import GapSettings, measure_gap, read_image_set
    from sem_train.gap.summary import refuse_bad_sheet, summary, write_sheet

    if pictures is not None:
        refuse_bad_sheet(pictures)
    result = measure_gap(
        read_image_set(real, scale, max_images, seed, group),
        read_image_set(synthetic, max_images=max_images, seed=seed),
        GapSettings(crop_px, crops, seed),
    )
    if pictures is not None:
        write_sheet(pictures, result)
    if as_json:
        print(result.to_json())
    else:
        console.print(summary(result, explain))
        if pictures is not None:
            console.print(f"→ {pictures}", highlight=False, soft_wrap=True)
