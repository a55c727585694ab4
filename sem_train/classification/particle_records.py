"""What is kept of the particles of a micrograph, and of a batch of them; tables and pages are made of these alone."""

import csv
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from sem_train.analysis.record import Failure, Record
from sem_train.classification.shares import Share
from semforge.errors import InputError
from semforge.files import existing_file, whole_file, write_text

T = TypeVar("T")
SUFFIX = "_particles.json"
NOTHING = 1e-9  # of any quantity here
FOLDER_FILE, PARTICLES, SHARES = "classified.json", "particles.csv", "shares.csv"
SeenBy = Literal["image", "spectrum", "both", ""]
FIXED = ("sample", "image", "particle", "instance", "x_px", "y_px", "cut_by_frame", "unit")
SIZES = ("area", "ecd", "feret_max", "feret_min", "perimeter_crofton", "aspect_feret_min_over_max",
         "circularity_iso_9276_6", "solidity", "volume_estimate", "weight_iso_13322_1")  # fmt: skip
NAMED = ("class", "confidence", "second_class", "second_confidence", "rejected", "decided_by", "note")


class ElementShare(Record):
    """Net counts of an element's lines in a particle's spectrum."""

    element: str
    family: str  # K, L or M
    net: float
    standard: float  # uncertainty of the net counts
    share: float  # of the net counts of all elements detected; 0 where it is not detected


class Decision(Record):
    """What decided that a particle was given its name."""

    lines: tuple[tuple[str, float], ...] = ()  # names of lines and their share of the decision, the weightiest first
    picture: str = ""  # file beside the record with crop, heat map and spectrum


class ParticleRecord(Record):
    """One particle. Lengths in the unit of its field; None where the frame cuts it or the raster is too coarse."""

    number: int  # from 1 in its micrograph
    instance: int  # number in the map that was given
    x_px: float  # centroid in the micrograph as given, pixel centres are whole numbers
    y_px: float
    cut: bool
    sizes: dict[str, float | None]  # by the names in SIZES
    spectrum: str = ""  # where it is from
    counts: float | None = None  # in all its channels; None without spectrum
    elements: tuple[ElementShare, ...] = ()
    decided_by: SeenBy = ""  # empty: not classified
    name: str = ""  # likeliest class, also where it was rejected; empty: not classified
    confidence: float | None = None  # calibrated probability
    second: str = ""
    second_confidence: float | None = None
    rejected: bool = False  # is like nothing that the classifier was trained on
    note: str = ""  # why there is no name, or what it rests on
    decision: Decision | None = None


class ParticlesRecord(Record):
    """The particles of one micrograph."""

    version: Literal[1] = 1
    name: str  # of its files in the folder
    source: str
    sha256: str
    sample: str
    width_px: int
    height_px: int
    unit: Literal["um", "px"]
    pixel_size_um: float | None
    scale_note: str = ""
    separation: str  # how single particles were told apart
    warnings: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()  # spectra that could not be used
    particles: tuple[ParticleRecord, ...] = ()
    settings: str = ""  # digest of what decides the result beside the image


class ClassifiedRecord(Record):
    """A batch of micrographs and the shares of their samples."""

    version: Literal[1] = 1
    images: tuple[str, ...]
    failures: tuple[Failure, ...] = ()
    classes: tuple[str, ...]
    shares: tuple[Share, ...] = ()
    warnings: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()  # spectra that could not be used, of all micrographs
    command: str = ""
    provenance: dict[str, str] = Field(default_factory=dict)


def write_particles(folder: Path, record: ParticlesRecord) -> Path:
    """Write the record of a micrograph into `folder`, whole or not at all."""
    path = Path(folder) / f"{record.name}{SUFFIX}"
    write_text(path, record.model_dump_json() + "\n")
    return path


def read_particles(path: Path) -> ParticlesRecord:
    """Read one. Raises InputError if there is none, or it is of another kind or version."""
    return _read(path, TypeAdapter(ParticlesRecord))


def write_folder(folder: Path, batch: ClassifiedRecord, records: Sequence[ParticlesRecord]) -> None:
    """Write the table of particles, that of shares, and the record of the batch, which comes last."""
    _write_csv(folder / PARTICLES, columns(records), [row for record in records for row in rows_of(record)])
    shares = [asdict(share) for share in batch.shares]
    _write_csv(folder / SHARES, list(Share.__dataclass_fields__), shares)
    write_text(folder / FOLDER_FILE, batch.model_dump_json(indent=1) + "\n")


def read_folder(folder: Path) -> ClassifiedRecord:
    """Read the record of a batch. Raises InputError as `read_particles`."""
    return _read(Path(folder) / FOLDER_FILE, TypeAdapter(ClassifiedRecord))


def columns(records: Sequence[ParticlesRecord]) -> list[str]:
    """The header of the table of particles: elements in the order in which they come."""
    elements = dict.fromkeys(e.element for r in records for p in r.particles for e in p.elements if e.share > 0)
    return [*FIXED, *SIZES, "spectrum", "counts", *(f"intensity_share_{e}" for e in elements), *NAMED, "deciding_lines"]


def rows_of(record: ParticlesRecord) -> list[dict[str, object]]:
    """One dict a particle, keyed by column; None where nothing is known."""
    return [
        {
            "sample": record.sample, "image": record.name, "particle": p.number, "instance": p.instance,
            "x_px": p.x_px, "y_px": p.y_px, "cut_by_frame": p.cut, "unit": record.unit, **p.sizes,
            "spectrum": p.spectrum, "counts": p.counts,
            **{f"intensity_share_{e.element}": e.share for e in p.elements if e.share > 0},
            "class": p.name, "confidence": p.confidence, "second_class": p.second,
            "second_confidence": p.second_confidence, "rejected": p.rejected if p.name else None,
            "decided_by": p.decided_by, "note": p.note,
            "deciding_lines": " ".join(f"{n} {s:.2f}" for n, s in p.decision.lines) if p.decision else "",
        }
        for p in record.particles
    ]  # fmt: skip


def _write_csv(path: Path, header: list[str], rows: Sequence[dict[str, object]]) -> None:
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows({key: _written(value) for key, value in row.items()} for row in rows)


def _written(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) >= NOTHING else "0"
    return str(value)


def _read(path: Path, kind: TypeAdapter[T]) -> T:
    path = existing_file(path, "what 'sem-train classify predict' wrote")
    try:
        return kind.validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read as a result of 'sem-train classify predict'; predict again"
        ) from error
