"""Labelled pictures: one micrograph and the class of each of its pixels, wherever they are stored."""

import csv
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from blender_gen.sample import SampleFile
from sem_train.classes import ClassMap
from sem_train.config import UNLABELLED, RealData, SyntheticData
from sem_train.micrographs import SUFFIXES, read_image, read_label_map, read_micrograph
from semforge.errors import InputError, refuse_bad
from semforge.files import existing_file, file_sha256

if TYPE_CHECKING:
    from blender_gen.reimaging import Microscope

ANY = ".*"  # suffix of a pattern: PNG, TIFF or JPEG
SEPARATORS = {";": "semicolons", "\t": "tabs"}  # that are met in place of commas
Labelled = tuple[np.ndarray, np.ndarray]  # image (H, W) uint8 or uint16; class ids (H, W) uint8
Read = Callable[[], Labelled]


@dataclass(frozen=True)
class NewImages:
    """New micrographs of one stored specimen: what is drawn from the generator makes the picture."""

    take: Callable[[np.random.Generator], Labelled]
    shape: tuple[int, int]  # height and width of all of them


@dataclass(frozen=True)
class Picture:
    """A labelled micrograph that can be read.

    `read()` gives the image (H, W) uint8 or uint16 and the class ids (H, W) uint8, `UNLABELLED` where
    there are none. Raises InputError that names the file and what is wrong with it.
    """

    name: str  # what messages and tables call it
    identity: str  # sample digest or SHA-256 of the image file: the same wherever the file lies
    specimen: str  # pictures of one specimen stay on one side of a split
    origin: Literal["synthetic", "real"]
    read: Read
    scale: float | None = None  # of this picture, where it is not that of all
    file: Path | None = None  # of a real image
    labels: Path | None = None  # of a real image: its label map
    verify: Callable[[], None] | None = None  # raises InputError if what is stored is not what was written
    new: NewImages | None = None  # where training takes new micrographs in place of the stored one


def synthetic_pictures(data: SyntheticData, classes: ClassMap) -> tuple[list[Picture], list[Picture]]:
    """All micrographs of a sample file, as (to train on, held out).

    Raises InputError if the file is missing, has a phase that no class takes or keeps no passes for new
    micrographs, or if nothing is left to train on.
    """
    if not data.path.exists() and data.made_by:
        raise InputError(f"{data.path}: no such file, expected synthetic samples; make them with: {data.made_by}")
    file = SampleFile(data.path)
    try:
        table = classes.lookup_phases(file.header.phase_names)
    except InputError as error:
        raise InputError(f"{data.path}: {error}") from error
    n = min(len(file), data.limit or len(file))
    if data.held_out >= n:
        raise InputError(f"{data.path}: {data.held_out} of {n} samples are held out, expected fewer; lower 'held_out'")
    taker = _new_micrographs(file) if data.imaging == "new" else None
    pictures = [
        [_synthetic_picture(file, table, position, k, data.scale, taker) for k in range(file.images_per_sample)]
        for position in range(n)
    ]
    flat = lambda rows: [picture for row in rows for picture in row]
    return flat(pictures[: n - data.held_out]), flat(pictures[n - data.held_out :])


def sample_identities(sources: Sequence[SyntheticData]) -> list[str] | None:
    """Digests of all samples to train on, as `Picture.identity`; None if one of the files is not there."""
    if not all(source.path.exists() for source in sources):
        return None
    found: list[str] = []
    for source in sources:
        with SampleFile(source.path) as file:
            n = min(len(file), source.limit or len(file)) - source.held_out
            found += file.stored_digests()[:n]
    return found


def _new_micrographs(file: SampleFile) -> "Microscope":
    # not needed to train on what is stored, and it brings the geometry of recipes with it
    from blender_gen.reimaging import Microscope

    return Microscope(file)


def _synthetic_picture(
    file: SampleFile, table: np.ndarray, position: int, k: int, scale: float | None, microscope: "Microscope | None"
) -> Picture:
    digest = file.stored_digest(position)
    name = f"{file.path}: sample {file.index[position]}, image {k}"
    read = partial(read_sample, file, table, position, k)
    verify = partial(verify_sample, file, position) if k == 0 else None
    new = NewImages(partial(image_sample, microscope, table, position, k), file.shape) if microscope else None
    return Picture(name, digest, f"synthetic {digest}", "synthetic", read, scale, verify=verify, new=new)


def verify_sample(file: SampleFile, position: int) -> None:
    """Raises InputError if the content of a sample is not that of its digest."""
    if file.sample(position).digest != file.stored_digest(position):
        raise InputError(
            f"{file.path}: sample {file.index[position]} is not what was rendered, its digest has changed; "
            "render it again (render-farm verify --deep names all such samples)"
        )


