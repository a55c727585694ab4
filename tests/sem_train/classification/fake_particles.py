"""Small samples and folders of particles: discs, squares and bars, each kind of another grey and with another line."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from blender_gen.sample import Header, Sample, write_samples
from sem_train.classification.config import ClassifyConfig
from semforge.settings import validate

KINDS = ("disc", "square", "bar", "ring")
GREYS = {"disc": 200, "square": 120, "bar": 70, "ring": 240}
LINES = {"disc": 20, "square": 40, "bar": 60, "ring": 80}  # channel of the line of each kind
CHANNELS = 96
AXIS = {"channels": CHANNELS, "width_ev": 50.0, "offset_ev": 0.0}
CLASSES = [{"name": "disc"}, {"name": "square"}, {"name": "bar"}]


def body(kind: str, side: int = 16) -> np.ndarray:
    """Mask (side, side) of a body."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    r = np.hypot(x, y)
    return {
        "disc": r < side / 2, "square": np.ones((side, side), bool), "bar": abs(y) < side / 6,
        "ring": (r < side / 2) & (r > side / 4),
    }[kind]  # fmt: skip


def spectrum(kind: str, counts: float, rng: np.random.Generator) -> np.ndarray:
    """Counts (CHANNELS,) of a flat background and a line of the kind."""
    at = np.arange(CHANNELS)
    shape = 0.3 / CHANNELS + 0.7 * np.exp(-0.5 * ((at - LINES[kind]) / 1.5) ** 2) / (1.5 * np.sqrt(2 * np.pi))
    return rng.poisson(counts * shape).astype(np.uint32)


def sample(
    index: int, kinds: tuple[str, ...] = KINDS[:3], counts: float | None = 800, truth: dict[str, Any] | None = None,
    grey: dict[str, int] | None = None,
) -> Sample:  # fmt: skip
    """A sample of 96 × 96 pixels of 0.5 µm with two particles of each kind; `truth` overrides fields of particle 1."""
    rng = np.random.default_rng(index)
    image = rng.normal(25, 4, (96, 96))
    instance = np.zeros((96, 96), np.uint32)
    records, spectra = [], []
    cells = rng.permutation(16)[: 2 * len(kinds)]
    for number, cell in enumerate(cells, start=1):
        kind = kinds[(number - 1) % len(kinds)]
        mask = body(kind)
        top, left = 24 * (cell // 4) + 4, 24 * (cell % 4) + 4
        window = (slice(top, top + 16), slice(left, left + 16))
        image[window][mask] = (grey or GREYS)[kind] + rng.normal(0, 4, mask.sum())
        instance[window][mask] = number
        records.append({
            "instance": number, "population": kind, "occluded_fraction": 0.0, "cut_by_frame": False,
            "visible_area_um2": 0.25 * float(mask.sum()),
        } | (truth or {} if number == 1 else {}))  # fmt: skip
        spectra.append(spectrum(kind, counts or 0, rng))
    about: dict[str, Any] = {"particles": records}
    edx: dict[str, np.ndarray] = {}
    if counts is not None:
        about["edx"] = {"axis": AXIS, "beam_kev": 4.0}
        edx = {"particle_spectra": np.stack(spectra),
               "particle_instance": np.arange(1, len(cells) + 1, dtype=np.uint32)}  # fmt: skip
    pixels = np.clip(image, 0, 255).astype(np.uint8)[None]
    return Sample(index, pixels, (instance > 0).astype(np.uint8), instance, 0.5, about, [{}], edx=edx)


def write_shard(path: Path, count: int = 6, first: int = 0, **options: Any) -> Path:
    """A sample file."""
    samples = [sample(i, **options) for i in range(first, first + count)]
    write_samples(path, samples, Header("family: particles\n", "hash", 1, ("tape", "p"), {"semforge": "0"}, "cpu"))
    return path


def write_folder(root: Path, each: int = 4, side: int = 40, folds: int = 2) -> Path:
    """Pictures of one particle each, with an index of file, class, specimen and fold."""
    root.mkdir(parents=True, exist_ok=True)
    lines = ["file,class,specimen,fold"]
    for kind in KINDS[:3]:
        for i in range(each):
            rng = np.random.default_rng([i, KINDS.index(kind)])
            image = rng.normal(25, 4, (side, side + 8))
            image[12:28, 12:28][body(kind)] = GREYS[kind]
            Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(root / f"{kind}_{i}.png")
            lines.append(f"{kind}_{i}.png,{kind},{kind}{i // 2},{i % folds + 1}")
    (root / "index.csv").write_text("\n".join(lines) + "\n")
    return root


def config(out: Path, data: dict[str, Any], model: dict[str, Any] | None = None, **changes: Any) -> ClassifyConfig:
    """A tiny training run; `changes` replace training settings."""
    spectra = {"channels": CHANNELS, "width_ev": 50.0, "fewest_counts": 10}
    values = {
        "name": "tiny", "out": out, "classes": CLASSES,
        "data": {"crops": {"side_px": 32}, "spectra": spectra, **data},
        "model": {"image": {"width": 8}, "width": 32, "dropout": 0.0, **(model or {})},
        "augment": {"flip": "both", "noise": 0.05},
        "training": {"steps": 4, "batch_size": 12, "val_every": 2, "precision": "32", "tensorboard": False, **changes},
    }  # fmt: skip
    return validate(values, ClassifyConfig, "test")
