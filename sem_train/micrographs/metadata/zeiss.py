"""Zeiss SmartSEM: lines of text in the TIFF tag CZ_SEM."""

import re
from collections.abc import Mapping
from typing import Any

from sem_train.micrographs.metadata.finding import NOTHING, Finding
from sem_train.micrographs.metadata.values import known, moment, number, scaled, shown, unit_um
from sem_train.micrographs.scale import SizeClaim

SCREEN_PX = 1024  # the pixel size of the screen is that of an image of so many columns
SCREEN_PIXEL_M = 3  # place of the pixel's edge on the screen among the values without a name


def zeiss_finding(tag: Mapping[str, Any] | None, shape: tuple[int, int]) -> Finding:
    """What `TiffFile.sem_metadata` says of an image of this height and width."""
    if not tag:
        return NOTHING
    width = shape[1]
    claims = []
    pixel = _pixel_um(tag, width)
    if pixel is not None:
        claims.append(pixel)
    field = _um(tag, "ap_width")
    if field is not None:
        claims.append(SizeClaim(f"Zeiss field width of {field:.6g} µm over {width} pixels", field / width))
    return Finding(tuple(claims), instrument=_conditions(tag))


def _pixel_um(tag: Mapping[str, Any], width: int) -> SizeClaim | None:
    for key in ("ap_image_pixel_size", "ap_pixel_size"):
        size = _um(tag, key)
        # the other pixel size is that of the screen
        if size is not None and "image" in str(tag[key][0]).lower():
            return SizeClaim("Zeiss tag Image Pixel Size", size)
    unnamed = tag.get("", ())
    screen_m = number(unnamed[SCREEN_PIXEL_M]) if len(unnamed) > SCREEN_PIXEL_M else None
    if screen_m:
        return SizeClaim("Zeiss tag, pixel of the screen", screen_m * 1e6 * SCREEN_PX / width)
    screen_um = _um(tag, "ap_pixel_size")
    return None if screen_um is None else SizeClaim("Zeiss tag Pixel Size", screen_um * SCREEN_PX / width)


def _um(tag: Mapping[str, Any], key: str) -> float | None:
    entry = tag.get(key, ())
    if len(entry) < 3:
        return None
    value, factor = number(entry[1]), unit_um(str(entry[2]))
    return None if value is None or factor is None else value * factor


def _value(tag: Mapping[str, Any], key: str) -> Any:
    entry = tag.get(key, ())
    return entry[1] if len(entry) > 1 else None


def _magnification(tag: Mapping[str, Any]) -> float | None:
    found = re.fullmatch(r"\s*([\d.]+)\s*(K?)\s*X?\s*", str(_value(tag, "ap_mag") or ""), re.IGNORECASE)
    return float(found.group(1)) * (1000 if found.group(2) else 1) if found else None


def _kilovolts(tag: Mapping[str, Any]) -> float | None:
    for key in ("ap_actualkv", "ap_manualkv", "ap_eht"):
        value = number(_value(tag, key))
        if value is not None:
            unit = str(tag[key][2]).lower() if len(tag[key]) > 2 else "kv"
            return value * (1e-3 if unit == "v" else 1)
    return None


def _conditions(tag: Mapping[str, Any]) -> dict[str, str]:
    serial = _value(tag, "sv_serial_number")
    when = f"{_value(tag, 'ap_date') or ''} {_value(tag, 'ap_time') or ''}"
    return known(
        instrument=f"Zeiss {serial}" if serial else "Zeiss",
        beam_kev=shown(_kilovolts(tag)),
        working_distance_mm=shown(scaled(_um(tag, "ap_wd"), 1e-3)),
        detector=_value(tag, "dp_detector_channel") or _value(tag, "dp_detector_type"),
        magnification=shown(_magnification(tag)),
        date=moment(when, "%d %b %Y %H:%M:%S", "%d %b %Y"),
    )
