"""Layer thickness along the normals of the midline.

Definition, shared with the truth of synthetic specimens: the midline lies halfway between
the two boundaries of the layer and is smoothed with a Gaussian whose sigma is one mean layer
thickness; that fixes the direction, not the boundaries. At evenly spaced positions along the
midline a normal is cast; the thickness there is the distance between the first boundary
outward and the first boundary inward on that normal (ISO 1463:2021, ASTM B487: mean of
evenly spaced normals). An inclined slab of thickness t measures t.
"""

from dataclasses import dataclass

import numpy as np

from sem_train.measure.normals import Normals
from sem_train.measure.profile import Profile, profile_of
from sem_train.measure.section import Section

RESOLVED_PX = 5.0  # a thinner layer is reported as unresolved
USABLE_FRACTION = 0.8  # below, the mean stands for too little of the layer
PRESENT_COVERAGE = 0.2  # a layer exists if it covers this share of its normals ...
PRESENT_PX = 1.5  # ... and is this thick where it does: blurred edges make thinner ones


@dataclass(frozen=True)
class LayerMeasurement:
    """One layer of one field. Lengths in the field's unit; None where nothing could be measured."""

    present: bool  # coverage >= PRESENT_COVERAGE and mean >= PRESENT_PX pixels
    mean: float | None  # mean thickness where the layer exists
    sd: float | None  # spatial spread of the thickness, not the uncertainty of its mean
    min: float | None
    max: float | None
    mean_over_all: float | None  # mean thickness, zero where the layer is missing
    coverage: float  # share of the normals at which the layer exists
    normals: int  # normals that the thickness rests on
    usable_fraction: float  # share of the covered normals whose two boundaries are in the frame
    complete: bool  # usable_fraction >= USABLE_FRACTION
    several_boundaries: float  # share of the normals that meet the layer more than once
    tilt_deg: float | None  # of the midline against the nearest image axis, counter-clockwise positive
    resolved: bool  # mean >= RESOLVED_PX pixels
    area: float  # of the envelope, inclusions and bridged cracks included
    profile: Profile | None  # thickness along the layer; None where there is no midline
    note: str  # what a reader must know; empty if nothing


def measure_layer(section: Section, name: str, pixel: float) -> LayerMeasurement:
    """Measure one layer of a section along the normals of its midline; `pixel` is the edge of a pixel in the unit."""
    mask, normals = section.envelopes[name], section.normals[name]
    area = float(np.count_nonzero(mask) * pixel**2)
    if normals is None:
        return _without_normals(mask, area)
    seen = int(normals.covered.sum())
    judged = seen + int(normals.absent.sum())
    coverage = seen / judged if judged else 0.0
    thickness = normals.thickness_px
    usable_fraction = len(thickness) / seen if seen else 0.0
    mean_px = float(thickness.mean()) if len(thickness) else None
    resolved = mean_px is not None and mean_px >= RESOLVED_PX
    present = coverage >= PRESENT_COVERAGE and (mean_px is None or mean_px >= PRESENT_PX)
    zeros = len(thickness) + int(normals.absent.sum())
    return LayerMeasurement(
        present=present,
        mean=_scaled(mean_px, pixel),
        sd=_scaled(float(thickness.std(ddof=1)), pixel) if len(thickness) > 1 else None,
        min=_scaled(float(thickness.min()), pixel) if len(thickness) else None,
        max=_scaled(float(thickness.max()), pixel) if len(thickness) else None,
        mean_over_all=float(thickness.sum() / zeros * pixel) if len(thickness) else None,
        coverage=coverage,
        normals=len(thickness),
        usable_fraction=usable_fraction,
        complete=usable_fraction >= USABLE_FRACTION,
        several_boundaries=float(normals.several.sum() / seen) if seen else 0.0,
        tilt_deg=_tilt_deg(normals),
        resolved=resolved,
        area=area,
        profile=profile_of(section, name, pixel),
        note=_note(present, resolved, mean_px, usable_fraction, coverage),
    )


def _tilt_deg(normals: Normals) -> float | None:
    if len(normals.points) < 2:
        return None
    rows, columns = normals.points.T
    return float(-np.degrees(np.arctan(np.polyfit(columns, rows, 1)[0])))


def _note(present: bool, resolved: bool, mean_px: float | None, usable: float, coverage: float) -> str:
    notes = []
    if not present:
        notes.append(f"absent: coverage {coverage:.0%}, mean {mean_px or 0.0:.1f} px")
    elif mean_px is None:
        notes.append("leaves the frame everywhere, thickness not measured")
    elif not resolved:
        notes.append(f"unresolved: {mean_px:.1f} px thick, {RESOLVED_PX:.0f} px needed")
    if present and mean_px is not None and usable < USABLE_FRACTION:
        notes.append(f"only {usable:.0%} of its normals have both boundaries in the frame")
    return "; ".join(notes)


def _scaled(value: float | None, pixel: float) -> float | None:
    return None if value is None else value * pixel


def _without_normals(mask: np.ndarray, area: float) -> LayerMeasurement:
    """A layer of which no column shows both boundaries: missing, a speck, or larger than the frame."""
    height = mask.sum(axis=0)
    coverage = float(np.count_nonzero(height) / len(height))
    present = coverage >= PRESENT_COVERAGE and float(height[height > 0].mean()) >= PRESENT_PX
    note = (
        "leaves the frame everywhere, thickness not measured" if present else "absent" if coverage else "not in the map"
    )
    return LayerMeasurement(
        present=present, mean=None, sd=None, min=None, max=None, mean_over_all=None, coverage=coverage, normals=0,
        usable_fraction=0.0, complete=False, several_boundaries=0.0, tilt_deg=None, resolved=False, area=area,
        profile=None, note=note,
    )  # fmt: skip
