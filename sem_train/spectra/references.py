"""What a network learns from, whatever it came from: expected spectra, each of a phase, on one energy axis."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from blender_gen.sample import DATASET
from sem_train.spectra.scenes import Scene, open_scenes
from sem_train.spectra.settings import DataSettings, ImageSource
from semforge.errors import InputError, naming
from semforge.files import existing_file
from semforge.spectra import EnergyAxis, SpectrumLibrary, read_library, read_spectrum, rebinned

SUFFIXES = (".msa", ".emsa", ".ems", ".hspy")
TEXT = ".txt"  # EMSA/MAS too, where it begins as such a file does; else somebody's notes
INDEX, INDEX_COLUMNS = "index.csv", ("file", "class")
PATCH_PX = 16  # pixels of a phase this close together make one spectrum
FEWEST_COUNTS = 2000  # in it


@dataclass(frozen=True)
class References:
    """M spectra (M, C) of phases. Spectra of one group were taken alike, so that they may be mixed as they are."""

    classes: tuple[str, ...]
    phases: tuple[str, ...]
    class_of: np.ndarray  # (phases,) int
    spectra: np.ndarray  # (M, C) float32: expected counts, or counts
    phase: np.ndarray  # (M,) int
    group: np.ndarray  # (M,) int
    source: np.ndarray  # (M,) int: of which file
    limit: np.ndarray  # (M,) float: most counts that may be drawn of it; infinite where it has no noise
    beam_kev: tuple[float, float] | None = None  # lowest and highest, where known
    learnt_too: tuple[str, ...] = ()  # phases of which nothing is held out: what is learnt of them is scored as well

    def __len__(self) -> int:
        return len(self.phase)

    def only(self, rows: np.ndarray) -> "References":
        """The rows of a boolean mask (M,)."""
        parts = {name: getattr(self, name)[rows] for name in ("spectra", "phase", "group", "source", "limit")}
        return replace(self, **parts)

    def of_class(self) -> np.ndarray:
        """Class of each row (M,)."""
        return self.class_of[self.phase]

    def means(self) -> np.ndarray:
        """The mean spectrum of each class (K, C) float64, of sum 1: each variant counts alike."""
        shares = self.spectra / self.spectra.sum(-1, keepdims=True).clip(1e-12)
        of = self.of_class()
        return np.stack([shares[of == k].mean(0, dtype=np.float64) for k in range(len(self.classes))])


@dataclass(frozen=True)
class _Row:
    phase: str
    spectrum: np.ndarray
    group: int
    source: int
    limit: float
    held_out: bool


def gather(data: DataSettings, seed: int = 0) -> tuple[References, References, EnergyAxis]:
    """The spectra to learn from, those held out, and their axis.

    Held out are the share `data.held_out` of a library's conditions, the same for all its phases, of the point spectra
    of each class and of each phase's sums in an image; of a sample file the samples that its settings hold out. A
    phase of which that leaves nothing is scored by what was learnt of it, which `learnt_too` says of both. Raises
    InputError if a file cannot be read, if its axis cannot be rebinned to the one asked for, or if a class has no
    spectrum.
    """
    axis = data.axis.axis if data.axis else _first_axis(data)
    rows: list[_Row] = []
    beams: list[float] = []
    group = 0
    for number, source in enumerate(data.libraries):
        library = read_library(source.path)
        with naming(source.path):
            rows += _of_library(library, axis, group, number, data.held_out, seed)
        beams += beams_of(library)
        group += len(library.conditions)
    number = len(data.libraries)
    for points in data.points:
        for path, name, held in split_points(points.path, data.held_out, seed):
            spectrum = read_spectrum(path)
            if spectrum.empty:
                raise InputError(f"{path}: has no counts, expected the spectrum of {name}; take it out")
            with naming(path):
                counts = rebinned(spectrum.counts, spectrum.axis, axis, spectrum.beam_kev)
            rows.append(_Row(name, counts, group, number, float(counts.sum()), held))
            beams += [spectrum.beam_kev] if spectrum.beam_kev else []
            group += 1
        number += 1
    for image in data.images:
        scenes = open_scenes(image.path, image.labels)
        learnt = learnt_scenes(image, len(scenes))
        for place, scene in enumerate(scenes):
            with naming(image.path):
                found = _of_scene(scene, axis, group, number)
            held = held_out_of([row.phase for row in found], 0 if image.held_out else data.held_out, seed)
            rows += [replace(row, held_out=bool(h) or place >= learnt) for row, h in zip(found, held, strict=True)]
            group += 1
            beams += [scene.beam_kev] if scene.beam_kev else []
        number += 1
    taught = {row.phase for row in rows if not row.held_out}
    rows = [row for row in rows if row.phase in taught]
    found = _together(rows, data.classes, (min(beams), max(beams)) if beams else None)
    kept = np.array([not row.held_out for row in rows])[_used(rows, data.classes)]
    bare = np.setdiff1d(np.arange(len(found.phases)), found.phase[~kept])
    found = replace(found, learnt_too=tuple(found.phases[p] for p in bare))
    return found.only(kept), found.only(~kept | np.isin(found.phase, bare)), axis


def held_out_of(kinds: Sequence[str], share: float, seed: int = 0) -> np.ndarray:
    """(N,) bool: of each kind the share, at least one of two if there is to be any, but never all."""
    rng = np.random.default_rng(seed)
    held = np.zeros(len(kinds), dtype=bool)
    for kind in dict.fromkeys(kinds):
        own = np.array([i for i, other in enumerate(kinds) if other == kind])
        count = min(max(round(share * len(own)), 1), len(own) - 1) if share else 0
        held[rng.permutation(own)[:count]] = True
    return held


def split_points(folder: Path, share: float, seed: int = 0) -> list[tuple[Path, str, bool]]:
    """As `point_files`, with whether each is held out."""
    files = point_files(folder)
    held = held_out_of([name for _, name in files], share, seed)
    return [(path, name, bool(h)) for (path, name), h in zip(files, held, strict=True)]


def learnt_points(data: DataSettings) -> frozenset[Path]:
    """The files of point spectra that are learnt, as far as their folders are still there."""
    found = [split_points(source.path, data.held_out) for source in data.points if source.path.exists()]
    return frozenset(path.resolve() for rows in found for path, _, held in rows if not held)


def scenes_learnt_of(path: Path, data: DataSettings, scenes: int) -> int:
    """How many of the samples of a file, from the first on, are learnt."""
    own = next((source for source in data.images if _same(source.path, path)), None)
    return 0 if own is None else learnt_scenes(own, scenes)


def _same(one: Path, other: Path) -> bool:
    as_file = lambda path: (path / DATASET if path.is_dir() else path).resolve()
    return as_file(Path(one)) == as_file(Path(other))


def learnt_scenes(source: ImageSource, scenes: int) -> int:
    """How many samples from the first on are learnt. Raises InputError if the settings hold out all of them."""
    if source.held_out >= scenes:
        raise InputError(f"{source.path}: has {scenes} spectrum images, held_out is {source.held_out}, expected fewer")
    return scenes - source.held_out


def beams_of(library: SpectrumLibrary) -> list[float]:
    """Beam energies of a library's conditions in keV, where they say them."""
    return [float(c["beam_kev"]) for c in library.conditions if c.get("beam_kev")]


