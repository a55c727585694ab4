"""Hitachi: a text file beside the image, its pixel size in nanometres."""

import re

from sem_train.micrographs.metadata.finding import NOTHING, Finding
from sem_train.micrographs.metadata.values import ini, known, leading_number, length_um, moment, number, scaled, shown
from sem_train.micrographs.scale import SizeClaim

SECTIONS = ("SemImageFile", "TemImageFile")


def hitachi_finding(text: str, source: str, shape: tuple[int, int]) -> Finding:
    """What the text of the file `source` says of an image of this shape; nothing if it is of another kind."""
    values = next((section for name, section in ini(text).items() if name in SECTIONS), None)
    if values is None:
        return NOTHING
    claims = []
    pixel_nm = number(values.get("PixelSize"))
    if pixel_nm is not None:
        pixel_um = pixel_nm * 1e-3
        claims.append(SizeClaim(f"{source} PixelSize", pixel_um))
        size = re.fullmatch(r"\s*(\d+)\s*[xX]\s*(\d+)\s*", values.get("DataSize", ""))
        if size and int(size.group(1)):
            columns = int(size.group(1))
            claims.append(SizeClaim(f"{source} PixelSize, for an image {columns} pixels wide and not {shape[1]},",
                                    pixel_um * columns / shape[1]))  # fmt: skip
    distance = values.get("WorkingDistance")
    conditions = known(
        instrument=values.get("InstructName"),
        beam_kev=shown(scaled(leading_number(values.get("AcceleratingVoltage")), 1e-3)),
        working_distance_mm=shown(scaled(length_um(distance) or leading_number(distance), 1e-3)),
        detector=values.get("SignalName"),
        magnification=shown(leading_number(values.get("Magnification"))),
        date=moment(f"{values.get('Date', '')} {values.get('Time', '')}", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d"),
    )
    return Finding(tuple(claims), instrument=conditions)
