"""`sem-train`: train on synthetic and real micrographs, predict, compare, evaluate, measure."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from semforge.cli import application, console, errors, run

app = application("Train segmentation models on synthetic and real micrographs, and measure what they see.")

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings to change, e.g. training.steps=200.")
]


@app.command(epilog="Example: sem-train fit configs/train/slurry_unet.yaml training.steps=200 out=runs/try")
def fit(
    config: Annotated[Path, typer.Argument(help="Training settings, YAML.")],
    overrides: Overrides = None,
    check: Annotated[bool, typer.Option("--check", help="Check settings and folder, print them as JSON.")] = False,
) -> None:
    """Train a model; the same command again continues an interrupted run."""
    from sem_train.config import TrainConfig
    from semforge.settings import load_settings

    settings = load_settings(config, TrainConfig, overrides or ())
    if check:
        from sem_train.run_folder import RunFolder

        state = RunFolder(settings.out).state(settings)
        print(json.dumps({"out": str(settings.out), "state": state, "config": settings.model_dump(mode="json")}))
        return
    from sem_train.distributed import is_first
    from sem_train.training import fit as train

    result = train(settings)
    if is_first():
        console.print(result.summary(), highlight=False, soft_wrap=True)


@app.command(epilog="Example: sem-train predict runs/slurry_unet micrographs/*.tif --out predictions")
def predict(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder that 'fit' wrote.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Micrographs: PNG, TIFF or JPEG.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the label maps and overlays.")],
) -> None:
    """Segment micrographs: a label map and an overlay for each."""
    from sem_train.inference import predict_files

    for picture in predict_files(run_folder, images, out):
        console.print(f"{picture.source} → {picture.label_map}", highlight=False, soft_wrap=True)


@app.command(epilog="Example: sem-train compare configs/experiments/ebc.yaml real_images=[1,all] seeds=[0,1,2]")
def compare(
    config: Annotated[Path, typer.Argument(help="Experiment settings, YAML.")],
    overrides: Overrides = None,
    plan: Annotated[bool, typer.Option("--plan", help="List the jobs and their state; train nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --plan: for machines.")] = False,
    job: Annotated[
        list[str] | None, typer.Option(help="Run this job of the plan alone, without a report; may be repeated.")
    ] = None,
    report: Annotated[bool, typer.Option("--report", help="Report what is finished; train nothing.")] = False,
    budget: Annotated[
        str | None, typer.Option(help="Thin it to what this machine can do in so long: 90m, 6h, 2d.")
    ] = None,
) -> None:
    """Does synthetic data help? Train arms alike, test them on unseen specimens, say what is certain."""
    from sem_train.config import ExperimentConfig
    from sem_train.experiments.runner import Experiment
    from semforge.settings import load_settings

    settings = load_settings(config, ExperimentConfig, overrides or ())
    if budget is not None:
        from sem_train.experiments.sized import within_budget

        settings = within_budget(settings, budget, errors if as_json else console)
    experiment = Experiment.of(settings)
    if plan:
        if as_json:
            print(json.dumps({"out": str(experiment.config.out), "jobs": [j.as_dict() for j in experiment.jobs()]}))
        else:
            console.print(experiment.table())
        return
    if not report:
        experiment.run(job or None, console)
    if not job:
        experiment.report(console)


@app.command(epilog="Example: sem-train evaluate runs/slurry_unet --data data/slurry --report report.html")
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
) -> None:
    """Test a run on labelled images: overlap of classes, and measured thickness and porosity against the truth."""
    from sem_train.evaluation import evaluate as test
    from sem_train.measure.table import refuse_bad_target
    from sem_train.report import write_report
    from sem_train.summary import summary

    if report is not None:
        refuse_bad_target(report, ".html")
    result = test(run_folder, data, include_trained, examples=4 if report is not None else 0)
    if report is not None:
        write_report(report, result)
    if as_json:
        print(result.to_json())
    else:
        console.print(summary(result))
        if report is not None:
            console.print(f"→ {report}", highlight=False, soft_wrap=True)


@app.command(epilog="Example: sem-train measure predictions/*_labels.png --pixel-size-um 0.12 --out table.csv")
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


@app.command(epilog="Example: sem-train gap nasa_ebc data/ebc --scale 0.5 --explain --pictures gap.png")
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


@app.command(epilog="Example: sem-train bench --model unet --model segformer --settings default,channels_last,bf16,all")
def bench(
    model: Annotated[list[str] | None, typer.Option(help="unet, fno ...; may be repeated. Left out: unet.")] = None,
    config: Annotated[Path | None, typer.Option(help="Training settings, for model, loss and optimiser.")] = None,
    batch: Annotated[int | None, typer.Option(help="Crops a step. Left out: 8, or as CONFIG has it.", min=1)] = None,
    crop: Annotated[int | None, typer.Option(help="Edge of a crop in px. Left out: 256, or as CONFIG.", min=32)] = None,
    settings: Annotated[
        str, typer.Option(help="Some of library, default, threads, channels_last, bf16, fp16, flush, all.")
    ] = "library,default,all",
    steps: Annotated[int, typer.Option(help="Timed steps of a training.", min=1)] = 12,
    warm_up: Annotated[int, typer.Option(help="Steps before them.", min=0)] = 2,
    repeats: Annotated[int, typer.Option(help="Trainings, each from other weights.", min=1)] = 2,
    threads: Annotated[int, typer.Option(help="CPU threads of every setting; 0 is what PyTorch takes.", min=0)] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or gpu.")] = "auto",
    devices: Annotated[int, typer.Option(help="Also run 'fit' on 1, 2, 4 ... up to so many GPUs.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print all numbers as JSON.")] = False,
) -> None:
    """Measure how fast models train on this machine, beside PyTorch's default settings.

    'default' is the network of 'fit' as PyTorch trains it if told nothing: float32, contiguous in memory, no autocast,
    denormal numbers kept, PyTorch's own threads. 'library' is that with the decoder of segmentation-models-pytorch's
    own widths. 'all' is what 'fit' does. Loss, optimiser and crops are the same in all, and the crops wait in memory.
    """
    from sem_train.bench import BenchSettings, jobs_of, measure_speed
    from sem_train.bench.summary import as_dict, table
    from semforge.cli import errors

    how = BenchSettings(tuple(settings.split(",")), steps, warm_up, repeats, threads, device, devices)
    with errors.status("") as status:
        result = measure_speed(jobs_of(model or [], config, batch, crop), how, told=status.update)
    if as_json:
        print(json.dumps(as_dict(result), indent=2))
    else:
        console.print(table(result))


def main() -> None:
    """Entry point of `sem-train`."""
    # Read when PyTorch is loaded: its waiting threads sleep soon, so that programs that share the cores do not
    # halt each other (5 to 8 times faster then)
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    run(app, "sem-train")


if __name__ == "__main__":
    main()
