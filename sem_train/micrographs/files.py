"""Where micrographs and what belongs to them lie."""

from collections.abc import Iterable
from pathlib import Path

from semforge.errors import InputError

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
TIFF_SUFFIXES = (".tif", ".tiff")


def image_files(folder: Path) -> list[Path]:
    """The image files of a folder, sorted by name. Raises InputError if `folder` is none or has none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected one with images ({', '.join(SUFFIXES)})")
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    if not files:
        raise InputError(f"{folder}: has no image ({', '.join(SUFFIXES)})")
    return files


def is_tiff(path: Path) -> bool:
    """Whether the name is that of a TIFF file."""
    return path.suffix.lower() in TIFF_SUFFIXES


def file_beside(path: Path, names: Iterable[str]) -> Path | None:
    """The first file beside `path` with one of these names, upper and lower case alike; None where none is."""
    names = list(names)
    for name in names:  # a folder of many images is searched only for names written in other cases
        if (path.parent / name).is_file():
            return path.parent / name
    wanted = [name.lower() for name in names]
    found = {p.name.lower(): p for p in path.parent.iterdir() if p.name.lower() in wanted and p.is_file()}
    return next((found[name] for name in wanted if name in found), None)
