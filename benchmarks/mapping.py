"""How long a spectrum image takes to be mapped: python -m benchmarks.mapping RUN [key=value ...]

Draws a scene of stripes of a run's classes (from the mean spectra in it), writes it as a spectrum image, and maps the
file with the run's network and, on fewer rows, with the classical methods and with estimators of scikit-learn that
were trained on the same draws. Prints seconds, CPU seconds (of all threads: on a machine that does nothing else, the
cores share them), pixels a second and accuracy. The defaults are `edge=512 counts=200 repeats=3 rows=64 threads=2
methods=network,sam,bff,nnls scikit_learn=1 folder=`: of `repeats` the shortest and the median are told, `rows` are
those that slower methods map, `folder` is where the image lies (a temporary one).
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from blender_gen.edx.counts import simulate_image
from sem_train.spectra.evaluation import Bench
from sem_train.spectra.library_methods import library_methods
from sem_train.spectra.mapping import map_image
from sem_train.spectra.model import SpectralModel, load_model
from sem_train.spectra.named import Method
from sem_train.spectra.scenes import InMemory, SpectralImage, open_image
from semforge.spectra import SpectrumImage, write_spectrum_image

TOLD = {"edge": "512", "counts": "200", "repeats": "3", "rows": "64", "threads": "2", "scikit_learn": "1",
        "methods": "network,sam,bff,nnls", "folder": ""}  # fmt: skip
SEED = 0


def scene(model: SpectralModel, edge: int, counts: float) -> tuple[np.ndarray, np.ndarray]:
    """Counts (edge, edge, C) uint16 and labels: stripes of the classes."""
    labels = np.broadcast_to(np.arange(edge) * len(model.classes) // edge, (edge, edge))
    shares = np.eye(len(model.classes))[labels]
    expected = counts * model.means.astype(np.float64)
    started = time.perf_counter()
    image = simulate_image(shares, expected, np.random.default_rng(SEED))
    print(f"drawn: {time.perf_counter() - started:.2f} s, {image.sum() / edge**2:.1f} counts a pixel")
    return image, labels


def measure(model: SpectralModel, method: Method, image: SpectralImage, labels: np.ndarray, repeats: int) -> str:
    """One line: seconds, pixels a second, accuracy."""
    taken, worked = [], []
    for _ in range(repeats):
        started, began = time.perf_counter(), time.process_time()
        found = map_image(method, model.classes, image, model.axis)
        taken.append(time.perf_counter() - started)
        worked.append(time.process_time() - began)
    accuracy = (found.scores.argmax(-1) == labels).mean()
    best = min(taken)
    seconds = f"{best:7.2f} s (median {statistics.median(taken):.2f}; {min(worked):.2f} CPU s)"
    speed = f"{labels.size / best:9.0f} pixels a second"
    return f"{method.name:30s} {labels.size:7d} pixels: {seconds}, {speed}, accuracy {accuracy:.3f}"


def main(run: Path, told: dict[str, str]) -> None:
    torch.set_num_threads(int(told["threads"]))
    model = load_model(run)
    print(f"{run}: {model.axis.describe()}, {len(model.classes)} classes, {model.precision}, {told['threads']} threads")
    counts, labels = scene(model, int(told["edge"]), float(told["counts"]))
    methods = Bench(model, told["methods"].split(","))
    others = library_methods(model, methods.references[0]) if int(told["scikit_learn"]) else []
    with tempfile.TemporaryDirectory(dir=told["folder"] or None) as folder:
        path = Path(folder) / "scene.h5"
        write_spectrum_image(path, SpectrumImage(counts, model.axis, pixel_size_um=0.5))
        print(f"file: {path.stat().st_size / 2**20:.0f} MiB")
        on_disk = open_image(path)
        few = SpectralImage("few", InMemory(counts[: int(told["rows"])]), model.axis)
        for method in methods.methods:
            if method.name == "network":
                print("from the file:", measure(model, method, on_disk, labels, int(told["repeats"])))
                whole = SpectralImage("all", InMemory(counts), model.axis)
                print("from memory:  ", measure(model, method, whole, labels, int(told["repeats"])))
            print("some rows:    ", measure(model, method, few, labels[: int(told["rows"])], int(told["repeats"])))
        for method in others:
            print("some rows:    ", measure(model, method, few, labels[: int(told["rows"])], 1))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    given = dict(part.split("=", 1) for part in sys.argv[2:])
    main(Path(sys.argv[1]), TOLD | given)
