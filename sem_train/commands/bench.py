"""`sem-train bench`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from semforge.cli import console, errors


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

    how = BenchSettings(tuple(settings.split(",")), steps, warm_up, repeats, threads, device, devices)
    with errors.status("") as status:
        result = measure_speed(jobs_of(model or [], config, batch, crop), how, told=status.update)
    if as_json:
        print(json.dumps(as_dict(result), indent=2))
    else:
        console.print(table(result))
