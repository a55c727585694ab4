"""Which images are analysed, under which names, and which specimen each shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sem_train.micrographs import image_files
from sem_train.specimen_names import read_specimen_names
from semforge.errors import InputError
from semforge.files import existing_file


@dataclass(frozen=True)
class Job:
    """One image to analyse."""

    path: Path
    name: str  # of its files in the output folder
    specimen: str


def jobs_of(images: Sequence[Path], specimens: Path | None = None, specimen: str | None = None) -> tuple[Job, ...]:
    """The images named, and those of the folders named, in that order; a missing file is found out later, by name.

    `specimens` is a CSV with the columns name (of the image, with or without suffix) and specimen; `specimen` names one
    for all. With neither, each image is a specimen of its own. Raises InputError if there is no image, if two have the
    same name, or if the CSV lacks one.
    """
    if specimens is not None and specimen is not None:
        raise InputError("--specimens and --specimen: give one of them")
    paths: list[Path] = []
    for path in images:
        paths += image_files(path) if Path(path).is_dir() else [Path(path)]
    if not paths:
        raise InputError("no images given")
    stems = [path.stem for path in paths]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        same = [str(path) for path in paths if path.stem == twice[0]]
        raise InputError(f"{' and '.join(same[:2])}: have the same name, so one result would replace the other")
    known = None if specimens is None else _specimens(specimens)
    return tuple(Job(path, path.stem, _specimen(path, known, specimens, specimen)) for path in paths)


def _specimen(path: Path, known: dict[str, str] | None, file: Path | None, one: str | None) -> str:
    if one is not None:
        return one
    if known is None:
        return path.stem
    found = known.get(path.name, known.get(path.stem))
    if found is None:
        raise InputError(f"{file}: names no specimen for {path.name}")
    return found


def _specimens(path: Path) -> dict[str, str]:
    path = existing_file(path, "a CSV with the columns name and specimen")
    names = read_specimen_names(path)
    if names is None:
        raise InputError(f"{path}: expected a CSV with the columns name and specimen")
    return {name: specimen for name, specimen in names.items() if name and specimen}
