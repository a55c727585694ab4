"""Micrographs and label maps as files: PNG, TIFF and JPEG of 8 or 16 bits, of any size, as instruments write them.

The pixel size comes with the micrograph where the instrument wrote it; it is never guessed from resolution tags,
which cameras and editors fill at will.
"""

from sem_train.micrographs.files import SUFFIXES, image_files
from sem_train.micrographs.label_maps import LabelMap, read_label_map, write_label_map
from sem_train.micrographs.label_tiff import write_label_tiff
from sem_train.micrographs.large import LargeMicrograph, open_micrograph
from sem_train.micrographs.micrograph import Micrograph, read_image, read_micrograph, read_pixel_size_um
from sem_train.micrographs.notes import CLASSES_KEY, PIXEL_SIZE_KEY
from sem_train.micrographs.pixels import BROKEN
from sem_train.micrographs.scale import NO_SCALE, Scale

__all__ = [
    "BROKEN", "CLASSES_KEY", "NO_SCALE", "PIXEL_SIZE_KEY", "SUFFIXES", "LabelMap", "LargeMicrograph", "Micrograph",
    "Scale", "image_files", "open_micrograph", "read_image", "read_label_map", "read_micrograph", "read_pixel_size_um",
    "write_label_map", "write_label_tiff",
]  # fmt: skip