def read_sample(file: SampleFile, table: np.ndarray, position: int, k: int) -> Labelled:
    """Micrograph k (H, W) of a sample and its class ids (H, W) uint8, by a table from phase to class.

    The rows that a databar replaces in the picture are `UNLABELLED`. Raises InputError if the label map
    holds a phase that the file does not declare.
    """
    return file.image(position, k), _labels(file, table, position, file.imaging(position)[k])


def image_sample(
    microscope: "Microscope", table: np.ndarray, position: int, k: int, rng: np.random.Generator
) -> Labelled:
    """As `read_sample`, with a new micrograph in place of the k-th stored one."""
    micrograph = microscope.take(position, k, rng)
    return micrograph.image, _labels(microscope.file, table, position, micrograph.record)


def _labels(file: SampleFile, table: np.ndarray, position: int, record: dict[str, Any]) -> np.ndarray:
    phase = file.phase(position)
    n_phases = len(file.header.phase_names)
    if phase.max() >= n_phases:
        raise InputError(
            f"{file.path}: sample {file.index[position]} has phase {phase.max()}, expected 0 to {n_phases - 1}; "
            "render it again"
        )
    labels = table[phase]
    labels[len(labels) - record.get("databar_px", 0) :] = UNLABELLED
    return labels


def real_pictures(data: RealData, classes: ClassMap) -> list[Picture]:
    """The labelled images of a folder, in the order of its index, or by name where it has none.

    Raises InputError if the folder, the index or one of its columns is missing, if a row of the index has no specimen
    or an image that another row has, and for all files at once that are missing.
    """
    root = data_folder(data.root)
    rows = _index_rows(data, root) if data.index else _found_rows(data, root)
    table = label_table(data, classes)
    named = classes if data.labels_are == "classes" else None
    files = [_files_of(data, root, row) for row in rows]
    _refuse_missing(files)
    images = [image for image, _ in files]
    _refuse_twice(root / str(data.index), images, [row[data.specimen] for row in rows])
    return [
        Picture(
            name, file_identity(image), row[data.specimen], "real", partial(read_real, image, label, table, named),
            file=image, labels=label,
        )
        for name, row, (image, label) in zip(unique_names(images), rows, files, strict=True)
    ]  # fmt: skip


def unique_names(paths: Sequence[Path]) -> list[str]:
    """What each file is called: its stem, or where others have the same, as much of its path as tells it from them."""
    within = os.path.commonpath([os.path.abspath(path.parent) for path in paths])
    relative = [Path(os.path.relpath(path, within)) for path in paths]
    ways = ([path.stem for path in paths], [path.with_suffix("").as_posix() for path in relative])
    counts = [Counter(way) for way in ways]
    last = [path.as_posix() for path in relative]
    return [
        next((name for name, count in zip(names, counts, strict=True) if count[name] == 1), whole)
        for whole, *names in zip(last, *ways, strict=True)
    ]


def label_table(data: RealData, classes: ClassMap) -> np.ndarray:
    """Table (65536,) int16 from the value of a label image to class id; -1 where no class takes the value."""
    table = classes.lookup_values()
    if data.labels_are == "instances":
        table[2:] = table[1]
    table[list(data.unlabelled)] = UNLABELLED
    return table


def data_folder(path: Path) -> Path:
    """Where real data lies: `path` itself, or below the data root that SEMFORGE_DATA names.

    Raises InputError that says where it was sought.
    """
    root = Path(os.environ.get("SEMFORGE_DATA") or Path(__file__).resolve().parents[2] / ".." / "shared" / "real")
    candidates = [path] if path.is_absolute() else [path, root / path]
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise InputError(f"{path}: no such folder here or in {os.path.normpath(root)}; set SEMFORGE_DATA to the real data")


def file_identity(path: Path) -> str:
    """SHA-256 of a file's content."""
    return file_sha256(existing_file(path, "an image"))


def _index_rows(data: RealData, root: Path) -> list[dict[str, str]]:
    path = existing_file(root / str(data.index), "the index (CSV) of the images")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), list(reader.fieldnames or ())
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read, expected CSV in UTF-8 with commas; save it as such") from error
    if not rows:
        raise InputError(f"{path}: has no rows, expected one an image")
    if data.specimen not in columns:
        separator = next((name for mark, name in SEPARATORS.items() if len(columns) == 1 and mark in columns[0]), None)
        why = f"; it is separated by {separator}, expected commas" if separator else ""
        raise InputError(f"{path}: has no column {data.specimen!r}, expected one of {', '.join(columns)}{why}")
    bad = [f"{path} row {k}: {why}" for k, row in enumerate(rows, start=1) if (why := _problem_of(row, data.specimen))]
    refuse_bad(bad, len(rows), "rows")
    return [{**row, data.specimen: row[data.specimen].strip()} for row in rows]


