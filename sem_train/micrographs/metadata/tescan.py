"""Tescan: INI text in a TIFF tag, or in a `.hdr` file beside the image; lengths in metres."""

import struct
from collections.abc import Mapping

from sem_train.micrographs.metadata.finding import NOTHING, Finding
from sem_train.micrographs.metadata.values import flat, ini, known, moment, number, scaled, shown
from sem_train.micrographs.scale import SizeClaim

TAG = 50431
THUMBNAIL = 1  # kind of the block that is a small JPEG; all others are text


def tag_text(value: bytes, byteorder: str = "<") -> str:
    """The text in tag 50431: blocks of (size, kind, content), or plain text as some programs write it."""
    parts, position = [], 0
    while position + 6 <= len(value):
        size, kind = struct.unpack_from(f"{byteorder}IH", value, position)
        end = position + 4 + size  # the size counts the kind too
        if size < 2 or end > len(value):
            return value.decode("latin-1")
        if kind != THUMBNAIL:
            parts.append(value[position + 6 : end].decode("latin-1"))
        position = end
    return "\n".join(parts)


def tescan_finding(text: str, source: str, shape: tuple[int, int]) -> Finding:
    """What the INI text in `source` ("Tescan tag" or the name of a file) says of an image of this height and width."""
    values = flat(ini(text))
    pixel = number(values.get("PixelSizeX"))
    if pixel is None:
        return NOTHING
    tall = number(values.get("PixelSizeY"))
    claim = SizeClaim(f"{source} PixelSizeX", pixel * 1e6, scaled(tall, 1e6))
    strip = number(values.get("ImageStripSize"))
    height = shape[0]
    databar = slice(height - int(strip), height) if strip is not None and 0 < strip < height else None
    # images saved without the strip keep its size in the tag
    return Finding((claim,), databar, databar_to_confirm=True, instrument=_conditions(values))


def _conditions(values: Mapping[str, str]) -> dict[str, str]:
    volts = number(values.get("HV")) or number(values.get("AcceleratorVoltage"))
    return known(
        instrument=values.get("DeviceModel") or values.get("Device"),
        beam_kev=shown(scaled(volts, 1e-3)),
        working_distance_mm=shown(scaled(number(values.get("WD")), 1e3)),
        detector=values.get("Detector") or values.get("Detector0"),
        magnification=shown(number(values.get("Magnification"))),
        date=moment(f"{values.get('Date', '')} {values.get('Time', '')}", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"),
    )
