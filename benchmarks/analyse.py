"""Seconds from a micrograph of 2048 × 1767 pixels to its measurements: `python -m benchmarks.analyse speed [IMAGE]`.

Networks beside the filter-and-threshold workflow of MudrockNet (`sem_train.baselines.workflow`), on the same image, in
turn, in one process; the least of several rounds. Networks have random weights, unless a run is named, since weights
cost no time. All are measured on one and the same label map, the true one of the drawn picture or, of an IMAGE, that of
the workflow. Ratios are of seconds for segmenting and measuring together, over those of the workflow at full size.

`python -m benchmarks.analyse memory [--edge 20000]` prints the peak memory of a large picture's analysis.
"""

import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import tifffile
import torch
import typer
from scipy import ndimage

from sem_train.analysis.field import FieldSettings, analyse_field
from sem_train.analysis.inputs import Job
from sem_train.analysis.options import AnalysisOptions
from sem_train.analysis.segmentation import segment
from sem_train.baselines import AtScale, ThresholdWorkflow
from sem_train.classes import ClassMap
from sem_train.config import ModelSettings, Plan
from sem_train.hardware import best_device
from sem_train.inference import TrainedModel, TrainedOn, load_run
from sem_train.measure import measure_label_map
from sem_train.micrographs import read_micrograph
from sem_train.models import build_model
from semforge import cli

T = TypeVar("T")
SHAPE = (1767, 2048)
CLASSES = ClassMap.model_validate({"classes": [
    {"name": "outside", "role": "outside"},
    {"name": "coating", "role": "layer"},
    {"name": "steel", "role": "substrate"},
    {"name": "pore", "role": "inclusion", "host": "coating"},
]})  # fmt: skip
GREYS = np.array([30, 150, 205, 12])
SMALL = ModelSettings(name="unet", encoder="mobilenet_v2", decoder_channels=(64, 32, 24, 16, 8))
USUAL = ModelSettings(name="unet", encoder="resnet18")


@dataclass(frozen=True)
class Method:
    """One way to segment."""

    name: str
    segment: Callable[[np.ndarray], np.ndarray]


