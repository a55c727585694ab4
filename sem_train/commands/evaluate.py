"""`sem-train evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from semforge.cli import console


def evaluate(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder that 'fit' wrote.")],
    data: Annotated[
        Path, typer.Option(help="dataset.h5, its folder, a folder with images and masks, or YAML about real data.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print all numbers as JSON.")] = False,
    report: Annotated[Path | None, typer.Option(help="HTML page to write, complete in itself.")] = None,
    include_trained: Annotated[
        bool, typer.Option("--include-trained", help="Also use images that the run was trained on.")
    ] = False,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Write RUN/segmentation_error.json: what the model gets wrong in each quantity, for the uncertainties "
            "of what is measured with it. Needs synthetic images that the run was not trained on.",
        ),
    ] = False,
) -> None:
    """Test a run on labelled images: overlap of classes, and measured thickness and porosity against the truth."""
    from sem_train.evaluation import evaluate as test
    from sem_train.measure.tables.rows import refuse_bad_target
    from sem_train.measure.uncertainty import write_segmentation_error
    from sem_train.report import write_report
    from sem_train.summary import summary

    if report is not None:
        refuse_bad_target(report, ".html")
    result = test(run_folder, data, include_trained, examples=4 if report is not None else 0, calibrate=calibrate)
    written = None
    if result.calibration is not None:
        folder = run_folder if run_folder.is_dir() else run_folder.parent
        written = write_segmentation_error(folder, result.calibration)
    if report is not None:
        write_report(report, result)
    if as_json:
        print(result.to_json())
    else:
        console.print(summary(result))
        if report is not None:
            console.print(f"→ {report}", highlight=False, soft_wrap=True)
        if written is not None:
            console.print(f"→ {written}", highlight=False, soft_wrap=True)
