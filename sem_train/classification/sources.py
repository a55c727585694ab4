"""Particles from where they are stored: synthetic sample files, and folders of real pictures."""

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from blender_gen.sample import SampleFile
from sem_train.classification.config import (
    CropSettings,
    ParticleClass,
    RealParticles,
    SpectraSettings,
    SyntheticParticles,
)
from sem_train.classification.particles import Crops, ParticleSet, box_sides, cut_particles, whole_picture
from sem_train.data.pictures import data_folder, file_identity, verify_sample
from sem_train.micrographs import read_image
from semforge.errors import InputError
from semforge.files import existing_file
from semforge.spectra.axis import EnergyAxis

UNKNOWN = -1  # class id of what is of no class
SPECTRA, WHOSE = "particle_spectra", "particle_instance"


@dataclass(frozen=True)
class Source:
    """One sample or one file, whose particles can be read; what is of one group stays on one side of a split."""

    name: str
    group: str
    real: bool
    read: Callable[[], ParticleSet]
    fold: str | None = None
    label: int | None = None  # class of all of it, where that is known before it is read


@dataclass(frozen=True)
class Reading:
    """How particles are read."""

    classes: tuple[ParticleClass, ...]
    crops: CropSettings
    spectra: SpectraSettings | None  # None: spectra are not looked at
    unknown: tuple[str, ...] = ()  # populations and labels of no class that are read all the same, as class `UNKNOWN`

    @property
    def axis(self) -> EnergyAxis | None:
        """The axis that all spectra are brought to."""
        return self.spectra.axis if self.spectra else None

    def class_of(self, name: str, kind: Any) -> int | None:
        """Class id of a population or label; None if it is of no class."""
        if name in self.unknown:
            return UNKNOWN
        return next((i for i, c in enumerate(self.classes) if c.takes(name, kind)), None)


def synthetic_sources(data: SyntheticParticles, reading: Reading) -> list[Source]:
    """The samples of a file, one source each, in their order. Raises InputError if the file cannot be used."""
    if not data.path.exists() and data.made_by:
        raise InputError(f"{data.path}: no such file, expected synthetic samples; make them with: {data.made_by}")
    file = SampleFile(data.path)
    return [
        Source(
            name=f"{file.path}: sample {file.index[position]}", group=f"synthetic {file.stored_digest(position)}",
            real=False, read=partial(_read_sample, file, position, data.take, reading),
        )
        for position in range(len(file))
    ]  # fmt: skip


def real_sources(data: RealParticles, reading: Reading) -> list[Source]:
    """The pictures that a folder's index lists. Raises InputError if folder, index, a column or a file is missing."""
    root = data_folder(data.root)
    path = existing_file(root / data.index, "the index (CSV) of the pictures")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise InputError(f"{path}: has no rows, expected one a picture")
    pattern = _pattern(data.specimen, rows[0])
    columns = [data.file, data.label, data.fold, data.spectrum, data.pixel_size_um, None if pattern else data.specimen]
    for column in columns:
        if column is not None and column not in rows[0]:
            raise InputError(f"{path}: has no column {column!r}, expected one of {', '.join(rows[0])}")
    return [source for row in rows if (source := _real_source(data, root, path, row, pattern, reading))]


def _pattern(specimen: str | None, row: dict[str, str]) -> re.Pattern[str] | None:
    if specimen is None or specimen in row or "(" not in specimen:
        return None
    try:
        pattern = re.compile(specimen)
    except re.error as error:
        raise InputError(f"specimen {specimen!r}: is neither a column nor a pattern: {error}") from error
    return pattern if pattern.groups else None


def _real_source(
    data: RealParticles, root: Path, index: Path, row: dict[str, str], pattern: re.Pattern[str] | None,
    reading: Reading,
) -> Source | None:  # fmt: skip
    label = row[data.label]
    if label in data.ignored:
        return None
    class_id = reading.class_of(label, "labels")
    if class_id is None:
        raise InputError(f"{index}: {data.label} {label!r} is of no class; add it to 'labels' of one, or to 'ignored'")
    file = row[data.file]
    group = row[data.specimen] if data.specimen and not pattern else file
    if pattern and (match := pattern.search(file)):
        group = match[1]
    spectrum = root / row[data.spectrum] if data.spectrum and row[data.spectrum] else None
    read = partial(_read_file, root / file, spectrum, _size(data, row, index), class_id, group, reading)
    return Source(file, group, True, read, row[data.fold] if data.fold else None, class_id)


def _size(data: RealParticles, row: dict[str, str], index: Path) -> float | None:
    text = row[data.pixel_size_um] if data.pixel_size_um else ""
    try:
        return float(text) if text else None
    except ValueError as error:
        raise InputError(f"{index}: {data.pixel_size_um} is {text!r}, expected a number or nothing") from error


def _read_file(
    path: Path, spectrum: Path | None, pixel_size_um: float | None, label: int, group: str, reading: Reading
) -> ParticleSet:
    image = read_image(existing_file(path, "a picture"))
    if image.min() == image.max():
        raise InputError(f"{path}: every pixel has grey level {image.max()}, expected a picture of a particle")
    spectra = None if spectrum is None or reading.axis is None else _file_spectrum(spectrum, reading)
    return ParticleSet(
        whole_picture(image, reading.crops, pixel_size_um), spectra, reading.axis if spectra is not None else None,
        np.array([label]), np.array([group]), np.array([path.stem]), np.array([True]),
        frozenset({file_identity(path)}),
    )  # fmt: skip


