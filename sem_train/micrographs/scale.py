"""How large a pixel is: from what the file says, what the user gives, or what a scale bar shows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

from semforge.errors import InputError

LEAST_UM, MOST_UM = 1e-5, 100.0  # edge of a pixel of any electron micrograph: 0.01 nm to 100 µm
AGREE = 0.01  # two sources that differ by less mean the same
NO_SCALE_NOTE = "the file says no pixel size; lengths are in pixels"


@dataclass(frozen=True)
class Scale:
    """The edge of a square pixel and where it is from."""

    pixel_size_um: float | None
    source: Literal["metadata", "given", "scale_bar", "none"]
    note: str  # one sentence for people


@dataclass(frozen=True)
class SizeClaim:
    """What one part of a file says of its pixels' edges, in µm; not yet believed."""

    source: str  # in the words of the format, e.g. "FEI tag PixelWidth"
    width_um: float
    height_um: float | None = None  # None where only one is given
    tolerance: float = AGREE  # wider where the value was rounded


NO_SCALE = Scale(None, "none", NO_SCALE_NOTE)


def stated_scale(path: Path, claims: Sequence[SizeClaim], given_um: float | None = None) -> Scale:
    """The scale by what the file claims, best claim first, and what the user gives.

    A given value has to agree with the file to 1 %; where the file contradicts itself it settles which claim holds.
    Raises InputError that says both values if claims contradict each other or the given value, and if one cannot be
    the pixel of an electron micrograph.
    """
    if given_um is not None and not _possible(given_um):
        raise InputError(
            f"--pixel-size-um {given_um:g}: expected {LEAST_UM:g} to {MOST_UM:g} µm a pixel; check the unit"
        )
    for claim in claims:
        _refuse_absurd(path, claim, given_um)
    clash = _clash(claims)
    if clash is not None:
        settled = [
            claim for claim in clash if given_um is not None and _agree(given_um, claim.width_um, claim.tolerance)
        ]
        if len(settled) != 1:
            one, other = clash
            raise InputError(
                f"{path}: {one.source} says {_um(one.width_um)} a pixel, {other.source} {_um(other.width_um)}; "
                "expected both the same; the image was resized or a file mixed up: give the right one of the two with "
                "--pixel-size-um"
            )
        return Scale(given_um, "given", f"{_um(given_um)} a pixel as given, as {settled[0].source} says")
    if not claims:
        return NO_SCALE if given_um is None else Scale(given_um, "given", f"{_um(given_um)} a pixel as given")
    best = claims[0]
    if given_um is None:
        return Scale(best.width_um, "metadata", f"{_um(best.width_um)} a pixel by {best.source}")
    if not _agree(given_um, best.width_um, best.tolerance):
        raise InputError(
            f"{path}: --pixel-size-um is {given_um:g}, but {best.source} says {_um(best.width_um)} a pixel; leave the "
            "option out to take that of the file, or save the image as PNG without it to take yours"
        )
    return Scale(given_um, "given", f"{_um(given_um)} a pixel as given, as {best.source} says")


def _refuse_absurd(path: Path, claim: SizeClaim, given_um: float | None) -> None:
    width, height = claim.width_um, claim.width_um if claim.height_um is None else claim.height_um
    yours = "" if given_um is None else f" (--pixel-size-um is {given_um:g})"
    if not (_possible(width) and _possible(height)):
        size = f"{width:g}" if claim.height_um is None else f"{width:g} × {height:g}"
        raise InputError(
            f"{path}: {claim.source} says {size} µm a pixel, expected {LEAST_UM:g} to {MOST_UM:g} µm{yours}; correct "
            "it, or save the image as PNG without it and give --pixel-size-um"
        )
    if not _agree(width, height, AGREE):
        raise InputError(
            f"{path}: {claim.source} says pixels of {width:g} × {height:g} µm, expected square pixels{yours}; "
            "resample the image to square pixels"
        )


def _clash(claims: Sequence[SizeClaim]) -> tuple[SizeClaim, SizeClaim] | None:
    for one, other in combinations(claims, 2):
        if not _agree(one.width_um, other.width_um, max(one.tolerance, other.tolerance)):
            return one, other
    return None


def _possible(size_um: float) -> bool:
    return math.isfinite(size_um) and LEAST_UM <= size_um <= MOST_UM


def _agree(one: float, other: float, tolerance: float) -> bool:
    return abs(one - other) <= tolerance * max(abs(one), abs(other))


def _um(size_um: float) -> str:
    return f"{size_um:.6g} µm"
