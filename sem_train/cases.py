"""What a model is tested on: micrographs with true labels, from sample files or folders."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from blender_gen.sample import DATASET, SampleFile
from sem_train.classes import ClassMap
from sem_train.config import UNLABELLED, RealData
from sem_train.data.pictures import file_identity, read_real, read_sample, real_pictures
from sem_train.micrographs import image_files, read_pixel_size_um
from sem_train.specimen_names import read_specimen_names
from semforge.errors import InputError
from semforge.settings import load_settings

LABEL_FOLDERS = ("masks", "labels")


@dataclass(frozen=True)
class Case:
    """One micrograph to test on. `read()` gives the image (H, W) and true class ids (H, W) uint8."""

    name: str
    identity: str  # sample digest, or SHA-256 of the image file
    specimen: str | None  # of a real image, where an index names it
    pixel_size_um: float | None
    truth: dict[str, Any] | None  # what the synthetic specimen is, from its geometry
    read: Callable[[], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class TestData:
    """All cases of a data set, and where they come from."""

    path: Path
    kind: str  # "synthetic" or "real"
    cases: tuple[Case, ...]
    about: dict[str, str]  # recipe hash, digest, ... by what a reader calls them


def load_cases(path: Path, classes: ClassMap, unlabelled: Iterable[int] = ()) -> TestData:
    """Find the cases at `path`.

    It is a sample file, a folder with `dataset.h5`, a folder with `images` and `masks` or `labels`, or a
    YAML file that says where real images and their labels lie (the settings of `RealData`). `unlabelled`
    are the grey values of real label images that do not count. Raises InputError if it is none of these, if
    files are missing, or if the data has a phase or value that no class takes.
    """
    path = Path(path)
    if path.suffix.lower() in (".yaml", ".yml"):
        return _described(path, classes)
    if path.is_dir() and (path / "images").is_dir():
        return _real(path, classes, unlabelled)
    if path.is_dir() and not (path / DATASET).exists():
        raise InputError(f"{path}: expected a folder with {DATASET}, or with images and {' or '.join(LABEL_FOLDERS)}")
    return _synthetic(path, classes)


def _synthetic(path: Path, classes: ClassMap) -> TestData:
    file = SampleFile(path)
    try:
        table = classes.lookup_phases(file.header.phase_names)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    cases = tuple(
        Case(
            name=_sample_name(file, position, k), identity=file.stored_digest(position), specimen=None,
            pixel_size_um=float(file.pixel_size_um[position]), truth=file.truth(position),
            read=partial(read_sample, file, table, position, k),
        )
        for position in range(len(file)) for k in range(file.images_per_sample)
    )  # fmt: skip
    header = file.header
    about = {"recipe hash": header.recipe_hash, "seed": str(header.seed), "data digest": file.digest,
             **{f"rendered with {name}": version for name, version in header.versions.items()}}  # fmt: skip
    return TestData(path, "synthetic", cases, about)


def _sample_name(file: SampleFile, position: int, k: int) -> str:
    return f"sample {file.index[position]}" + (f", image {k}" if file.images_per_sample > 1 else "")


def _real(path: Path, classes: ClassMap, unlabelled: Iterable[int]) -> TestData:
    folder = next((path / name for name in LABEL_FOLDERS if (path / name).is_dir()), None)
    if folder is None:
        raise InputError(f"{path}: has images but no folder {' or '.join(LABEL_FOLDERS)} with their labels")
    labels = {p.stem: p for p in image_files(folder)}
    table = classes.lookup_values()
    if (table < 0).all():
        raise InputError(f"{path}: the run's classes take no grey values of label images; give them 'values' and train")
    table[list(unlabelled)] = UNLABELLED
    specimens = _specimens(path)
    cases = []
    for image in image_files(path / "images"):
        if image.stem not in labels:
            raise InputError(f"{image}: has no label map of the same name in {folder}")
        cases.append(Case(
            name=image.stem, identity=file_identity(image), specimen=specimens.get(image.stem),
            pixel_size_um=read_pixel_size_um(image), truth=None,
            read=partial(read_real, image, labels[image.stem], table, classes),
        ))  # fmt: skip
    return TestData(path, "real", tuple(cases), {})


def _described(path: Path, classes: ClassMap) -> TestData:
    data = load_settings(path, RealData)
    if (classes.lookup_values() < 0).all():
        raise InputError(f"{path}: the run's classes take no grey values of label images; give them 'values' and train")
    cases = tuple(
        Case(
            name=picture.name, identity=picture.identity, specimen=picture.specimen if data.index else None,
            pixel_size_um=None, truth=None, read=picture.read,
        )
        for picture in real_pictures(data, classes) if picture.specimen not in data.excluded
    )  # fmt: skip
    return TestData(path, "real", cases, {})


def _specimens(path: Path) -> dict[str, str]:
    """Specimen by image name, from an `index.csv` in the folder or beside it; empty where there is none."""
    for index in (path / "index.csv", path.parent / "index.csv"):
        if index.is_file():
            names = read_specimen_names(index)
            if names is not None:
                return names
    return {}
