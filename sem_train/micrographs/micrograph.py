"""A micrograph as one object: its grey levels, and what is known of scale, databar and instrument."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sem_train.micrographs.databar import find_databar, is_drawn
from sem_train.micrographs.metadata import Finding, read_metadata
from sem_train.micrographs.pixels import grey, read_pixels
from sem_train.micrographs.scale import NO_SCALE, Scale, stated_scale
from sem_train.micrographs.scale_bar import read_scale_bar, scale_by_bar
from semforge.files import existing_file

WHAT = "a micrograph (PNG, TIFF or JPEG)"


@dataclass(frozen=True)
class Micrograph:
    """A grey image as the detector gave it.

    Keys of `instrument`, where known: `instrument`, `beam_kev`, `working_distance_mm`, `detector`,
    `magnification`, `date`.
    """

    image: np.ndarray  # (H, W) uint8 or uint16, as in the file
    pixel_size_um: float | None = None  # edge of a square pixel; None where nothing says
    scale: Scale = NO_SCALE
    databar: slice | None = None  # rows that are an information strip and no specimen
    instrument: dict[str, str] = field(default_factory=dict)

    @property
    def specimen_rows(self) -> slice:
        """The rows that show specimen."""
        return specimen_rows(self.databar, len(self.image))

    @property
    def specimen(self) -> np.ndarray:
        """The image without its databar."""
        return self.image[self.specimen_rows]


def specimen_rows(databar: slice | None, height: int) -> slice:
    """The rows of an image of this height that are not databar."""
    if databar is None:
        return slice(0, height)
    return slice(0, databar.start) if databar.stop == height else slice(databar.stop, height)


def read_image(path: Path) -> np.ndarray:
    """The grey levels of a micrograph (H, W) uint8 or uint16 and nothing else. Raises as `read_micrograph`."""
    return grey(read_pixels(existing_file(path, WHAT))[0])


def read_pixel_size_um(path: Path) -> float | None:
    """What the file and its side files say of the pixel's edge; None where they do not.

    Raises InputError if the file cannot be read, or its scale is absurd or contradicts itself.
    """
    path = existing_file(path, WHAT)
    return stated_scale(path, read_metadata(path).claims).pixel_size_um


def read_micrograph(path: Path, pixel_size_um: float | None = None, accept_scale_bar: bool = False) -> Micrograph:
    """Read a micrograph as grey levels; colour is reduced to luminance, alpha is dropped.

    The scale is that of the metadata, else `pixel_size_um`, else that of a scale bar in the picture if
    `accept_scale_bar`; else there is none, and the note of the scale says what the scale bar would give.
    Raises InputError if the file is missing, no image, a stack, or not of 8 or 16 bits, and if its scale is absurd
    or contradicts itself or `pixel_size_um`.
    """
    path = existing_file(path, WHAT)
    pixels, notes = read_pixels(path)
    image = grey(pixels)
    found = read_metadata(path, notes)
    scale = stated_scale(path, found.claims, pixel_size_um)
    databar = confirmed_databar(found, image)
    if scale.source == "none":
        scale = scale_by_bar(read_scale_bar(image, databar), accept_scale_bar, found.remark)
    return Micrograph(image, scale.pixel_size_um, scale, databar, found.instrument)


def confirmed_databar(found: Finding, image: np.ndarray) -> slice | None:
    """The databar that the metadata names, if the picture has it where it has to be asked; else what is found in it."""
    if found.databar is not None and (not found.databar_to_confirm or is_drawn(image[found.databar])):
        return found.databar
    return find_databar(image)
