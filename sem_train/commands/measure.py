"""`sem-train measure`."""

from pathlib import Path
from typing import Annotated

import typer

from semforge.cli import console


def measure(
    label_maps: Annotated[list[Path], typer.Argument(metavar="LABELMAP...", help="Images of class ids: PNG or TIFF.")],
    out: Annotated[Path, typer.Option("--out", help="Table to write, CSV with one quantity a row.")],
    pixel_size_um: Annotated[
        float | None, typer.Option(help="Edge of a pixel in µm. Left out: what the file says, or else pixels.")
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(help="YAML with a 'classes' list, for label maps that do not carry theirs.")
    ] = None,
) -> None:
    """Measure layer thickness, porosity, particle sizes and cracks in label maps."""
    from sem_train.measure.files import measure_files
    from sem_train.measure.table import refuse_bad_target, rows_of, terminal_tables, write_table

    refuse_bad_target(out, ".csv")
    results = measure_files(label_maps, pixel_size_um, classes)
    write_table(out, [row for image, field in results.items() for row in rows_of(image, field)])
    console.print(terminal_tables(results))
    console.print(f"→ {out}", highlight=False, soft_wrap=True)
