"""JEOL: a text file beside the image with `$KEY value` lines."""

from sem_train.micrographs.metadata.finding import NOTHING, Finding
from sem_train.micrographs.metadata.values import known, leading_number, length_um, moment, number, shown
from sem_train.micrographs.scale import AGREE, SizeClaim

FIELD = "CM_FIELD_OF_VIEW"  # over the columns of the image at hand, so it holds for a resized one too


def jeol_finding(text: str, source: str, shape: tuple[int, int]) -> Finding:
    """What the text of the file `source` says of an image of this shape; nothing if it is of another kind."""
    values = _values(text)
    if not any(key.startswith(("CM_", "SM_", "EM_")) for key in values):
        return NOTHING
    height, width = shape
    columns, rows = _size(values)
    claims = _claims(values, source, width)
    edges = [claim for claim in claims if FIELD not in claim.source]
    if edges and columns and columns != width:
        best = edges[0]
        resized = f"{source}, for an image {columns} pixels wide and not {width},"
        claims.append(SizeClaim(resized, best.width_um * columns / width, tolerance=best.tolerance))
    databar = slice(rows, height) if rows and columns == width and rows < height else None
    conditions = known(
        instrument=values.get("CM_INSTRUMENT"),
        beam_kev=shown(leading_number(values.get("CM_ACCEL_VOLT"))),
        working_distance_mm=shown(leading_number(values.get("SM_WD"))),
        detector=values.get("CM_SIGNAL"),
        magnification=shown(leading_number(values.get("CM_MAG"))),
        date=moment(f"{values.get('CM_DATE', '')} {values.get('CM_TIME', '')}", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d"),
    )
    return Finding(tuple(claims), databar, instrument=conditions)


def _values(text: str) -> dict[str, str]:
    """By key without its leading `$` or `$$`, which differ between instruments."""
    lines = (line.strip().split(None, 1) for line in text.splitlines() if line.strip().startswith("$"))
    return {line[0].lstrip("$"): line[1].strip() if len(line) > 1 else "" for line in lines}


def _size(values: dict[str, str]) -> tuple[int, int]:
    """Columns and rows of the image without its databar; 0 where the file does not say."""
    parts = values.get("CM_FULL_SIZE", "").split()
    return (int(parts[0]), int(parts[1])) if len(parts) == 2 and all(part.isdigit() for part in parts) else (0, 0)


def _claims(values: dict[str, str], source: str, width: int) -> list[SizeClaim]:
    claims = []
    stated = length_um(values.get("CM_PIXEL_SIZE"))
    if stated is not None:
        claims.append(SizeClaim(f"{source} $CM_PIXEL_SIZE", stated))
    field = length_um((values.get("CM_FIELD_OF_VIEW") or "").split()[0]) if values.get("CM_FIELD_OF_VIEW") else None
    if field is not None:
        claims.append(SizeClaim(f"{source} ${FIELD} over {width} pixels", field / width))
    per_metre = number(values.get("EM_PIXELSPERMETER_X"))
    if per_metre:
        tall = number(values.get("EM_PIXELSPERMETER_Y"))
        claims.append(SizeClaim(f"{source} $$EM_PIXELSPERMETER_X", 1e6 / per_metre, 1e6 / tall if tall else None))
    bar, marker = number(values.get("SM_MICRON_BAR")), length_um(values.get("SM_MICRON_MARKER"))
    if bar is not None and marker is not None:
        # the bar's length is a whole number of pixels
        size = marker / bar if bar else float("inf")
        claims.append(SizeClaim(f"{source} $$SM_MICRON_MARKER over $$SM_MICRON_BAR", size,
                                tolerance=AGREE + (1 / bar if bar else 0)))  # fmt: skip
    return claims
