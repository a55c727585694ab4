"""How much of a training step is waiting for data: python -m benchmarks.loading [SAMPLES] [key=value ...]

Trains `configs/train/slurry_unet.yaml` (U-Net ResNet-18, 8 crops of 256²) for some steps with 0, 1 and 2 loader
processes, on stored micrographs and on new ones, and prints for each run the share of its time that the trainer
waited for a batch. SAMPLES is a sample file rendered with imaging.keep_passes=true; without it 16 samples of
512² are rendered. The defaults are `steps=40 warm_up=8 workers=0,1,2 imaging=stored,new samples=16`; any other
key=value is a setting as of `sem-train fit`.

The share is of one run, so that it holds on a busy machine too as far as both sides of it are slowed down alike.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from sem_train import training
from sem_train.config import TrainConfig
from semforge.settings import load_settings

ROOT = Path(__file__).parents[1]
TOLD = {"steps": "40", "warm_up": "8", "workers": "0,1,2", "imaging": "stored,new", "samples": "16"}


WAITS: list[tuple[float, float]] = []  # when the trainer asked for a batch, and when it came


def noting(batches: Iterator[Any]) -> Iterator[Any]:
    """The same batches; what the trainer waits for them is noted."""
    while True:
        asked = time.perf_counter()
        batch = next(batches)
        WAITS.append((asked, time.perf_counter()))
        yield batch


class NotedPictures(training.Pictures):
    """Pictures whose batches are noted as the trainer gets them, whoever made them."""

    def train_dataloader(self) -> Any:
        loader = super().train_dataloader()
        return type("Noted", (), {"__iter__": lambda _: noting(iter(loader))})()


def render(path: Path, count: int) -> None:
    """Slurry coatings of 512² that keep their passes."""
    from blender_gen.pipeline import make_header, make_sample
    from blender_gen.recipe import load_recipe
    from blender_gen.sample import write_samples

    recipe = load_recipe(ROOT / "configs/recipes/slurry_coating.yaml", ("imaging.keep_passes=true",))
    write_samples(path, [make_sample(recipe, index, seed=0) for index in range(count)], make_header(recipe, 0))


def measure(samples: Path, imaging: str, workers: int, steps: int, warm_up: int, changes: list[str]) -> tuple:
    """Seconds a step and the share of them that was waiting, after the first `warm_up` steps."""
    with tempfile.TemporaryDirectory() as out:
        settings = [
            f"data.synthetic.0.path={samples}", "data.synthetic.0.held_out=0", f"data.synthetic.0.imaging={imaging}",
            f"training.steps={steps}", f"training.val_every={steps}", f"training.workers={workers}", f"out={out}/run",
        ]  # fmt: skip
        config = load_settings(ROOT / "configs/train/slurry_unet.yaml", TrainConfig, [*settings, *changes])
        WAITS.clear()
        with mock.patch.object(training, "Pictures", NotedPictures):
            training.fit(config)
    waits = WAITS[warm_up:steps]
    span = waits[-1][0] - waits[0][0]  # whole steps: from one request to another
    return span / (len(waits) - 1), sum(came - asked for asked, came in waits[:-1]) / span


def main() -> None:
    words = sys.argv[1:]
    samples = Path(words.pop(0)) if words and "=" not in words[0] else None
    told = TOLD | {key: value for key, _, value in (word.partition("=") for word in words) if key in TOLD}
    changes = [word for word in words if word.partition("=")[0] not in TOLD]
    with tempfile.TemporaryDirectory() as folder:
        if samples is None:
            samples = Path(folder) / "samples.h5"
            render(samples, int(told["samples"]))
        print(f"{torch.get_num_threads()} threads", flush=True)
        print("imaging  workers  s a step  waiting", flush=True)
        for imaging in told["imaging"].split(","):
            for workers in map(int, told["workers"].split(",")):
                step, share = measure(
                    samples, imaging, workers, int(told["steps"]), int(told["warm_up"]), changes
                )  # fmt: skip
                print(f"{imaging:7}  {workers:7}  {step:8.3f}  {share:7.1%}", flush=True)


if __name__ == "__main__":
    main()
