"""Image files to arrays of pixels, and arrays to grey levels."""

import struct
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from sem_train.micrographs.files import is_tiff
from sem_train.micrographs.label_tiff import noted_classes
from sem_train.micrographs.notes import CLASSES_KEY
from semforge.errors import InputError

# what the readers raise of files that are broken; those of imagecodecs are RuntimeErrors
BROKEN = (
    OSError, SyntaxError, ValueError, IndexError, RuntimeError, struct.error, tifffile.TiffFileError,
    Image.DecompressionBombError,
)  # fmt: skip
PNG_16_BIT_COLOUR = {(16, 2), (16, 4), (16, 6)}  # bit depth and colour type of files that Pillow cuts to 8 bits
LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def read_pixels(path: Path, as_labels: bool = False) -> tuple[np.ndarray, dict[str, str]]:
    """Pixels (H, W) or (H, W, channels) of 8 or 16 bits, and the text chunks of a PNG or the class map noted in a TIFF.

    As labels, whole numbers of other types are narrowed and a palette's ids stay ids. Raises InputError if the file
    is no image, a stack, or of other pixels.
    """
    read = _read_tiff if is_tiff(path) else _read_other
    try:
        array, notes = read(path, as_labels)
    except InputError:
        raise
    except BROKEN as error:
        raise unreadable(path) from error
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


def unreadable(path: Path) -> InputError:
    """The error of a file that no reader takes."""
    return InputError(f"{path}: cannot be read as an image, expected PNG, TIFF or JPEG")


def only_page(file: tifffile.TiffFile, path: Path) -> tifffile.TiffPage:
    """The one image of a TIFF file, pyramid levels and thumbnails aside. Raises InputError if it is a stack."""
    pages = len(file.series[0].pages)
    if pages > 1:
        raise InputError(f"{path}: is a stack of {pages} images, expected one image a file")
    return file.pages.first


def as_shown(array: np.ndarray, page: tifffile.TiffPage) -> np.ndarray:
    """Pixels of a page, or of a part of it, as a viewer shows them: palettes looked up, white-is-zero inverted."""
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        return (np.moveaxis(page.colormap, 0, -1)[array] >> 8).astype(np.uint8)
    return np.invert(array) if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE else array


def colours(array: np.ndarray) -> np.ndarray:
    """(H, W, 1 or 3) without alpha."""
    if array.ndim == 2:
        return array[..., None]
    return array[..., :3] if array.shape[-1] >= 3 else array[..., :1]


def grey(array: np.ndarray) -> np.ndarray:
    """(H, W) of the same type: luminance of colours, alpha dropped."""
    channels = colours(array)
    if (channels == channels[..., :1]).all():
        return np.ascontiguousarray(channels[..., 0])
    return np.rint(channels @ LUMINANCE).astype(array.dtype)


def _narrowed(array: np.ndarray) -> np.ndarray:
    """Whole numbers from 0 to 65535 as uint16; anything else as it is."""
    if array.dtype in (np.uint8, np.uint16) or not np.issubdtype(array.dtype, np.integer) or array.size == 0:
        return array
    fits = array.min() >= 0 and array.max() <= np.iinfo(np.uint16).max
    return array.astype(np.uint16) if fits else array


def _read_tiff(path: Path, as_labels: bool) -> tuple[np.ndarray, dict[str, str]]:
    with tifffile.TiffFile(path) as file:
        page = only_page(file, path)
        array = page.asarray()
        if page.axes == "SYX":  # colour planes one after the other
            array = np.moveaxis(array, 0, -1)
        text = noted_classes(file)
        return (array if as_labels else as_shown(array, page)), {} if text is None else {CLASSES_KEY: text}


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
