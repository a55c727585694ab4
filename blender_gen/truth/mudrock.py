"""What a mudrock specimen is, from its geometry: silt content, grain and pore sizes, area fractions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from manifold3d import CrossSection

from blender_gen.phases import VOID
from blender_gen.recipe.mudrock import CLAY
from blender_gen.section import Section
from blender_gen.truth.regions import sizes, volume_over_area


def mudrock_truth(section: Section) -> dict[str, Any]:
    """Truth of a mudrock as it is stored with a sample; lengths in µm, areas in µm².

    Percentages are of the frame. Sizes are diameters of the circle of equal area in the section, of what the frame
    shows; a list of those that the frame does not cut goes beside. `body_ecd_um` are the diameters of the grains'
    spheres of equal volume.
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
        "volume_percent": {
            name: 100 * area / frame_um2 * volume_over_area(section, k)
            for k, (name, area) in enumerate(areas.items())
            if name != CLAY
        },
        "silt_percent": 100 * sum(areas[name] for name in silt) / frame_um2,
        "porosity_percent": 100 * sum(areas[name] for name in pores) / frame_um2,
        "silt": {
            name: sizes(_region(section, [name]), section.view) | {"body_ecd_um": np.round(bodies[name], 4).tolist()}
            for name in silt
        },
        "pores": sizes(_region(section, pores), section.view),
    }


def _region(section: Section, names: Sequence[str]) -> CrossSection:
    """Where some phases are seen, together."""
    number = section.specimen.phase_names.index
    return sum((section.visible.get(number(name), CrossSection()) for name in names), start=CrossSection())
