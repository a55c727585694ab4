"""Small synthetic shards and real folders to train on."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from blender_gen.sample import Header, Sample, write_samples
from sem_train.config import TrainConfig

PHASES = ("resin", "coat", "pore", "steel")
GREYS = np.array([40, 120, 15, 200])
CLASSES = [
    {"name": "outside", "role": "outside", "phases": ["resin"], "values": [0]},
    {"name": "coat", "role": "layer", "phases": ["coat"], "values": [10]},
    {"name": "steel", "role": "substrate", "phases": ["steel"], "values": [20]},
    {"name": "pore", "role": "inclusion", "host": "coat", "phases": ["pore"], "values": [30]},
]
CLASS_OF_PHASE = np.array([0, 1, 3, 2], dtype=np.uint8)


def coating(index: int, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Micrograph and phases (size, size) uint8: resin over a coat with pores over steel."""
    rng = np.random.default_rng(index)
    rows, columns = np.mgrid[:size, :size]
    phase = np.zeros((size, size), dtype=np.uint8)
    phase[rows >= size // 4] = 1
    phase[rows >= 3 * size // 4] = 3
    for _ in range(4):
        row, column = rng.integers(size // 4 + 5, 3 * size // 4 - 5), rng.integers(size)
        phase[(rows - row) ** 2 + (columns - column) ** 2 < 16] = 2
    image = np.clip(GREYS[phase] + rng.normal(0, 8, phase.shape), 0, 255)
    return image.astype(np.uint8), phase


def write_shard(path: Path, count: int = 4, size: int = 64, first: int = 0, images: int = 1) -> Path:
    """A sample file of `count` coatings."""
    samples = []
    for index in range(first, first + count):
        image, phase = coating(index, size)
        stack, bodies = np.stack([image] * images), np.zeros(phase.shape, np.uint32)
        samples.append(Sample(index, stack, phase, bodies, 0.5, {}, [{}] * images))
    write_samples(path, samples, Header("family: coating\n", "hash", 1, PHASES, {"semforge": "0"}, "cpu"))
    return path


def write_folder(root: Path, specimens: list[str], size: int = 64, first: int = 100) -> Path:
    """A folder of real-looking images, labels and index.csv, one image a specimen named."""
    lines = ["name,specimen"]
    for i, specimen in enumerate(specimens):
        image, phase = coating(first + i, size)
        for kind, array in (("images", image), ("labels", 10 * CLASS_OF_PHASE[phase])):
            (root / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(root / kind / f"i{i}.png")
        lines.append(f"i{i},{specimen}")
    (root / "index.csv").write_text("\n".join(lines) + "\n")
    return root


def config(out: Path, data: dict[str, Any], **changes: Any) -> TrainConfig:
    """A tiny training run; `changes` replace training settings."""
    training = {"steps": 4, "batch_size": 2, "val_every": 2, "precision": "32", **changes}
    return TrainConfig.model_validate({
        "name": "tiny", "out": out, "data": {"crop_px": 32, **data}, "classes": CLASSES,
        "model": {"decoder_channels": [16, 16, 8, 8, 8]}, "augment": {"flip": "horizontal", "noise": 0.1},
        "training": training,
    })  # fmt: skip
