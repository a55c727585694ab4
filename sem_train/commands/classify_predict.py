"""`sem-train classify predict`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from semforge.cli import EXIT_FAILED, console, errors


def predict(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder that 'classify fit' wrote.")],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Micrographs, folders, or semforge's samples (.h5).")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for tables, shares and page.")],
    segmenter: Annotated[
        Path | None, typer.Option(help="Run folder that 'fit' wrote, with a class of role particle.")
    ] = None,
    instances: Annotated[
        Path | None, typer.Option(help="Map of one number a particle, or folder of them (NAME or NAME_instances).")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Map of class ids, or folder of them (NAME or NAME_labels).")
    ] = None,
    threshold: Annotated[
        Literal["bright", "dark"] | None, typer.Option(help="Particles are what is brighter or darker than the rest.")
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Each picture is of one particle.")] = False,
    spectra: Annotated[
        Path | None, typer.Option(help="CSV with image, file (EMSA), and instance, or x and y in pixels.")
    ] = None,
    spectrum_images: Annotated[
        Path | None, typer.Option(help="Spectrum image of the same field, or folder of them (NAME or NAME_edx).")
    ] = None,
    samples: Annotated[Path | None, typer.Option(help="CSV with name and specimen of each image.")] = None,
    sample: Annotated[str | None, typer.Option(help="All images are fields of this one.")] = None,
    confusion: Annotated[
        Path | None, typer.Option(help="CSV: how often a class (row) got each name; [RUN/evaluation/confusion.csv].")
    ] = None,
    pixel_size_um: Annotated[float | None, typer.Option(help="Edge of a pixel in µm, where files do not say.")] = None,
    accept_scale_bar: Annotated[
        bool, typer.Option("--accept-scale-bar", help="Take the scale off the scale bar where nothing else says it.")
    ] = False,
    explain: Annotated[
        int, typer.Option(help="Show what decided of so many particles a micrograph, the least sure first.", min=0)
    ] = 0,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write OUT/report.html.")] = True,
) -> None:
    """Classify the particles of micrographs: a table of them, and the class shares of each sample with intervals."""
    from sem_train.analysis.record import Failure
    from sem_train.classification.predicting import predict_particles
    from sem_train.classification.prediction import FieldOutcome, PredictOptions
    from semforge.settings import validate

    options = validate(
        {
            "segmenter": segmenter, "instances": instances, "labels": labels, "threshold": threshold, "whole": whole,
            "spectra": spectra, "spectrum_images": spectrum_images, "pixel_size_um": pixel_size_um,
            "accept_scale_bar": accept_scale_bar, "explain": explain,
        }, PredictOptions, "options",
    )  # fmt: skip

    def told(outcome: FieldOutcome) -> None:
        if isinstance(outcome.result, Failure):
            errors.print(f"sem-train: {outcome.result.source}: {outcome.result.reason}", markup=False)
            return
        named = sum(bool(p.name) for p in outcome.result.particles)
        kept = ", from an earlier call" if outcome.was_there else ""
        console.print(f"{outcome.job.name}: {named} of {len(outcome.result.particles)} particles named{kept}",
                      highlight=False, soft_wrap=True, markup=False)  # fmt: skip
        for problem in outcome.result.problems:
            errors.print(f"sem-train: {problem}", markup=False)

    command = shlex.join(["sem-train", *sys.argv[1:]])
    batch = predict_particles(run_folder, images, out, options, samples, sample, confusion, command, told)
    if report and batch.images:
        from sem_train.classification.particle_page import write_particle_page

        write_particle_page(out / "report.html", out)
    for warning in batch.warnings:
        errors.print(f"sem-train: {warning}", markup=False)
    done, bad = len(batch.images), len(batch.failures)
    console.print(f"{done} of {done + bad} images → {out}", highlight=False, soft_wrap=True)
    if bad or batch.problems:
        raise typer.Exit(EXIT_FAILED)
