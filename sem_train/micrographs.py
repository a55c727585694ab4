"""Micrographs and label maps as files: PNG, TIFF and JPEG of 8 or 16 bits.

The pixel size comes with the micrograph where the instrument wrote it (FEI/Thermo
TIFF); it is never guessed from resolution tags, which cameras and editors fill at will.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, PngImagePlugin

from sem_train.classes import ClassMap
from semforge.errors import InputError
from semforge.files import existing_file, whole_file

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
CLASSES_KEY = "semforge_classes"  # PNG text chunk that holds ClassMap.to_json()
PIXEL_SIZE_KEY = "semforge_pixel_size_um"  # PNG text chunk that holds the pixel edge in µm
# what the readers raise of files that are broken; those of imagecodecs are RuntimeErrors
BROKEN = (
    OSError, SyntaxError, ValueError, IndexError, RuntimeError, struct.error, tifffile.TiffFileError,
    Image.DecompressionBombError,
)  # fmt: skip
PNG_16_BIT_COLOUR = {(16, 2), (16, 4), (16, 6)}  # bit depth and colour type of files that Pillow cuts to 8 bits
LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


@dataclass(frozen=True)
class Micrograph:
    """A grey image as the detector gave it."""

    image: np.ndarray  # (H, W) uint8 or uint16
    pixel_size_um: float | None = None  # edge of a square pixel; None where the file does not say


class LabelMap(NamedTuple):
    """Class ids or label values of an image, and what the file says they mean."""

    labels: np.ndarray  # (H, W) uint8 or uint16
    classes: ClassMap | None  # None where the file does not say


def image_files(folder: Path) -> list[Path]:
    """The image files of a folder, sorted by name. Raises InputError if `folder` is none or has none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected one with images ({', '.join(SUFFIXES)})")
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    if not files:
        raise InputError(f"{folder}: has no image ({', '.join(SUFFIXES)})")
    return files


def read_micrograph(path: Path) -> Micrograph:
    """Read a micrograph as grey levels; colour is reduced to luminance, alpha is dropped.

    Raises InputError if the file is missing, no image, a stack, or not of 8 or 16 bits.
    """
    path = existing_file(path, "a micrograph (PNG, TIFF or JPEG)")
    array, notes = _read(path, as_labels=False)
    return Micrograph(_grey(array), _noted_pixel_size_um(notes, path))


def read_label_map(path: Path) -> LabelMap:
    """Read an image of class ids or label values, never rescaled: (H, W) uint8 or uint16.

    The class map is that of the PNG text chunk `semforge_classes`, None where there is none.
    RGB(A) is accepted only if its colour channels are equal. Raises InputError otherwise, and
    as `read_micrograph`.
    """
    path = existing_file(path, "a label map (PNG or TIFF of class ids)")
    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise InputError(f"{path}: JPEG changes class ids, expected a label map as PNG or TIFF")
    array, notes = _read(path, as_labels=True)
    colours = _colours(array)
    if (colours != colours[..., :1]).any():
        raise InputError(f"{path}: is a colour image, expected a label map with one class id a pixel; save it as grey "
                         "levels, one a class, and name them under 'values' of the classes")  # fmt: skip
    return LabelMap(np.ascontiguousarray(colours[..., 0]), _noted_classes(notes, path))


def write_label_map(path: Path, labels: np.ndarray, classes: ClassMap, pixel_size_um: float | None = None) -> None:
    """Write (H, W) uint8 class ids as a PNG that carries its class map and, where known, its pixel size."""
    text = PngImagePlugin.PngInfo()
    text.add_text(CLASSES_KEY, classes.to_json())
    if pixel_size_um is not None:
        text.add_text(PIXEL_SIZE_KEY, repr(float(pixel_size_um)))
    with whole_file(path) as temporary:
        Image.fromarray(np.asarray(labels, dtype=np.uint8)).save(temporary, format="PNG", pnginfo=text)