def point_files(folder: Path) -> list[tuple[Path, str]]:
    """Spectra with their classes: as an index.csv names them, else by the folders that they lie in.

    Raises InputError if there are none, or if the index names a file that is not there.
    """
    folder = Path(folder)
    index = folder if folder.suffix == ".csv" else folder / INDEX
    if index.is_file():
        with index.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        missing = [column for column in INDEX_COLUMNS if not rows or column not in rows[0]]
        if missing:
            raise InputError(f"{index}: has no column {missing[0]!r}, expected {' and '.join(INDEX_COLUMNS)}")
        return [(existing_file(index.parent / row["file"], "a spectrum"), row["class"]) for row in rows]
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected spectra in folders named by class, or {INDEX}")
    found = [(p, p.parent.name) for p in sorted(folder.glob("*/*")) if may_be_spectrum(p)]
    if not found:
        raise InputError(f"{folder}: has no spectra in folders named by class, and no {INDEX}")
    return found


def may_be_spectrum(path: Path) -> bool:
    """Whether a file in a folder of spectra is one, by its name, or by its beginning if it is called .txt."""
    if path.suffix.lower() != TEXT or not path.is_file():
        return path.suffix.lower() in SUFFIXES
    with path.open("rb") as file:
        return file.read(512).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"#")


