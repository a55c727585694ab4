"""Label map files in, measurements out."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import ConfigDict

from sem_train.classes import ClassMap
from sem_train.measure.field import FieldMeasurement, measure_label_map
from sem_train.micrographs import read_label_map, read_micrograph
from semforge.errors import InputError
from semforge.settings import load_settings


class ClassFile(ClassMap):
    """The class map in a YAML file that may hold more, e.g. training settings."""

    model_config = ConfigDict(extra="ignore")


def measure_files(
    paths: Sequence[Path], pixel_size_um: float | None = None, classes: Path | None = None
) -> dict[str, FieldMeasurement]:
    """Measure label map files, in their order, by path.

    Classes come from the YAML file `classes`, or else from each file; the pixel size likewise,
    and where neither gives it lengths are in pixels. Raises InputError that names the file that cannot be used.
    """
    given = load_settings(classes, ClassFile) if classes is not None else None
    if pixel_size_um is not None and not 0 < pixel_size_um < float("inf"):
        raise InputError(f"--pixel-size-um {pixel_size_um:g}: expected more than zero")
    return {str(path): _measure_file(Path(path), pixel_size_um, given) for path in paths}


def _measure_file(path: Path, pixel_size_um: float | None, given: ClassMap | None) -> FieldMeasurement:
    labels, written = read_label_map(path)
    classes = given or written
    if classes is None:
        raise InputError(
            f"{path}: does not say what its class ids mean; give --classes FILE.yaml with a 'classes' list"
        )
    size = pixel_size_um if pixel_size_um is not None else read_micrograph(path).pixel_size_um
    try:
        return measure_label_map(labels, classes, size)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
