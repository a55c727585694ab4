"""What a mudrock specimen is, from its geometry: silt content, grain and pore sizes, area fractions."""

from typing import Any

import numpy as np
from manifold3d import CrossSection

from blender_gen.phases import VOID
from blender_gen.section import Section


def mudrock_truth(section: Section) -> dict[str, Any]:
    """Truth of a mudrock as it is stored with a sample; lengths in µm, areas in µm².

    Sizes are diameters of the circle of equal area in the section, of what the frame shows; a list of those that
    the frame does not cut goes beside. `body_ecd_um` are the diameters of the grains' spheres of equal volume.
    """
    specimen = section.specimen
    names, materials = specimen.phase_names, specimen.materials
    frame_um2 = float(np.prod(section.view.size_um))
    areas = {name: section.visible.get(k, CrossSection()).area() for k, name in enumerate(names)}
    silt, bodies = specimen.facts["silt"], specimen.facts["grain_ecd_um"]
    pores = [name for name, material in zip(names, materials, strict=True) if material == VOID]
    return {
        "family": "mudrock",
        "tilt_deg": -specimen.view.tilt_deg,  # of the bedding in the picture, anticlockwise
        "area_percent": {name: 100 * area / frame_um2 for name, area in areas.items()},
        "silt_percent": 100 * sum(areas[name] for name in silt) / frame_um2,
        "porosity_percent": 100 * sum(areas[name] for name in pores) / frame_um2,
        "silt": {name: _sizes(section, [name]) | {"body_ecd_um": np.round(bodies[name], 4).tolist()} for name in silt},
        "pores": _sizes(section, pores),
    }  # fmt: skip


def _sizes(section: Section, names: list[str]) -> dict[str, Any]:
    """Connected regions of some phases together."""
    number = section.specimen.phase_names.index
    region = CrossSection()
    for name in names:
        region = region + section.visible.get(number(name), CrossSection())
    parts = region.decompose() if not region.is_empty() else []
    areas = np.array([part.area() for part in parts])
    whole = np.array([_whole(part, section) for part in parts], dtype=bool)
    ecd = np.round(np.sqrt(4 * areas / np.pi), 4)
    return {"count": len(parts), "ecd_um": ecd.tolist(), "ecd_whole_um": ecd[whole].tolist()}


def _whole(part: CrossSection, section: Section) -> bool:
    """Whether the frame does not cut the part."""
    view = section.view
    points = (np.concatenate(part.to_polygons()) - np.array(view.centre_um)) @ view.axes.T
    return bool(np.all(np.abs(points) < np.array(view.size_um) / 2 - 1e-3 * view.pixel_size_um))
