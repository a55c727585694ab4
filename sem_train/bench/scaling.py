"""Images a second on several GPUs: `sem-train fit` itself, on pictures of the benchmark."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image

from sem_train.bench.jobs import Job
from sem_train.bench.pictures import layered_picture
from sem_train.run_folder import RunFolder
from semforge.errors import InputError, SemforgeError

PICTURES = 16
LONGER = 3  # times as long is the second training: start and end, which both have, drop out


@dataclass(frozen=True)
class Scale:
    """A training on so many GPUs; `efficiency` is images a second over those of one, times their number."""

    model: str
    devices: int
    step_seconds: float
    images_per_second: float
    efficiency: float


def refuse_too_many(devices: int) -> None:
    """Raises InputError if this machine has fewer GPUs."""
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found < devices:
        raise InputError(f"--devices is {devices}, but PyTorch finds {found} GPUs on this machine; leave it out")


def counts_up_to(devices: int) -> list[int]:
    """1, 2, 4 ... and `devices`."""
    return sorted({2**k for k in range(devices.bit_length())} | {devices})


def measure_scaling(job: Job, devices: int, steps: int, accelerator: str = "gpu") -> list[Scale]:
    """Train on 1, 2, 4 ... `devices` GPUs, with the job's batch on each. Raises SemforgeError if a training fails."""
    scales: list[Scale] = []
    with tempfile.TemporaryDirectory(prefix="semforge-bench-") as folder:
        _write_pictures(Path(folder), job)
        for count in counts_up_to(devices):
            short, long = (_seconds(Path(folder), job, count, n, accelerator) for n in (steps, LONGER * steps))
            step = max(long - short, 0.05) / (steps * (LONGER - 1))  # run.json tells tenths of a second
            rate = count * job.training.batch_size / step
            ideal = count * (scales[0].images_per_second if scales else rate)
            scales.append(Scale(job.model.name, count, step, rate, rate / ideal))
    return scales


def _write_pictures(root: Path, job: Job) -> None:
    rng = np.random.default_rng(0)
    for kind in ("images", "labels"):
        (root / kind).mkdir()
    for number in range(PICTURES):
        image, labels = layered_picture(rng, 2 * job.crop_px, len(job.classes))
        Image.fromarray(image).save(root / "images" / f"{number}.png")
        Image.fromarray(labels).save(root / "labels" / f"{number}.png")


def _seconds(root: Path, job: Job, devices: int, steps: int, accelerator: str) -> float:
    """Seconds of a training on `devices` GPUs."""
    out = root / f"run_{devices}_{steps}"
    training = job.training.model_dump(mode="json") | {
        "steps": steps, "batch_size": devices * job.training.batch_size, "val_every": steps, "devices": devices,
        "accelerator": accelerator, "tensorboard": False,
    }  # fmt: skip
    classes = [{**c, "values": [value]} for value, c in enumerate(job.classes.model_dump(mode="json")["classes"])]
    config = {
        "name": "bench", "out": str(out), "data": {"real": [{"root": str(root)}], "crop_px": job.crop_px},
        "classes": classes, "model": job.model.model_dump(mode="json"), "loss": job.loss.model_dump(mode="json"),
        "training": training,
    }  # fmt: skip
    path = root / f"{out.name}.yaml"
    path.write_text(yaml.safe_dump(config))
    done = subprocess.run([sys.executable, "-m", "sem_train", "fit", str(path)], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise SemforgeError(f"the training on {devices} devices failed and said: {last}")
    return json.loads(RunFolder(out).report.read_text())["seconds"]
