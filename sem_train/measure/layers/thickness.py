"""Layer thickness along the normals of the midline.

Definition, shared with the truth of synthetic specimens: the midline lies halfway between
the two boundaries of the layer and is smoothed with a Gaussian whose sigma is one mean layer
thickness; that fixes the direction, not the boundaries. At evenly spaced positions along the
midline a normal is cast; the thickness there is the distance between the first boundary
outward and the first boundary inward on that normal (ISO 1463:2021, ASTM B487: mean of
evenly spaced normals). An inclined slab of thickness t measures t.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sem_train.measure.bodies.line import InclusionLine
from sem_train.measure.layers.censoring import censored_mean
from sem_train.measure.layers.evidence import PRESENT_COVERAGE, PRESENT_PX, Evidence
from sem_train.measure.layers.local_thickness import LocalThickness, measure_local_thickness
from sem_train.measure.layers.normals import Normals
from sem_train.measure.layers.parts import LayerPart, parts_of
from sem_train.measure.layers.profile import Profile, profile_of
from sem_train.measure.layers.roughness import Interface, measure_interfaces
from sem_train.measure.section import Section

__all__ = ["PRESENT_COVERAGE", "PRESENT_PX", "LayerMeasurement", "Normals", "measure_layer"]

RESOLVED_PX = 5.0  # a thinner layer is reported as unresolved
USABLE_FRACTION = 0.8  # below, the mean stands for too little of the layer
PERCENTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True)
class LayerMeasurement:
    """One layer of one field. Lengths in the field's unit; None where nothing could be measured.

    Lengths across the layer are corrected for the obliquity of the section; `area` and positions along it are not.
    """

    present: bool  # what `evidence` says
    evidence: Evidence
    mean: float | None  # mean thickness where the layer exists; a lower bound if `censored`
    sd: float | None  # spatial spread of the thickness, not the uncertainty of its mean
    min: float | None
    max: float | None
    percentiles: dict[int, float]  # of the thickness along the layer; empty where nothing was measured
    mean_over_all: float | None  # mean thickness, zero where the layer is missing
    coverage: float  # share of the normals at which the layer exists
    normals: int  # normals that the thickness rests on
    usable_fraction: float  # share of the covered normals whose two boundaries are in the frame
    usable_length: float  # of the midline where both boundaries are in the frame
    complete: bool  # usable_fraction >= USABLE_FRACTION
    censored: bool  # normals are dropped because the layer leaves the frame across its thickness
    mean_censored: float | None  # mean that counts what the frame shows of the rest (censoring.py)
    several_boundaries: float  # share of the normals that meet the layer more than once
    tilt_deg: float | None  # of the midline against the nearest image axis, counter-clockwise positive
    resolved: bool  # mean >= RESOLVED_PX pixels
    area: float  # of the envelope, inclusions and bridged cracks included
    profile: Profile | None  # thickness along the layer; None where there is no midline
    local_thickness: LocalThickness | None  # of the envelope
    roughness: dict[str, Interface]  # of the "outer" and "inner" interface, where it could be measured
    parts: tuple[LayerPart, ...]  # outward and inward part where a line of inclusions splits the layer
    section_tilt_deg: float  # obliquity of the section that lengths are corrected for
    note: str  # what a reader must know; empty if nothing


def measure_layer(
    section: Section,
    name: str,
    pixel: float,
    lines: Mapping[str, InclusionLine] | None = None,
    section_tilt_deg: float = 0.0,
    roughness_cutoff: float | None = None,
) -> LayerMeasurement:
    """Measure one layer of a section along the normals of its midline; `pixel` is the edge of a pixel in the unit.

    `lines` by class of inclusion: the clearest that lies in this layer splits it into two parts. `section_tilt_deg` is
    the obliquity of the section. `roughness_cutoff` parts roughness from waviness, in the unit wanted; left out, it is
    the layer's mean thickness.
    """
    mask, normals = section.envelopes[name], section.normals[name]
    area = float(np.count_nonzero(mask) * pixel**2)
    if normals is None:
        return _without_normals(mask, area, section_tilt_deg)
    across = pixel * float(np.cos(np.radians(section_tilt_deg)))  # unit of true thickness a pixel
    seen = int(normals.covered.sum())
    judged = seen + int(normals.absent.sum())
    coverage = seen / judged if judged else 0.0
    thickness = normals.thickness_px
    usable_fraction = len(thickness) / seen if seen else 0.0
    mean_px = float(thickness.mean()) if len(thickness) else None
    evidence = Evidence(coverage, mean_px)
    resolved = mean_px is not None and mean_px >= RESOLVED_PX
    zeros = len(thickness) + int(normals.absent.sum())
    # normals that leave by a side of the frame, where the layer runs on, are dropped whatever the thickness
    censored = len(thickness) < seen and bool(mask[0].any() or mask[-1].any())
    km_px = censored_mean(normals.seen[normals.covered], normals.usable[normals.covered])
    spacing = np.ptp(normals.along) / (len(normals.along) - 1) if len(normals.along) > 1 else 0.0
    percentiles = np.percentile(thickness, PERCENTILES) * across if len(thickness) else ()
    cutoff_px = None if roughness_cutoff is None else roughness_cutoff / pixel
    return LayerMeasurement(
        present=evidence.present,
        evidence=evidence,
        mean=_scaled(mean_px, across),
        sd=_scaled(float(thickness.std(ddof=1)), across) if len(thickness) > 1 else None,
        min=_scaled(float(thickness.min()), across) if len(thickness) else None,
        max=_scaled(float(thickness.max()), across) if len(thickness) else None,
        percentiles={p: float(v) for p, v in zip(PERCENTILES, percentiles, strict=False)},
        mean_over_all=float(thickness.sum() / zeros * across) if len(thickness) else None,
        coverage=coverage,
        normals=len(thickness),
        usable_fraction=usable_fraction,
        usable_length=float(len(thickness) * spacing * pixel),
        complete=usable_fraction >= USABLE_FRACTION,
        censored=censored,
        mean_censored=_scaled(km_px, across),
        several_boundaries=float(normals.several.sum() / seen) if seen else 0.0,
        tilt_deg=_tilt_deg(normals),
        resolved=resolved,
        area=area,
        profile=profile_of(section, name, pixel, across),
        local_thickness=measure_local_thickness(mask, mean_px, across) if evidence.present else None,
        roughness=measure_interfaces(mask, mean_px, cutoff_px, pixel, across) if evidence.present else {},
        parts=_parts(name, thickness * across, lines or {}),
        section_tilt_deg=section_tilt_deg,
        note=_note(evidence, resolved, usable_fraction, censored),
    )


def _parts(name: str, thickness: np.ndarray, lines: Mapping[str, InclusionLine]) -> tuple[LayerPart, ...]:
    splitting = {inclusion: line for inclusion, line in lines.items() if line.host == name and line.present}
    if not splitting or not len(thickness):
        return ()
    clearest = max(splitting, key=lambda inclusion: splitting[inclusion].score)
    fraction = splitting[clearest].depth_fraction
    return () if fraction is None else parts_of(thickness, clearest, fraction)


def _tilt_deg(normals: Normals) -> float | None:
    if len(normals.points) < 2:
        return None
    rows, columns = normals.points.T
    return float(-np.degrees(np.arctan(np.polyfit(columns, rows, 1)[0])))


def _note(evidence: Evidence, resolved: bool, usable: float, censored: bool) -> str:
    notes = []
    if not evidence.present:
        return evidence.words
    if evidence.mean_px is None:
        notes.append("leaves the frame everywhere, thickness not measured")
    elif not resolved:
        notes.append(f"unresolved: {evidence.mean_px:.1f} px thick, {RESOLVED_PX:.0f} px needed")
    if evidence.mean_px is not None and usable < USABLE_FRACTION:
        notes.append(f"only {usable:.0%} of its normals have both boundaries in the frame")
    if evidence.mean_px is not None and censored:
        notes.append("leaves the frame, the mean is a lower bound")
    return "; ".join(notes)


def _scaled(value: float | None, pixel: float) -> float | None:
    return None if value is None else value * pixel


def _without_normals(mask: np.ndarray, area: float, section_tilt_deg: float) -> LayerMeasurement:
    """A layer of which no column shows both boundaries: missing, a speck, or larger than the frame."""
    height = mask.sum(axis=0)
    coverage = float(np.count_nonzero(height) / len(height))
    present = coverage >= PRESENT_COVERAGE and float(height[height > 0].mean()) >= PRESENT_PX
    evidence = Evidence(coverage, None if present else float(height.sum() / max(np.count_nonzero(height), 1)))
    note = (
        "leaves the frame everywhere, thickness not measured" if present
        else evidence.words if coverage else "not in the map"
    )  # fmt: skip
    return LayerMeasurement(
        present=present, evidence=evidence, mean=None, sd=None, min=None, max=None, percentiles={}, mean_over_all=None,
        coverage=coverage, normals=0, usable_fraction=0.0, usable_length=0.0, complete=False, censored=present,
        mean_censored=None, several_boundaries=0.0, tilt_deg=None, resolved=False, area=area, profile=None,
        local_thickness=None, roughness={}, parts=(), section_tilt_deg=section_tilt_deg, note=note,
    )  # fmt: skip
