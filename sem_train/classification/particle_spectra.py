"""The spectrum of each particle of a micrograph: from files, or summed over a spectrum image registered to it."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sem_train.classification.segments import Objects
from semforge.errors import InputError
from semforge.files import existing_file
from semforge.spectra import (
    EnergyAxis,
    Spectrum,
    SpectrumImage,
    open_spectrum_image,
    read_spectrum,
    rebinned,
    require_rebinnable,
)

SUFFIXES = (".h5", ".hspy")  # of spectrum images
WITHIN_PX = 2  # a point beside a particle by no more is meant for it: stages and hands are not exact
COLUMNS = "image, file, and either instance or x and y"
SQUARE = 0.02  # pixels of a registered spectrum image are square up to that share


@dataclass(frozen=True)
class SpectrumEntry:
    """One line of a table of spectra: a file, and the particle that it was taken of."""

    file: Path
    image: str  # name without suffix
    instance: int | None  # number in the instance map that was given
    xy: tuple[float, float] | None  # pixel of the image as given, centres are whole numbers
    line: int
    table: Path

    def __str__(self) -> str:
        return f"{self.table} line {self.line}"


@dataclass(frozen=True, eq=False)
class ParticleSpectra:
    """Counts of the particles of a micrograph, in order of their numbers; zeros where one has no spectrum."""

    counts: np.ndarray  # (N, C)
    axis: EnergyAxis
    beam_kev: float | None
    resolution_ev: float | None  # full width at half maximum at Mn Kα, where a file says
    sources: tuple[str, ...]  # where each is from, empty where there is none
    problems: tuple[str, ...] = ()  # spectra that could not be used, a line each


def read_spectrum_table(path: Path) -> tuple[SpectrumEntry, ...]:
    """A CSV with the columns image, file (beside the table), and instance, or x and y in pixels.

    Raises InputError that names the line if a column is missing or a number is none.
    """
    path = existing_file(path, f"a CSV with the columns {COLUMNS}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows, known = list(reader), set(reader.fieldnames or ())
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path}: cannot be read as a table, expected a CSV in UTF-8 with the columns {COLUMNS}"
        ) from error
    if not {"image", "file"} <= known or not ({"instance"} <= known or {"x", "y"} <= known):
        raise InputError(f"{path}: has the columns {', '.join(sorted(known)) or 'none'}, expected {COLUMNS}")
    return tuple(_entry(path, line, row) for line, row in enumerate(rows, start=2))


def spectrum_image_of(folder_or_file: Path, name: str) -> Path | None:
    """The spectrum image of the micrograph `name`: the file itself, or NAME or NAME_edx in a folder; None without."""
    if folder_or_file.is_file():
        return folder_or_file
    if not folder_or_file.is_dir():
        raise InputError(f"{folder_or_file}: no such file or folder, expected a spectrum image or a folder of them")
    tried = (folder_or_file / f"{name}{end}{suffix}" for end in ("", "_edx") for suffix in SUFFIXES)
    return next((path for path in tried if path.is_file()), None)


def spectra_from_files(
    entries: Sequence[SpectrumEntry], objects: Objects, rows_above: int, want: EnergyAxis | None
) -> ParticleSpectra | None:
    """Spectra of the particles that files were taken of; those of one particle are added up.

    `rows_above` is how many rows of the image as given lie above the specimen. `want` is the axis that the classifier
    reads; without one, that of the first file. What cannot be used costs its particle its spectrum alone, unless none
    can: then InputError says why. None without entries.
    """
    if not entries:
        return None
    counts: np.ndarray | None = None
    sources: list[list[str]] = [[] for _ in range(len(objects))]
    problems: list[str] = []
    axis, first = want, None
    for entry in entries:
        try:
            number = _particle_of(entry, objects, rows_above)
            spectrum = read_spectrum(entry.file)
            axis = axis or spectrum.axis
            found = on_axis(spectrum.counts, spectrum.axis, axis, str(entry.file), spectrum.beam_kev)
        except InputError as error:
            problems.append(str(error))
            continue
        first = first or spectrum
        counts = np.zeros((len(objects), axis.channels)) if counts is None else counts
        counts[number - 1] += found
        sources[number - 1].append(entry.file.name)
    if counts is None or axis is None or first is None:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InputError(f"{problems[0]}{more}")
    return ParticleSpectra(
        counts, axis, first.beam_kev, _resolution(first), tuple("+".join(s) for s in sources), tuple(problems)
    )


def spectra_from_image(
    path: Path, objects: Objects, frame: tuple[int, int], want: EnergyAxis | None
) -> ParticleSpectra:
    """Spectra summed over the pixels of each particle in a spectrum image of the same field of view.

    It may be coarser than the micrograph, by the same factor along both sides; a pixel counts for the particle that
    fills most of it, if it fills half; a particle that fills half of none has the pixel that it fills most. `frame`
    is the field in pixels of the micrograph, rows and columns. Raises InputError if the two do not fit, or the axis
    cannot be brought to `want`.
    """
    with open_spectrum_image(path) as image:
        return summed_spectra(image, objects, frame, want, path)


def summed_spectra(
    image: SpectrumImage, objects: Objects, frame: tuple[int, int], want: EnergyAxis | None, source: Path
) -> ParticleSpectra:
    """As `spectra_from_image`, of one that is open; messages name `source`."""
    if want is not None:
        try:
            require_rebinnable(image.axis, want, image.beam_kev)
        except InputError as error:
            raise InputError(f"{source}: {error}") from error
    owner = _owners(objects.numbers, image, frame, source)
    counts = np.zeros((len(objects), image.axis.channels))
    for (rows, columns), part in image.tiles():
        whose = owner[rows, columns].ravel()
        seen = np.flatnonzero(whose)
        if len(seen):
            flat = part.reshape(-1, part.shape[-1])[seen].astype(np.float64)
            order = np.argsort(whose[seen], kind="stable")
            starts = np.flatnonzero(np.diff(whose[seen][order], prepend=0))
            counts[whose[seen][order][starts] - 1] += np.add.reduceat(flat[order], starts, axis=0)
    axis = image.axis
    if want is not None:
        counts, axis = on_axis(counts, axis, want, str(source), image.beam_kev), want
    return ParticleSpectra(counts, axis, image.beam_kev, image.resolution_ev, (source.name,) * len(objects))


def on_axis(
    counts: np.ndarray, have: EnergyAxis, want: EnergyAxis, name: str, beam_kev: float | None = None
) -> np.ndarray:
    """Spectra (..., C) on the axis wanted. Raises InputError that names the file and both axes if that loses."""
    try:
        return np.asarray(rebinned(counts, have, want, beam_kev), dtype=np.float64)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _entry(path: Path, line: int, row: dict[str, str]) -> SpectrumEntry:
    text = lambda key: (row.get(key) or "").strip()
    if not text("image") or not text("file"):
        raise InputError(f"{path} line {line}: names no image or no file, expected {COLUMNS}")
    try:
        instance = int(text("instance")) if text("instance") else None
        xy = (float(text("x")), float(text("y"))) if text("x") and text("y") else None
    except ValueError as error:
        found = ", ".join(repr(text(key)) for key in ("instance", "x", "y") if text(key))
        raise InputError(f"{path} line {line}: instance, x and y must be numbers, found {found}") from error
    if instance is None and xy is None:
        raise InputError(f"{path} line {line}: says no particle, expected an instance, or x and y in pixels")
    return SpectrumEntry(path.parent / text("file"), Path(text("image")).stem, instance, xy, line, path)


def _particle_of(entry: SpectrumEntry, objects: Objects, rows_above: int) -> int:
    if entry.instance is not None:
        found = np.flatnonzero(objects.names == entry.instance)
        if not len(found):
            raise InputError(f"{entry}: particle {entry.instance} is not in the map of {entry.image}, which has "
                             f"{len(objects)}")  # fmt: skip
        return int(found[0]) + 1
    assert entry.xy is not None
    column, row = (round(v) for v in entry.xy)
    row -= rows_above
    height, width = objects.numbers.shape
    if not (0 <= row < height and 0 <= column < width):
        raise InputError(f"{entry}: x {entry.xy[0]:g}, y {entry.xy[1]:g} lies outside {entry.image} "
                         f"({width} × {height} pixels of specimen)")  # fmt: skip
    if number := int(objects.numbers[row, column]):
        return number
    top, left = max(row - WITHIN_PX, 0), max(column - WITHIN_PX, 0)
    near = objects.numbers[top : row + WITHIN_PX + 1, left : column + WITHIN_PX + 1]
    if not near.any():
        raise InputError(f"{entry}: x {entry.xy[0]:g}, y {entry.xy[1]:g} lies on no particle of {entry.image}")
    rows, columns = np.nonzero(near)
    nearest = np.argmin((rows + top - row) ** 2 + (columns + left - column) ** 2)
    return int(near[rows[nearest], columns[nearest]])


def _owners(numbers: np.ndarray, image: SpectrumImage, frame: tuple[int, int], path: Path) -> np.ndarray:
    """Whose each pixel of the spectrum image is (h, w) int, 0 where no particle fills half of it."""
    (height, width), (h, w) = frame, image.shape
    across, down = width / w, height / h
    if min(across, down) < 1 - SQUARE or abs(across / down - 1) > SQUARE + 0.5 / min(h, w):
        raise InputError(f"{path}: has {w} × {h} pixels, its micrograph {width} × {height}; expected the same field of "
                         "view, each side divided by the same number")  # fmt: skip
    row = np.minimum((np.arange(height) * h) // height, h - 1)
    column = np.minimum((np.arange(width) * w) // width, w - 1)
    cell = (row[:, None] * w + column[None, :]).ravel()
    size = np.bincount(cell, minlength=h * w)
    whose = numbers.ravel().astype(np.int64)
    count = int(whose.max(initial=0))
    pairs, pixels = np.unique(cell[whose > 0] * (count + 1) + whose[whose > 0], return_counts=True)
    places, particles = pairs // (count + 1), pairs % (count + 1)
    share = pixels / size[places]
    owner = np.zeros(h * w, dtype=np.int64)
    best = np.lexsort((share, places))  # the last to write a place fills most of it
    chosen = best[share[best] >= 0.5]
    owner[places[chosen]] = particles[chosen]
    without = np.setdiff1d(particles, owner)
    for number in without:
        own = np.flatnonzero(particles == number)
        place = places[own[np.argmax(share[own])]]
        if not owner[place]:
            owner[place] = number
    return owner.reshape(h, w)


def _resolution(spectrum: Spectrum) -> float | None:
    text = spectrum.metadata.get("resolution_ev")
    return float(text) if text else None
