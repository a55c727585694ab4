"""`sem-train measure`."""

from pathlib import Path
from typing import Annotated

import typer

from semforge.cli import EXIT_FAILED, console, errors


def measure(
    label_maps: Annotated[list[Path], typer.Argument(metavar="LABELMAP...", help="Images of class ids: PNG or TIFF.")],
    out: Annotated[Path | None, typer.Option("--out", help="Table to write, CSV with one quantity a row.")] = None,
    pixel_size_um: Annotated[
        float | None, typer.Option(help="Edge of a pixel in µm. Left out: what the file says, or else pixels.")
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(help="YAML with a 'classes' list, for label maps that do not carry theirs.")
    ] = None,
    instances: Annotated[
        bool, typer.Option("--instances", help="The images are of particles: 0 beside them, one number a particle.")
    ] = False,
    section_tilt_deg: Annotated[
        float, typer.Option(help="Angle between the section and a right section of the layers, in degrees.")
    ] = 0.0,
    roughness_cutoff: Annotated[
        float | None,
        typer.Option(help="Wavelength that parts roughness from waviness, in µm, or else pixels; [mean thickness]."),
    ] = None,
    calibration_percent: Annotated[
        float | None, typer.Option(help="Standard uncertainty of the pixel size; left out: by where it is from.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Run folder that predicted the label maps: its calibrated error counts.")
    ] = None,
    summary: Annotated[Path | None, typer.Option(help="Table to write, CSV with one image a row.")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="JSON to write, all there is; - for stdout.")] = None,
    objects: Annotated[
        Path | None, typer.Option(help="Table to write, CSV with one pore, precipitate, crack or particle a row.")
    ] = None,
    lines: Annotated[
        int | None, typer.Option(min=1, max=200, help="Evenly spaced lines across each layer; 10 if --rois is given.")
    ] = None,
    rois: Annotated[
        Path | None, typer.Option(help="ZIP to write with these lines and outlines of the layers, for Fiji; or folder.")
    ] = None,
    from_rois: Annotated[
        Path | None, typer.Option(help="ZIP with lines and outlines corrected in Fiji; or folder of them.")
    ] = None,
    to_labels: Annotated[
        Path | None, typer.Option(help="Label map to write of the corrected outlines, TIFF or PNG; or folder.")
    ] = None,
) -> None:
    """Measure layer thickness, porosity, particle sizes and cracks in label maps."""
    from sem_train.fiji.files import FijiOptions
    from sem_train.measure.outputs import Circumstances, Outputs, measure_to

    outputs = Outputs(table=out, summary=summary, json=json, objects=objects)
    fiji = FijiOptions(lines, rois, from_rois, to_labels)
    known = Circumstances(
        pixel_size_um, classes, section_tilt_deg, calibration_percent, model, instances, roughness_cutoff
    )
    done = measure_to(label_maps, outputs, fiji, known, errors)
    shown = errors if outputs.json_to_stdout else console
    for part in done.to_show:
        shown.print(part, highlight=False, soft_wrap=True)
    if outputs.json_to_stdout:
        print(done.json_text)
    for reason in done.failed.values():
        errors.print(f"sem-train: {reason}", markup=False)
    if done.failed:
        errors.print(
            f"sem-train: {len(done.failed)} of {len(label_maps)} label maps could not be measured", markup=False
        )
        raise typer.Exit(EXIT_FAILED)