def _read(path: Path, as_labels: bool) -> tuple[np.ndarray, dict[str, str]]:
    """Pixels (H, W) or (H, W, channels), and what the file notes: text chunks, pixel size."""
    read = _read_tiff if path.suffix.lower() in (".tif", ".tiff") else _read_other
    try:
        array, notes = read(path, as_labels)
    except InputError:
        raise
    except BROKEN as error:
        raise InputError(f"{path}: cannot be read as an image, expected PNG, TIFF or JPEG") from error
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) if as_labels else array * np.uint8(255)
    # numbers of instances, and what Pillow widens to its mode "I", are often of more bits than they need
    if as_labels or array.dtype == np.int32:
        array = _narrowed(array)
    if array.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path}: has pixels of type {array.dtype}, expected 8 or 16 bits unsigned")
    if array.ndim not in (2, 3) or array.size == 0:
        raise InputError(f"{path}: has shape {array.shape}, expected one image of height × width pixels")
    return array, notes


def _narrowed(array: np.ndarray) -> np.ndarray:
    """Whole numbers from 0 to 65535 as uint16; anything else as it is."""
    if array.dtype in (np.uint8, np.uint16) or not np.issubdtype(array.dtype, np.integer) or array.size == 0:
        return array
    fits = array.min() >= 0 and array.max() <= np.iinfo(np.uint16).max
    return array.astype(np.uint16) if fits else array


def _read_tiff(path: Path, as_labels: bool) -> tuple[np.ndarray, dict[str, str]]:
    with tifffile.TiffFile(path) as file:
        pages = len(file.series[0].pages)
        if pages > 1:
            raise InputError(f"{path}: is a stack of {pages} images, expected one image a file")
        page = file.pages.first
        array = page.asarray()
        if page.axes == "SYX":  # colour planes one after the other
            array = np.moveaxis(array, 0, -1)
        if page.photometric == tifffile.PHOTOMETRIC.PALETTE and not as_labels:
            array = (np.moveaxis(page.colormap, 0, -1)[array] >> 8).astype(np.uint8)
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and not as_labels:
            array = np.invert(array)
        scan = (file.fei_metadata or {}).get("Scan", {})
    width_m, height_m = scan.get("PixelWidth"), scan.get("PixelHeight")
    if not width_m or not height_m:
        return array, {}
    if abs(width_m / height_m - 1) > 0.01:
        raise InputError(f"{path}: its pixels are {width_m:g} × {height_m:g} m, expected square pixels")
    return array, {PIXEL_SIZE_KEY: repr(float(width_m) * 1e6)}


def _read_other(path: Path, as_labels: bool) -> tuple[np.ndarray, dict[str, str]]:
    with Image.open(path) as image:
        image.load()
        notes = dict(getattr(image, "text", {}))
        keep = ("1", "L", "LA", "I;16", "I", "F", "RGB", "RGBA", *(("P",) if as_labels else ()))
        is_png = image.format == "PNG"
        array = np.asarray(image if image.mode in keep else image.convert("RGB"))
    if is_png:
        content = path.read_bytes()
        if (content[24], content[25]) in PNG_16_BIT_COLOUR:  # of the header chunk, which comes first
            array = imagecodecs.png_decode(content)
    return array, notes


def _colours(array: np.ndarray) -> np.ndarray:
    """(H, W, 1 or 3) without alpha."""
    if array.ndim == 2:
        return array[..., None]
    return array[..., :3] if array.shape[-1] >= 3 else array[..., :1]


def _grey(array: np.ndarray) -> np.ndarray:
    colours = _colours(array)
    if (colours == colours[..., :1]).all():
        return np.ascontiguousarray(colours[..., 0])
    return np.rint(colours @ LUMINANCE).astype(array.dtype)


def _noted_classes(notes: dict[str, str], path: Path) -> ClassMap | None:
    if CLASSES_KEY not in notes:
        return None
    try:
        return ClassMap.from_json(notes[CLASSES_KEY])
    except ValueError as error:
        raise InputError(f"{path}: its text chunk {CLASSES_KEY!r} is not a class map; predict it again") from error


def _noted_pixel_size_um(notes: dict[str, str], path: Path) -> float | None:
    if PIXEL_SIZE_KEY not in notes:
        return None
    try:
        return float(notes[PIXEL_SIZE_KEY])
    except ValueError as error:
        raise InputError(f"{path}: its {PIXEL_SIZE_KEY!r} is {notes[PIXEL_SIZE_KEY]!r}, expected µm") from error