def _problem_of(row: dict[str, Any], specimen: str) -> str | None:
    """What is wrong with a row as `csv.DictReader` gives it; None if nothing is."""
    if None in row or None in row.values():  # keys of cells too many, values of cells too few
        return f"has {'more' if None in row else 'fewer'} cells than the header has columns, expected as many"
    return None if row[specimen].strip() else f"column {specimen!r} is empty, expected the specimen of the image"


def _found_rows(data: RealData, root: Path) -> list[dict[str, str]]:
    pattern = data.images.removesuffix(ANY)
    before, _, after = pattern.partition("{name}")
    paths = sorted(path for path in root.glob(f"{before}*{after}{ANY if pattern != data.images else ''}"))
    if pattern != data.images:
        paths = [path.with_suffix("") for path in paths if path.suffix.lower() in SUFFIXES]
    paths = [path for path in paths if not path.name.startswith(".")]
    if not paths:
        raise InputError(f"{root / data.images}: no such images, expected one at least")
    names = [str(path.relative_to(root)).removeprefix(before).removesuffix(after) for path in paths]
    return [{"name": name, data.specimen: name} for name in dict.fromkeys(names)]


def _files_of(data: RealData, root: Path, row: dict[str, str]) -> tuple[Path, Path]:
    """Image and label map that a row names."""
    try:
        return _file_of(root, data.images.format_map(row)), _file_of(root, data.labels.format_map(row))
    except KeyError as error:
        known = ", ".join(row)
        raise InputError(f"{root / str(data.index)}: has no column {error}, expected one of {known}") from error


def _refuse_missing(files: Sequence[tuple[Path, Path]]) -> None:
    """Raises InputError that names images, and labels of those that are there, which do not exist."""
    bad: list[str] = []
    for image, label in files:
        try:
            existing_file(image, "an image")
            existing_file(label, f"the labels of {image.name}")
        except InputError as error:
            bad.append(str(error))
    refuse_bad(bad, len(files), "images")


def _refuse_twice(index: Path, images: Sequence[Path], specimens: Sequence[str]) -> None:
    """Raises InputError if two rows of the index have the same image."""
    rows: dict[Path, int] = {}
    for row, image in enumerate(images):
        first = rows.setdefault(image, row)
        if first != row:
            raise InputError(
                f"{index}: {image} stands in rows {first + 1} and {row + 1}, of specimens {specimens[first]!r} and "
                f"{specimens[row]!r}, expected one row an image; remove one"
            )


def _file_of(root: Path, name: str) -> Path:
    """The file of a name, which may end in `.*` for any suffix of an image."""
    if not name.endswith(ANY):
        return root / name
    path = root / name.removesuffix(ANY)
    found = [other for other in path.parent.glob("*") if other.stem == path.name and other.suffix.lower() in SUFFIXES]
    if len(found) > 1:
        names = ", ".join(sorted(other.name for other in found))
        raise InputError(f"{root / name}: is {names}, expected one file of this name; say which suffix is meant")
    return found[0] if found else root / name


def read_real(image_path: Path, label_path: Path, table: np.ndarray, classes: ClassMap | None = None) -> Labelled:
    """A real image (H, W) and its class ids (H, W) uint8, by a table from label value to class.

    A label map that says itself what its ids mean, as predicted and corrected ones do, is read by the names of
    `classes` if it has no others; one without the rows of a databar fits the image without them. Raises InputError if
    the two differ in size or a label value belongs to no class.
    """
    image, (values, own) = read_image(image_path), read_label_map(label_path)
    if image.shape != values.shape and image.shape[1] == values.shape[1]:
        specimen = read_micrograph(image_path).specimen
        image = specimen if specimen.shape == values.shape else image
    if image.shape != values.shape:
        raise InputError(f"{label_path}: is {values.shape} pixels, its image {image.shape}, expected the same")
    by_name = None if own is None or classes is None else _table_by_name(own, classes, table)
    if by_name is not None and by_name[values].min() >= 0:
        return image, by_name[values].astype(np.uint8)
    labels = table[values]
    if labels.min() < 0:
        unknown = sorted(set(values[labels < 0].tolist()))[:5]
        raise InputError(
            f"{label_path}: has label value {', '.join(map(str, unknown))} that no class takes; "
            "add it to 'values' of a class or to 'unlabelled'"
        )
    return image, labels.astype(np.uint8)


def _table_by_name(own: ClassMap, classes: ClassMap, by_value: np.ndarray) -> np.ndarray:
    """Table (65536,) int16 from the ids of one class map to those of another; -1 where a name is not in both.

    What is unlabelled by value stays so.
    """
    table = np.where(by_value == UNLABELLED, UNLABELLED, -1).astype(np.int16)
    table[UNLABELLED] = UNLABELLED
    for i, name in enumerate(own.names):
        table[i] = classes.id_of(name) if name in classes.names else -1
    return table
