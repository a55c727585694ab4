"""What a page is made from: the records in an analysed folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sem_train.analysis.record import FolderRecord, ImageRecord, read_folder_record, read_image_record
from semforge.errors import InputError


@dataclass(frozen=True)
class Analysed:
    """What a page is made of."""

    folder: Path
    record: FolderRecord
    images: tuple[ImageRecord, ...]
    missing: tuple[tuple[str, str], ...]  # images whose record cannot be read, with the reason


def read_analysed(folder: Path, specimens: Sequence[str] = ()) -> Analysed:
    """Read what 'sem-train analyse' left; with `specimens` only their images.

    A record that cannot be read is named in `missing`. Raises InputError if the folder was not analysed, or if
    nothing is left to show.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected one that 'sem-train analyse' wrote")
    record = read_folder_record(folder)
    images, missing = [], []
    for name in record.images:
        try:
            images.append(read_image_record(folder / f"{name}.json"))
        except InputError as error:
            missing.append((name, str(error).removeprefix(f"{folder}/")))
    known = sorted({image.specimen for image in images})
    for name in specimens:
        if name not in known:
            raise InputError(f"no specimen {name!r} in {folder}, it has {', '.join(known) or 'none'}")
    if specimens:
        images = [image for image in images if image.specimen in specimens]
    elif not images and not record.failures and not missing:
        raise InputError(f"{folder}: has no analysed images")
    return Analysed(folder, record, tuple(images), tuple(missing))
