"""ImageJ, OME and Olympus SIS TIFF, and semforge's own PNG chunk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import tifffile

from sem_train.micrographs.metadata.finding import NOTHING, Finding
from sem_train.micrographs.metadata.values import number, scaled, unit_um
from sem_train.micrographs.notes import PIXEL_SIZE_KEY
from sem_train.micrographs.scale import SizeClaim
from semforge.errors import InputError


def imagej_finding(values: Mapping[str, Any] | None, page: tifffile.TiffPage) -> Finding:
    """What ImageJ's description and the resolution tags it fills say: pixels per unit."""
    unit = str((values or {}).get("unit") or "").strip()
    if not unit:
        return NOTHING
    factor = unit_um(unit)
    if factor is None:
        return Finding(remark=f"ImageJ's unit is {unit!r}, which is no scale of a micrograph")
    sizes = [_per_unit(page, tag) for tag in ("XResolution", "YResolution")]
    if sizes[0] is None:
        return NOTHING
    return Finding((SizeClaim("ImageJ calibration", sizes[0] * factor, scaled(sizes[1], factor)),))


def ome_finding(xml: str | None) -> Finding:
    """What the OME-XML says of its first image: PhysicalSizeX and -Y, in µm where it names no unit."""
    if not xml:
        return NOTHING
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return NOTHING
    pixels = next((element for element in root.iter() if element.tag.rpartition("}")[2] == "Pixels"), None)
    sizes = [None, None] if pixels is None else [_ome_size(pixels, axis) for axis in "XY"]
    if sizes[0] is None:
        return NOTHING
    return Finding((SizeClaim("OME PhysicalSizeX", sizes[0], sizes[1]),))


def sis_finding(values: Mapping[str, Any] | None) -> Finding:
    """What the tag of Olympus SIS says, in metres."""
    pixel = number((values or {}).get("pixelsizex"))
    if pixel is None:
        return NOTHING
    tall = number((values or {}).get("pixelsizey"))
    return Finding((SizeClaim("Olympus SIS tag", pixel * 1e6, scaled(tall, 1e6)),))


def png_finding(notes: Mapping[str, str], path: Path) -> Finding:
    """What semforge noted in a PNG. Raises InputError if that is no number."""
    if PIXEL_SIZE_KEY not in notes:
        return NOTHING
    size = number(notes[PIXEL_SIZE_KEY])
    if size is None:
        raise InputError(f"{path}: its {PIXEL_SIZE_KEY!r} is {notes[PIXEL_SIZE_KEY]!r}, expected µm")
    return Finding((SizeClaim(f"PNG text {PIXEL_SIZE_KEY}", size),))


def _per_unit(page: tifffile.TiffPage, tag: str) -> float | None:
    value = page.tags.valueof(tag)
    if value is None:
        return None
    pixels, units = value
    return units / pixels if pixels else float("inf")


def _ome_size(pixels: ElementTree.Element, axis: str) -> float | None:
    size = number(pixels.get(f"PhysicalSize{axis}"))
    factor = unit_um(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
    return None if size is None or factor is None else size * factor
