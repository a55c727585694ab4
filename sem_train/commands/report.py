"""`sem-train report`."""

from pathlib import Path
from typing import Annotated

import typer

from semforge.cli import console


def report(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder that 'analyse' wrote.")],
    out: Annotated[Path, typer.Option("--out", help="HTML page to write, complete in itself.")],
    title: Annotated[str, typer.Option(help="Heading of the page. Left out: the specimen, or how many.")] = "",
    specimen: Annotated[
        list[str] | None, typer.Option(help="Only this specimen; can be given several times. Left out: all.")
    ] = None,
) -> None:
    """Make one page of analysed micrographs: pictures, results with uncertainty, warnings first."""
    from sem_train.certificate.page import write_certificate
    from sem_train.measure.tables.rows import refuse_bad_target

    refuse_bad_target(out, ".html")
    images = write_certificate(out, folder, title, specimen or ())
    size = out.stat().st_size / 1e6
    console.print(f"{images} images, {size:.1f} MB → {out}", highlight=False, soft_wrap=True)
