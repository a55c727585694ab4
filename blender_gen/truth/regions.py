"""Regions of the section plane as truth counts them: connected parts, their sizes, and what volume they stand for."""

from typing import Any

import numpy as np
from manifold3d import CrossSection

from blender_gen.section import Section
from blender_gen.slicing import area_um2, volume_um3
from blender_gen.specimen import View


def parts(region: CrossSection) -> list[CrossSection]:
    """Connected parts without the slivers that clipping leaves where outlines meet: their area rounds to 0 or less."""
    return [part for part in region.decompose() if part.area() > 0] if not region.is_empty() else []


def sizes(region: CrossSection, view: View) -> dict[str, Any]:
    """Number of parts, diameters of the circles of equal area, and those of the parts that the frame does not cut."""
    found = parts(region)
    ecd = np.round(np.sqrt(4 * np.array([part.area() for part in found]) / np.pi), 4)
    whole = np.array([_is_whole(part, view) for part in found], dtype=bool)
    return {"count": len(found), "ecd_um": ecd.tolist(), "ecd_whole_um": ecd[whole].tolist()}


def volume_over_area(section: Section, phase: int) -> float:
    """Volume fraction over area fraction of a phase's bodies: how the section happens to cut them.

    A body is cut with a chance proportional to its extent h across the section plane, so its volume V
    counts as V/h, the mean area of its cuts.
    """
    specimen = section.specimen
    own = [number for number, body in enumerate(specimen.bodies) if body.phase == phase]
    across = (specimen.extents_um[:, 1, 2] - specimen.extents_um[:, 0, 2]).tolist()
    areas = sum(area_um2(specimen.cuts[number]) for number in own)
    mean_areas = sum(volume_um3(specimen.bodies[number].mesh) / across[number] for number in own)
    return mean_areas / areas if areas > 0 else 1.0


def _is_whole(part: CrossSection, view: View) -> bool:
    """Whether the frame does not cut the part."""
    points = (np.concatenate(part.to_polygons()) - np.array(view.centre_um)) @ view.axes.T
    return bool(np.all(np.abs(points) < np.array(view.size_um) / 2 - 1e-3 * view.pixel_size_um))