def _file_spectrum(path: Path, reading: Reading) -> np.ndarray:
    from semforge.spectra.reading import read_spectrum

    spectrum = read_spectrum(path)
    return on_axis(np.asarray(spectrum.counts)[None], spectrum.axis, reading.axis, str(path), spectrum.beam_kev)


def on_axis(
    counts: np.ndarray, have: EnergyAxis, want: EnergyAxis, name: str, beam_kev: float | None = None
) -> np.ndarray:
    """Spectra (..., C) brought to another axis. Raises InputError that names both, if that loses something."""
    from semforge.spectra.rebinning import rebinned

    if have == want:
        return counts
    try:
        return rebinned(counts, have, want, beam_kev)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _read_sample(file: SampleFile, position: int, take: str, reading: Reading) -> ParticleSet:
    verify_sample(file, position)
    if take == "pictures":
        return _read_pictures(file, position, reading)
    records = _wanted_particles(file, position, reading)
    numbers = [number for number, _ in records]
    pixel_size, instances = float(file.pixel_size_um[position]), file.instance(position)
    views = range(file.images_per_sample)
    cuts = [cut_particles(file.image(position, k), instances, numbers, reading.crops, pixel_size) for k in views]
    spectra = _stored_spectra(file, position, numbers, reading)
    repeated = lambda x: np.concatenate([x] * len(views))
    labels = np.array([label for _, label in records], np.int64)
    names = np.array([f"{file.index[position]}/{number}" for number in numbers], np.str_)
    return _of_sample(file, position, Crops.joined(cuts), None if spectra is None else repeated(spectra),
                      reading.axis, repeated(labels), repeated(names))  # fmt: skip


def _of_sample(
    file: SampleFile, position: int, crops: Crops, spectra: np.ndarray | None, axis: EnergyAxis | None,
    labels: np.ndarray, names: np.ndarray,
) -> ParticleSet:  # fmt: skip
    digest = file.stored_digest(position)
    return ParticleSet(
        crops, spectra, axis if spectra is not None else None, labels,
        np.full(len(labels), f"synthetic {digest}"), names, np.zeros(len(labels), bool), frozenset({digest}),
    )  # fmt: skip


def _particles(file: SampleFile, position: int) -> list[dict[str, Any]]:
    particles = file.truth(position).get("particles")
    if particles is None:
        raise InputError(f"{file.path}: sample {file.index[position]} has no particles; give samples of a recipe "
                         "of family particles")  # fmt: skip
    return particles


def _wanted_particles(file: SampleFile, position: int, reading: Reading) -> list[tuple[int, int]]:
    """Number and class of each particle that is whole and large enough to be named."""
    rules, wanted = reading.crops, []
    particles = _particles(file, position)
    sides = box_sides(file.instance(position))
    for particle in particles:
        label = reading.class_of(particle["population"], "populations")
        number = particle["instance"]
        seen = sides.get(number, 0) >= rules.shortest_px and particle["occluded_fraction"] <= rules.most_occluded
        if label is not None and seen and (rules.cut or not particle["cut_by_frame"]):
            wanted.append((number, label))
    return wanted


def _read_pictures(file: SampleFile, position: int, reading: Reading) -> ParticleSet:
    """The whole pictures of a sample whose particles are all of one class; nothing of another."""
    seen = [p["population"] for p in _particles(file, position) if p["visible_area_um2"] > 0]
    labels = {reading.class_of(population, "populations") for population in seen}
    shown = range(file.images_per_sample) if len(labels) == 1 and None not in labels else range(0)
    pixel_size = float(file.pixel_size_um[position])
    cuts = [whole_picture(file.image(position, k), reading.crops, pixel_size) for k in shown]
    names = np.array([f"{file.index[position]}/{k}" for k in shown], np.str_)
    crops = Crops.joined([Crops.empty(reading.crops.side_px), *cuts])
    return _of_sample(file, position, crops, None, None, np.array(sorted(labels)[:1] * len(shown), np.int64)
                      if len(shown) else np.zeros(0, np.int64), names)  # fmt: skip


def _stored_spectra(file: SampleFile, position: int, numbers: list[int], reading: Reading) -> np.ndarray | None:
    """Counts (n, C) of these particles, zeros for those without a spectrum; None where the file keeps none."""
    if reading.axis is None or SPECTRA not in file.edx_names:
        return None
    edx = file.truth(position)["edx"]
    have = axis_of(edx)
    kept = file.edx(position, SPECTRA, WHOSE)
    row_of = {int(number): row for row, number in enumerate(kept[WHOSE]) if number}
    counts = np.zeros((len(numbers), have.channels), kept[SPECTRA].dtype)
    for i, number in enumerate(numbers):
        if number in row_of:
            counts[i] = kept[SPECTRA][row_of[number]]
    name = f"{file.path}: sample {file.index[position]}"
    return on_axis(counts, have, reading.axis, name, edx.get("beam_kev"))


def axis_of(edx: dict[str, Any]) -> EnergyAxis:
    """The energy axis that the truth of a sample states."""
    return EnergyAxis(**edx["axis"])
