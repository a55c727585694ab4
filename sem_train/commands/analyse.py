"""`sem-train analyse`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from semforge.cli import EXIT_FAILED, console, errors


def analyse(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Micrographs, or folders of them.")],
    model: Annotated[Path, typer.Option("--model", help="Run folder that 'fit' wrote.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.")],
    specimens: Annotated[Path | None, typer.Option(help="CSV with name and specimen of each image.")] = None,
    specimen: Annotated[str | None, typer.Option(help="All images are fields of this one.")] = None,
    pixel_size_um: Annotated[float | None, typer.Option(help="Edge of a pixel in µm, where files do not say.")] = None,
    accept_scale_bar: Annotated[
        bool, typer.Option("--accept-scale-bar", help="Take the pixel size off the scale bar where nothing else says.")
    ] = False,
    section_tilt_deg: Annotated[float, typer.Option(help="How far the section is from square to the layer.")] = 0.0,
    calibration_percent: Annotated[
        float | None, typer.Option(help="Standard uncertainty of the microscope's scale.")
    ] = None,
    roughness_cutoff: Annotated[
        float | None,
        typer.Option(help="Wavelength that parts roughness from waviness, in µm, or else pixels; [mean thickness]."),
    ] = None,
    lines: Annotated[int, typer.Option(help="Measurement lines a layer for Fiji; 0 writes none.", min=0)] = 10,
    workers: Annotated[int, typer.Option(help="Processes that measure while the next is predicted.", min=0)] = 0,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write OUT/report.html.")] = True,
) -> None:
    """Micrographs in, measured specimens out: label maps, tables, Fiji lines and a report; goes on if interrupted."""
    from sem_train.analysis.inputs import jobs_of
    from sem_train.analysis.options import AnalysisOptions
    from sem_train.analysis.outputs import write_folder
    from sem_train.analysis.progress import progress_of
    from sem_train.analysis.runner import analyse_images
    from sem_train.measure.uncertainty import read_segmentation_error
    from semforge.settings import validate

    jobs = jobs_of(images, specimens, specimen)
    options = validate(
        {
            "pixel_size_um": pixel_size_um,
            "accept_scale_bar": accept_scale_bar,
            "section_tilt_deg": section_tilt_deg,
            "calibration_percent": calibration_percent,
            "roughness_cutoff": roughness_cutoff,
            "lines": lines,
        },
        AnalysisOptions,
        "options",
    )
    with progress_of(errors, len(jobs)) as told:
        outcomes = analyse_images(jobs, model, out, options, workers, told)
    folder = write_folder(
        out, outcomes, options, read_segmentation_error(model), shlex.join(["sem-train", *sys.argv[1:]])
    )
    if report and folder.images:
        from sem_train.certificate.page import write_certificate

        write_certificate(out / "report.html", out)
    for failure in folder.failures:
        errors.print(f"sem-train: {failure.source}: {failure.reason}", markup=False)
    done, bad = len(folder.images), len(folder.failures)
    console.print(f"{done} of {done + bad} images → {out}", highlight=False, soft_wrap=True)
    if bad:
        raise typer.Exit(EXIT_FAILED)
