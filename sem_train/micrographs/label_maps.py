"""Label maps as files."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, PngImagePlugin

from sem_train.classes import ClassMap
from sem_train.micrographs.notes import CLASSES_KEY, PIXEL_SIZE_KEY
from sem_train.micrographs.pixels import colours, read_pixels
from semforge.errors import InputError
from semforge.files import existing_file, whole_file


class LabelMap(NamedTuple):
    """Class ids or label values of an image, and what the file says they mean."""

    labels: np.ndarray  # (H, W) uint8 or uint16
    classes: ClassMap | None  # None where the file does not say


def read_label_map(path: Path) -> LabelMap:
    """Read an image of class ids or label values, never rescaled: (H, W) uint8 or uint16.

    The class map is that which `write_label_map` or `write_label_tiff` left, None where there is none.
    RGB(A) is accepted only if its colour channels are equal. Raises InputError otherwise, and
    as `read_micrograph`.
    """
    path = existing_file(path, "a label map (PNG or TIFF of class ids)")
    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise InputError(f"{path}: JPEG changes class ids, expected a label map as PNG or TIFF")
    array, notes = read_pixels(path, as_labels=True)
    channels = colours(array)
    if (channels != channels[..., :1]).any():
        raise InputError(f"{path}: is a colour image, expected a label map with one class id a pixel; save it as grey "
                         "levels, one a class, and name them under 'values' of the classes")  # fmt: skip
    return LabelMap(np.ascontiguousarray(channels[..., 0]), _noted_classes(notes, path))


def write_label_map(path: Path, labels: np.ndarray, classes: ClassMap, pixel_size_um: float | None = None) -> None:
    """Write (H, W) uint8 class ids as a PNG that carries its class map and, where known, its pixel size."""
    text = PngImagePlugin.PngInfo()
    text.add_text(CLASSES_KEY, classes.to_json())
    if pixel_size_um is not None:
        text.add_text(PIXEL_SIZE_KEY, repr(float(pixel_size_um)))
    with whole_file(path) as temporary:
        Image.fromarray(np.asarray(labels, dtype=np.uint8)).save(temporary, format="PNG", pnginfo=text)


def _noted_classes(notes: dict[str, str], path: Path) -> ClassMap | None:
    if CLASSES_KEY not in notes:
        return None
    try:
        return ClassMap.from_json(notes[CLASSES_KEY])
    except ValueError as error:
        raise InputError(f"{path}: its note {CLASSES_KEY!r} is not a class map; predict it again") from error
