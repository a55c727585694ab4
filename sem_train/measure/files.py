"""Label map files in, measurements out."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ConfigDict

from sem_train.classes import ClassMap
from sem_train.measure.field import FieldMeasurement, measure_instance_map, measure_section
from sem_train.measure.section import Section, prepare
from sem_train.micrographs import read_label_map, read_pixel_size_um
from semforge.errors import InputError
from semforge.settings import load_settings

PARTICLES = ClassMap(classes=[{"name": "background"}, {"name": "particle", "role": "particle"}])  # of instance maps


class ClassFile(ClassMap):
    """The class map in a YAML file that may hold more, e.g. training settings."""

    model_config = ConfigDict(extra="ignore")


@dataclass(frozen=True)
class MeasuredMap:
    """One label map file, and what it shows."""

    path: Path
    labels: np.ndarray  # (H, W) class ids as in the file
    section: Section
    field: FieldMeasurement
    scale_source: Literal["given", "metadata", "none"]  # who says the pixel size
    section_tilt_deg: float

    @property
    def pixel_size_um(self) -> float | None:
        """The edge of a pixel; None where nobody says it."""
        return self.field.pixel_size_um

    @property
    def across(self) -> float:
        """Thickness in the field's unit that a pixel across a layer stands for."""
        return (self.pixel_size_um or 1.0) * math.cos(math.radians(self.section_tilt_deg))


def measure_files(
    paths: Sequence[Path], pixel_size_um: float | None = None, classes: Path | None = None
) -> dict[str, FieldMeasurement]:
    """Measure label map files, in their order, by path.

    Classes come from the YAML file `classes`, or else from each file; the pixel size likewise,
    and where neither gives it lengths are in pixels. Raises InputError that names the file that cannot be used.
    """
    results: dict[str, FieldMeasurement] = {}
    for path, result in measured_maps(paths, pixel_size_um, classes):
        if isinstance(result, InputError):
            raise result
        results[str(path)] = result.field
    return results


def measured_maps(
    paths: Sequence[Path],
    pixel_size_um: float | None = None,
    classes: Path | None = None,
    section_tilt_deg: float = 0.0,
    instances: bool = False,
    roughness_cutoff: float | None = None,
) -> Iterator[tuple[Path, MeasuredMap | InputError]]:
    """As `measure_files`, one at a time: each path with what was measured, or with why it cannot be.

    `section_tilt_deg` and `roughness_cutoff` are as in `measure_section`. With `instances` the files are instance maps
    of particles. Raises InputError at once if the pixel size or the class file cannot be used.
    """
    if instances and classes is not None:
        raise InputError(
            f"--classes {classes}: instance maps have no classes, expected one of --instances and --classes"
        )
    given = load_settings(classes, ClassFile) if classes is not None else None
    if pixel_size_um is not None and not 0 < pixel_size_um < float("inf"):
        raise InputError(f"--pixel-size-um {pixel_size_um:g}: expected more than zero")
    options = given, section_tilt_deg, instances, roughness_cutoff
    return ((Path(path), _measured(Path(path), pixel_size_um, *options)) for path in paths)


def _measured(
    path: Path, pixel_size_um: float | None, given: ClassMap | None, tilt: float, instances: bool, cutoff: float | None
) -> MeasuredMap | InputError:
    try:
        return _measure_file(path, pixel_size_um, given, tilt, instances, cutoff)
    except InputError as error:
        return error


def _measure_file(
    path: Path, pixel_size_um: float | None, given: ClassMap | None, tilt: float, instances: bool, cutoff: float | None
) -> MeasuredMap:
    labels, written = read_label_map(path)
    if instances and written is not None:
        raise InputError(f"{path}: is a label map of {', '.join(written.names)}, expected an instance map; leave out "
                         "--instances")  # fmt: skip
    numbers = labels
    classes = given or written
    if instances:
        labels, classes = (numbers > 0).astype(np.uint8), PARTICLES
    if classes is None:
        raise InputError(
            f"{path}: does not say what its class ids mean; give --classes FILE.yaml with a 'classes' list, or "
            "--instances if each number is a particle"
        )
    size = pixel_size_um if pixel_size_um is not None else read_pixel_size_um(path)
    try:
        section = prepare(labels, classes)
        field = measure_instance_map(numbers, size) if instances else measure_section(section, size, tilt, cutoff)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    source: Literal["given", "metadata", "none"] = (
        "none" if size is None else "metadata" if pixel_size_um is None else "given"
    )
    return MeasuredMap(path, labels, section, field, source, tilt)