def _first_axis(data: DataSettings) -> EnergyAxis:
    if data.libraries:
        return read_library(data.libraries[0].path).axis
    if data.points:
        return read_spectrum(point_files(data.points[0].path)[0][0]).axis
    return open_scenes(data.images[0].path, data.images[0].labels)[0].axis


def _of_library(
    library: SpectrumLibrary, axis: EnergyAxis, group: int, source: int, held_out: float, seed: int
) -> list[_Row]:
    variants = len(library.conditions)
    beams = beams_of(library)
    spectra = rebinned(library.spectra, library.axis, axis, max(beams) if beams else None)
    held = held_out_of(["variant"] * variants, held_out, seed)
    return [
        _Row(name, spectra[p, v], group + v, source, np.inf, bool(held[v]))
        for p, name in enumerate(library.names)
        for v in range(variants)
        if spectra[p, v].sum() > 0
    ]


def _of_scene(scene: Scene, axis: EnergyAxis, group: int, source: int) -> list[_Row]:
    """Sums over pixels of a phase that lie close together, those at boundaries left out where there are others."""
    labels = scene.labels
    same = np.ones_like(labels, dtype=bool)
    for axis_of, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        same &= np.roll(labels, step, axis_of) == labels
    sums: dict[int, list[np.ndarray]] = {}
    for rows, columns, counts in scene.blocks(PATCH_PX):
        counts = rebinned(counts, scene.axis, axis, scene.beam_kev)
        for phase in np.unique(labels[rows, columns]):
            inside = (labels[rows, columns] == phase) & same[rows, columns]
            total = counts[inside].sum(0, dtype=np.float64)
            kept = sums.setdefault(int(phase), [])
            if kept and kept[-1].sum() < FEWEST_COUNTS:
                kept[-1] = kept[-1] + total
            elif total.sum():
                kept.append(total)
    for kept in sums.values():
        if len(kept) > 1 and kept[-1].sum() < FEWEST_COUNTS:
            kept[-2:] = [kept[-2] + kept[-1]]
    return [
        _Row(scene.names[phase], total, group, source, float(total.sum()), False)
        for phase, totals in sums.items()
        if phase >= 0
        for total in totals
    ]


def _used(rows: list[_Row], classes: dict[str, tuple[str, ...]]) -> np.ndarray:
    """Which rows belong to a class."""
    taken = classes_of(list(dict.fromkeys(row.phase for row in rows)), classes)
    return np.array([taken[row.phase] is not None for row in rows])


def classes_of(phases: list[str], classes: dict[str, tuple[str, ...]]) -> dict[str, str | None]:
    """Class of each phase: by name, else by the first pattern that fits; None where no class takes it."""
    if not classes:
        return {phase: phase for phase in phases}
    exact = {phase: name for name, of in classes.items() for phase in of}
    fitting = lambda phase: next((n for n, of in classes.items() if any(fnmatchcase(phase, p) for p in of)), None)
    return {phase: exact.get(phase) or fitting(phase) for phase in phases}


def _together(
    rows: list[_Row], classes: dict[str, tuple[str, ...]], beam_kev: tuple[float, float] | None
) -> References:
    phases = list(dict.fromkeys(row.phase for row in rows))
    taken = classes_of(phases, classes)
    names = list(classes) or phases
    empty = [name for name in names if name not in taken.values()]
    if empty:
        raise InputError(f"class {empty[0]!r} has no spectrum; there are those of {', '.join(phases)}")
    if len(names) < 2:
        raise InputError(f"all spectra are of {names[0] if names else 'no phase'}, expected two classes at least")
    used = [phase for phase in phases if taken[phase] is not None]
    kept = [row for row in rows if taken[row.phase] is not None]
    return References(
        classes=tuple(names), phases=tuple(used),
        class_of=np.array([names.index(taken[phase]) for phase in used]),
        spectra=np.stack([row.spectrum for row in kept]).astype(np.float32),
        phase=np.array([used.index(row.phase) for row in kept]),
        group=np.array([row.group for row in kept]), source=np.array([row.source for row in kept]),
        limit=np.array([row.limit for row in kept]), beam_kev=beam_kev,
    )  # fmt: skip
