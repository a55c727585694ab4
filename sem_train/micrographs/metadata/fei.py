"""FEI and Thermo Fisher: an INI text in a TIFF tag, lengths in metres."""

from collections.abc import Mapping
from typing import Any

from sem_train.micrographs.metadata.finding import NOTHING, Finding
from sem_train.micrographs.metadata.values import known, moment, number, scaled, shown
from sem_train.micrographs.scale import SizeClaim

Sections = Mapping[str, Mapping[str, Any]]


def fei_finding(sections: Sections | None, shape: tuple[int, int]) -> Finding:
    """What `TiffFile.fei_metadata` says of an image of this height and width."""
    if not sections:
        return NOTHING
    height, width = shape
    scan = _scan(sections)
    claims = []
    pixel = number(scan.get("PixelWidth"))
    if pixel is not None:
        tall = number(scan.get("PixelHeight"))
        claims.append(SizeClaim("FEI tag PixelWidth", pixel * 1e6, scaled(tall, 1e6)))
    field = number(scan.get("HorFieldsize"))
    if field is None:
        field = number(_beam(sections).get("HFW"))
    if field is not None:
        claims.append(SizeClaim(f"FEI field width of {field * 1e6:.6g} µm over {width} pixels", field / width * 1e6))
    return Finding(tuple(claims), _databar(sections, height, width), instrument=_conditions(sections, field))


def _scan(sections: Sections) -> Mapping[str, Any]:
    if number(sections.get("Scan", {}).get("PixelWidth")) is not None:
        return sections["Scan"]
    return sections.get(str(sections.get("Beam", {}).get("Scan", "EScan")), {})


def _beam(sections: Sections) -> Mapping[str, Any]:
    return sections.get(str(sections.get("Beam", {}).get("Beam", "EBeam")), {})


def _databar(sections: Sections, height: int, width: int) -> slice | None:
    image = sections.get("Image", {})
    rows, columns = number(image.get("ResolutionY")), number(image.get("ResolutionX"))
    if rows is None or columns != width or not 0 < rows < height:
        return None
    return slice(int(rows), height)


def _conditions(sections: Sections, field_m: float | None) -> dict[str, str]:
    beam, detector = _beam(sections), sections.get("Detectors", {})
    user = sections.get("User", {})
    volts = number(beam.get("HV")) or number(sections.get("Beam", {}).get("HV"))
    canvas = number(sections.get("Image", {}).get("MagCanvasRealWidth"))
    created = sections.get("PrivateFei", {}).get("TimeOfCreation")
    return known(
        instrument=sections.get("System", {}).get("SystemType"),
        beam_kev=shown(scaled(volts, 1e-3)),
        working_distance_mm=shown(scaled(number(beam.get("WD")), 1e3)),
        detector=" ".join(str(part) for part in (detector.get("Name"), detector.get("Mode")) if part),
        magnification=shown(canvas / field_m) if canvas and field_m else None,
        # the user's date is written as the computer's country writes it, that of creation always alike
        date=moment(created, "%d.%m.%Y %H:%M:%S") or f"{user.get('Date') or ''} {user.get('Time') or ''}",
    )
