"""What is known of one analysed micrograph, and of a folder of them, as it is kept on disk.

Pages, tables and later analyses read these files alone; none of them needs the micrograph or the model again.
"""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from sem_train.measure.tables.rows import Row
from semforge.errors import InputError
from semforge.files import existing_file, write_text

FOLDER_FILE = "analysis.json"
SUFFIX = ".json"


class Record(BaseModel):
    """Base of what is kept: frozen, and read only as it was written."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Legend(Record):
    """A class and how it is drawn."""

    id: int
    name: str
    role: str
    host: str | None = None
    colour: tuple[int, int, int] | None = None  # RGB; None where it is not tinted


class ProfileRecord(Record):
    """Thickness along a layer, one entry a normal; None where a boundary is outside the frame."""

    along: tuple[float, ...]
    thickness: tuple[float | None, ...]
    outer_xy: tuple[tuple[float, float] | None, ...]  # pixels of the preview's full-size image, pixel centres whole
    inner_xy: tuple[tuple[float, float] | None, ...]


class Distribution(Record):
    """Values of single objects, e.g. the diameters of all pores that the frame does not cut."""

    title: str  # "pore, equivalent circle diameter"
    unit: str
    values: tuple[float, ...]


class ImageRecord(Record):
    """One micrograph: where it is from, what was measured in it, and what a reader must be warned of."""

    version: Literal[1] = 1
    name: str  # of its files in the folder: NAME.json, NAME_labels.tif, NAME.jpg
    source: str  # path as it was given
    sha256: str
    specimen: str
    width_px: int  # of what was analysed: without databar
    height_px: int
    unit: Literal["um", "px"]
    pixel_size_um: float | None
    scale_source: str  # metadata, given, scale_bar or none
    scale_note: str = ""
    databar_rows: tuple[int, int] | None = None  # of the file: first row, and the one behind the last
    instrument: dict[str, str] = {}
    warnings: tuple[str, ...] = ()
    classes: tuple[Legend, ...]
    rows: tuple[Row, ...]
    profiles: dict[str, ProfileRecord] = {}  # by layer
    distributions: dict[str, Distribution] = {}
    provenance: dict[str, str] = {}  # model, versions, commit
    settings: str = ""  # digest of what decides the result beside the image: model, options, version


class Failure(Record):
    """An image that could not be analysed."""

    source: str
    reason: str


class SpecimenRecord(Record):
    """All fields of one specimen together."""

    name: str
    images: tuple[str, ...]
    rows: tuple[Row, ...]
    warnings: tuple[str, ...] = ()


class FolderRecord(Record):
    """A folder of analysed micrographs."""

    version: Literal[1] = 1
    images: tuple[str, ...]  # names, in the order given
    failures: tuple[Failure, ...] = ()
    specimens: tuple[SpecimenRecord, ...] = ()
    command: str = ""
    provenance: dict[str, str] = {}


def write_record(folder: Path, record: ImageRecord | FolderRecord) -> Path:
    """Write a record into `folder` under its name, whole or not at all."""
    name = FOLDER_FILE if isinstance(record, FolderRecord) else record.name + SUFFIX
    path = Path(folder) / name
    write_text(path, json.dumps(record.model_dump(mode="json"), ensure_ascii=False) + "\n")
    return path


def read_image_record(path: Path) -> ImageRecord:
    """Read one. Raises InputError if there is none or it is of another kind or version."""
    return _read(path, ImageRecord)


def read_folder_record(folder: Path) -> FolderRecord:
    """Read that of a folder. Raises InputError as `read_image_record`."""
    return _read(Path(folder) / FOLDER_FILE, FolderRecord)


def _read(path: Path, kind: type[Any]) -> Any:
    path = existing_file(path, "what 'sem-train analyse' wrote")
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a result of 'sem-train analyse'; analyse it again") from error
