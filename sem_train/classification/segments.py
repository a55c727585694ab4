"""Which pixels of a micrograph are which particle: from a segmentation run, from a map, or from the grey levels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from sem_train.blocks import LARGE_PX, predict_in_blocks
from sem_train.inference import TrainedModel
from sem_train.measure.bodies.instances import split_touching, whole_numbers
from sem_train.measure.bodies.single import without_specks
from sem_train.micrographs import SUFFIXES, Micrograph, read_label_map
from semforge.errors import InputError

PARTICLE = "particle"  # the role of classes that are particles
Threshold = Literal["bright", "dark"]
SMOOTHING_PX = 1.0  # sd of the Gaussian before a threshold: noise is no particle
LEAST_PX = 30  # pixels of a particle found by a threshold
# difference of the two sides of a threshold over the sd within them; noise split at its middle has 2.6, a ramp 3.5
LEAST_CONTRAST = 4.0


@dataclass(frozen=True, eq=False)
class Objects:
    """Particles of a micrograph without its databar."""

    numbers: np.ndarray  # (H, W) int32, from 1 without gaps, 0 beside particles
    names: np.ndarray  # (N,) number of each in the map that was given; else its own
    separation: str  # how they were told apart

    def __len__(self) -> int:
        return len(self.names)


def by_model(model: TrainedModel, micrograph: Micrograph) -> Objects:
    """Particles that a segmentation run sees. Raises InputError if it knows no class of role `particle`."""
    ids = [i for i, c in enumerate(model.classes.classes) if c.role == PARTICLE]
    if not ids:
        known = ", ".join(f"{c.name} ({c.role})" for c in model.classes.classes)
        raise InputError(f"{model.folder}: segments no particles, its classes are {known}; give a run with a class of "
                         "role particle, or --instances")  # fmt: skip
    image = micrograph.specimen
    labels = predict_in_blocks(model, _Whole(image)) if image.size > LARGE_PX else model.predict(image).labels
    return of_mask(np.isin(labels, ids), "segmentation run, touching ones parted by a watershed")


def by_map(path: Path, micrograph: Micrograph, instances: bool) -> Objects:
    """Particles of a map: one number a particle, or class ids of which those of role `particle` are meant.

    A label map that names no classes shows particles wherever it is not 0. Raises InputError if the map is not as
    large as the micrograph, with its databar or without.
    """
    found = read_label_map(path)
    labels = _fitted(found.labels, micrograph, path)
    if instances:
        return of_instances(labels)
    if found.classes is None:
        return of_mask(labels > 0, "label map, touching ones parted by a watershed")
    ids = [i for i, c in enumerate(found.classes.classes) if c.role == PARTICLE]
    return of_mask(np.isin(labels, ids), "label map, touching ones parted by a watershed")


def by_threshold(image: np.ndarray, kind: Threshold) -> Objects:
    """What is brighter (or darker) than Otsu's threshold of the smoothed picture, in pieces of 30 pixels and more.

    A picture whose two sides the threshold does not part well shows no particle.
    """
    smooth = ndimage.gaussian_filter(image.astype(np.float32), SMOOTHING_PX)
    if smooth.min() == smooth.max():
        return of_mask(np.zeros(image.shape, dtype=bool), "")
    level = threshold_otsu(smooth)
    mask = smooth > level if kind == "bright" else smooth <= level
    if _contrast(smooth, mask) < LEAST_CONTRAST:
        mask = np.zeros(image.shape, dtype=bool)
    mask = ndimage.binary_fill_holes(ndimage.binary_opening(mask, iterations=1))
    pieces, count = ndimage.label(mask, np.ones((3, 3)))
    if count:
        area = np.bincount(pieces.ravel())
        mask = mask & (area >= LEAST_PX)[pieces]
    return of_mask(mask, f"grey levels {kind}er than Otsu's threshold, touching ones parted by a watershed")


def whole_picture(image: np.ndarray) -> Objects:
    """The picture is the particle, as in folders of pictures of one particle each."""
    return Objects(np.ones(image.shape, dtype=np.int32), np.array([1]), "the whole picture")


def of_mask(mask: np.ndarray, separation: str) -> Objects:
    """Particles of a mask (H, W) bool, parted where they are narrow."""
    numbers = without_specks(split_touching(mask))
    return Objects(numbers, np.arange(1, int(numbers.max(initial=0)) + 1), separation)


def of_instances(instances: np.ndarray) -> Objects:
    """Particles of a map with one number a particle, 0 beside them; specks of fewer than 4 pixels are left out."""
    given = np.unique(instances)
    given = given[given > 0]
    numbers = whole_numbers(instances)
    area = np.bincount(numbers.ravel(), minlength=len(given) + 1)[1:]
    cleaned = without_specks(numbers)
    kept = given[area >= 4]
    return Objects(cleaned, kept.astype(np.int64), "instance map")


def map_of(folder_or_file: Path, name: str) -> Path:
    """The map of the micrograph `name` (without suffix): the file itself, or NAME, NAME_instances or NAME_labels in a
    folder. Raises InputError if there is none."""
    if folder_or_file.is_file():
        return folder_or_file
    tried = [f"{name}{end}" for end in ("", "_instances", "_labels")]
    for stem in tried:
        for suffix in SUFFIXES:
            if (path := folder_or_file / f"{stem}{suffix}").is_file():
                return path
    raise InputError(f"{folder_or_file}: has no map of {name}, expected one of: {', '.join(tried)} (PNG or TIFF)")


@dataclass(frozen=True)
class _Whole:
    """An array that is read in parts."""

    image: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return self.image.shape[0], self.image.shape[1]

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        return self.image[rows, columns]


def _contrast(levels: np.ndarray, mask: np.ndarray) -> float:
    if mask.all() or not mask.any():
        return 0.0
    inside, outside = levels[mask], levels[~mask]
    within = (inside.size * inside.var() + outside.size * outside.var()) / levels.size
    return float(abs(inside.mean() - outside.mean()) / max(np.sqrt(within), 1e-6))


def _fitted(labels: np.ndarray, micrograph: Micrograph, path: Path) -> np.ndarray:
    if labels.shape == micrograph.specimen.shape:
        return labels
    if labels.shape == micrograph.image.shape:
        return labels[micrograph.specimen_rows]
    height, width = micrograph.image.shape
    raise InputError(f"{path}: has {labels.shape[1]} × {labels.shape[0]} pixels, its micrograph {width} × {height}; "
                     "give a map of the same size")  # fmt: skip
