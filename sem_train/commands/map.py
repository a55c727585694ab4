"""`sem-train map`: phases by their X-ray spectra, pixel by pixel or point by point."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sem_train.commands.shared import Overrides
from semforge.cli import console, errors
from semforge.errors import InputError

group = typer.Typer(help="Name phases by their X-ray spectra: maps of spectrum images, and point spectra.",
                    no_args_is_help=True)  # fmt: skip
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder that 'map fit' wrote.")]


Only = Annotated[list[str] | None, typer.Option("--only", help="A class that can be there; left out: all of them.")]


@group.command(epilog="Example: sem-train map fit configs/map/minerals.yaml training.seed=1 out=runs/minerals_1")
def fit(
    config: Annotated[Path, typer.Argument(help="Settings, YAML.")],
    overrides: Overrides = None,
    check: Annotated[bool, typer.Option("--check", help="Check settings and folder, print them as JSON.")] = False,
) -> None:
    """Train a network on spectra of known phases; the same command again continues an interrupted run."""
    from sem_train.spectra.settings import MapConfig
    from semforge.settings import load_settings

    settings = load_settings(config, MapConfig, overrides or ())
    if check:
        from sem_train.run_folder import RunFolder

        state = RunFolder(settings.out).state(settings)
        print(json.dumps({"out": str(settings.out), "state": state, "config": settings.model_dump(mode="json")}))
        return
    from sem_train.spectra.model import load_model
    from sem_train.spectra.training import fit as train

    result = train(settings)
    note = load_model(settings.out).score_note
    for line in (result.summary(), *([f"  {note}"] if note else [])):
        console.print(line, highlight=False, soft_wrap=True)


@group.command(epilog="Example: sem-train map evaluate runs/minerals --data data/mineral_section --method network "
                      "--method sam --method bff --method nnls --out scores")  # fmt: skip
def evaluate(
    run_folder: Run,
    out: Annotated[Path, typer.Option("--out", help="Folder for tables, figure and page.")],
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="Sample file or spectrum image with labels, or folder of point spectra by class; "
                                    "left out: held-out draws."),
    ] = None,
    method: Annotated[list[str] | None, typer.Option(help="Left out: all but likelihood.")] = None,
    counts: Annotated[
        list[str] | None, typer.Option(help="Counts a pixel to thin to, e.g. 20,200,2000; left out: as it is.")
    ] = None,
    binning: Annotated[list[int] | None, typer.Option(help="Squares of so many pixels; left out: 1.", min=1)] = None,
    samples: Annotated[int | None, typer.Option(help="Of a sample file, so many from its end.", min=1)] = None,
    beside: Annotated[bool, typer.Option("--scikit-learn", help="Also methods of scikit-learn.")] = False,
    only: Only = None,
) -> None:  # fmt: skip
    """Score the network and the classical methods against the truth."""
    from sem_train.spectra.evaluating import evaluate as run_evaluation

    told = lambda line: console.print(line, highlight=False, soft_wrap=True, markup=False)
    run_evaluation(run_folder, out, tuple(data or ()), tuple(method or ()), _numbers(counts or ()),
                   tuple(binning or (1,)), samples, beside, tuple(only or ()), told)  # fmt: skip


def _numbers(given: Sequence[str]) -> tuple[float, ...]:
    """Of an option that takes several, parted by commas, and may be given several times."""
    words = [word.strip() for text in given for word in text.split(",") if word.strip()]
    for word in words:
        if not word.replace(".", "", 1).isdigit() or not float(word):
            raise InputError(f"--counts: {word!r} is no number of counts, expected e.g. 20,200,2000")
    return tuple(map(float, words))


@group.command(epilog="Example: sem-train map predict runs/minerals scan.hspy --micrograph scan.tif --out maps")
def predict(
    run_folder: Run,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Spectrum images, or point spectra (EMSA).")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder for maps, tables and page.")] = None,
    method: Annotated[str, typer.Option(help="network, sam, bff, nnls or likelihood.")] = "network",
    binning: Annotated[int, typer.Option(help="Name squares of so many pixels together.", min=1)] = 1,
    sample: Annotated[int, typer.Option(help="Which sample of a sample file.", min=0)] = 0,
    micrograph: Annotated[Path | None, typer.Option(help="Picture of the same field, to lie under the map.")] = None,
    shares: Annotated[bool, typer.Option(help="Write each pixel's shares of the phases.")] = True,
    only: Only = None,
) -> None:
    """Map the phases of spectrum images, or name point spectra."""
    from sem_train.spectra.predicting import is_point, predict_images, predict_points

    points = [path for path in files if is_point(path)]
    if points and len(points) < len(files):
        other = next(path for path in files if path not in points)
        raise InputError(f"{other}: is a spectrum image, {points[0]} a single spectrum; give one kind at a time")
    if points:
        if method != "network":
            raise InputError(f"method {method} maps spectrum images, expected network for single spectra")
        for line in predict_points(run_folder, points, out, tuple(only or ())):
            console.print(line, highlight=False, soft_wrap=True, markup=False)
        return
    if out is None:
        raise InputError("maps need a folder to be written to, expected --out")
    told = None if not errors.is_terminal else lambda share: errors.print(f"\r{share:4.0%}", end="")
    for line in predict_images(run_folder, files, out, method, binning, sample, micrograph, tuple(only or ()), told,
                               shares):  # fmt: skip
        console.print(line, highlight=False, soft_wrap=True, markup=False)