def coating(shape: tuple[int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Micrograph (H, W) uint8 and class ids (H, W) uint8 of a porous coating on steel."""
    rng = np.random.default_rng(seed)
    height, width = shape
    rough = lambda size: ndimage.gaussian_filter1d(rng.normal(0, 1, width), size, mode="wrap") * size**0.5
    top, bottom = 0.3 * height + 12 * rough(40), 0.7 * height + 20 * rough(90)
    rows = np.arange(height)[:, None]
    labels = (rows >= top).astype(np.uint8) + (rows >= bottom)
    field = ndimage.gaussian_filter(rng.normal(0, 1, shape).astype(np.float32), 5)
    labels[(labels == 1) & (field > 2.0 * field.std())] = 3
    grey = ndimage.gaussian_filter(GREYS[labels].astype(np.float32), 0.8) + rng.normal(0, 9, shape)
    return np.clip(grey, 0, 255).astype(np.uint8), labels


def untrained(settings: ModelSettings, scale: float) -> TrainedModel:
    """A network with random weights, as a run would give it."""
    data = {"synthetic": [{"path": "none.h5"}], "scale": scale, "crop_px": 256}
    plan = Plan.model_validate({"data": data, **CLASSES.model_dump(), "model": settings.model_dump()})
    network = build_model(settings, len(CLASSES), seed=0, load_weights=False).eval()
    network.to(best_device(), memory_format=torch.channels_last)
    return TrainedModel(network, plan, TrainedOn(), Path())


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(image: np.ndarray, labels: np.ndarray | None, run: Path | None, rounds: int) -> None:
    """Print the table."""
    known = [coating((512, 512), seed) for seed in (1, 2, 3)]
    pictures, truths = [picture for picture, _ in known], [truth for _, truth in known]
    workflow = {
        scale: AtScale(ThresholdWorkflow(), scale).fit(pictures, truths, CLASSES, seed=0) for scale in (1.0, 0.5)
    }
    methods = [
        Method("workflow, full size", workflow[1.0].predict),
        Method("workflow, half size", workflow[0.5].predict),
        *(Method(f"{name}, {'half' if scale == 0.5 else 'full'} size", _labels(untrained(settings, scale)))
          for name, settings in (("small U-Net (MobileNetV2)", SMALL), ("U-Net (ResNet-18)", USUAL))
          for scale in (0.5, 1.0)),
    ]  # fmt: skip
    if run is not None:
        methods.append(Method(str(run), _labels(load_run(run))))
    labels = methods[0].segment(image) if labels is None else labels
    least = {method.name: min(seconds(lambda m=method: m.segment(image)) for _ in range(1)) for method in methods}
    for _ in range(rounds):
        for method in methods:
            least[method.name] = min(least[method.name], seconds(lambda m=method: m.segment(image)))
    measured = min(seconds(lambda: measure_label_map(labels, CLASSES, 0.1)) for _ in range(rounds + 1))
    print(
        f"{image.shape[1]} × {image.shape[0]} px, {torch.get_num_threads()} threads, {best_device()}, {rounds} rounds"
    )
    print(f"{'':40}{'segment':>9}{'measure':>9}{'together':>10}{'ratio':>8}")
    bar = least[methods[0].name] + measured
    for name, time_s in least.items():
        both = time_s + measured
        print(f"{name:40}{time_s:8.2f} s{measured:7.2f} s{both:8.2f} s{bar / both:8.2f}")


def _labels(model: TrainedModel) -> Callable[[np.ndarray], np.ndarray]:
    return lambda image: model.predict(image).labels


def large(edge: int) -> None:
    """Print seconds and peak memory of analysing one picture of `edge` × `edge` pixels, stage by stage."""
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "large.tif", Path(folder) / "out"
        _write_large(path, edge)
        options = AnalysisOptions(pixel_size_um=0.05)
        job, model = Job(path, path.stem, path.stem), untrained(SMALL, 0.5)
        about = FieldSettings(out, CLASSES, options, "", {}, None)
        print(f"{edge} × {edge} px, {torch.get_num_threads()} threads, {best_device()}")
        _stage("before", lambda: None)
        found = _stage("segment", lambda: segment(job, model, options))
        # random weights see no layers: what is measured is the true label map
        true = _repeated(coating((edge // 8, edge // 8), 5)[1], edge)
        found.labels[:] = true[:: found.every, :: found.every]
        del true
        record = _stage("measure, write", lambda: analyse_field(found, about))
        print(*(f"{row.name} {row.quantity} {row.value:.4g} {row.unit}" for row in record.rows
                if row.quantity in ("thickness_mean", "area_percent")), sep="\n")  # fmt: skip


def _write_large(path: Path, edge: int) -> None:
    whole = tifffile.memmap(path, shape=(edge, edge), dtype=np.uint8, bigtiff=True)
    whole[:] = _repeated(coating((edge // 8, edge // 8), 5)[0], edge)
    whole.flush()


def _repeated(tile: np.ndarray, edge: int) -> np.ndarray:
    """A picture of an eighth of the edge, stretched downwards and repeated sideways."""
    return np.tile(np.repeat(tile, 8, axis=0), (1, 9))[:edge, :edge]


def _stage(name: str, work: Callable[[], T]) -> T:
    start = time.perf_counter()
    done = work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name:16}{time.perf_counter() - start:8.1f} s, peak so far {peak:.2f} GiB", flush=True)
    return done


app = cli.application("What an analysis costs.")


@app.command()
def speed(
    image: Annotated[Path | None, typer.Argument(help="Micrograph. Left out: one is drawn.")] = None,
    run: Annotated[Path | None, typer.Option(help="Run folder, to add its network.")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Networks beside the filter-and-threshold workflow."""
    drawn, truth = coating(SHAPE, 0)
    compare(drawn if image is None else read_micrograph(image).image, truth if image is None else None, run, rounds)


@app.command()
def memory(edge: Annotated[int, typer.Option(min=64, help="Of the picture, pixels.")] = 20_000) -> None:
    """Peak memory of one large picture."""
    large(edge)


if __name__ == "__main__":
    cli.run(app, "benchmarks.analyse")
