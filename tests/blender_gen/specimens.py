"""Specimens of known geometry, built by hand."""

import numpy as np

from blender_gen.solids import icosphere
from blender_gen.specimen import Body, Specimen, Stratum, View

NAMES = ("resin", "coating", "pore", "substrate")
MATERIALS = ("epoxy", "Fe2Al5", "void", "steel_9Cr")
RESIN, COATING, PORE, SUBSTRATE = range(4)


def slab(
    thickness_um=20.0, tilt_deg=0.0, centre=(0.0, 10.0), size_px=(200, 160), pixel_size_um=0.31, outer=None, spheres=(),
    line=None, subdivisions=5,
):  # fmt: skip
    """A plane layer on height 0; `outer` makes its upper surface a function of x; spheres are (x, y, z, radius)."""
    view = View(centre, tilt_deg, *size_px, pixel_size_um)
    half = view.reach_um[0] + 5
    x = np.linspace(-half, half, 801)
    z = np.linspace(-15, 0, 5)
    flat = np.zeros((len(z), len(x)))
    top = flat + thickness_um if outer is None else flat + outer(x)[None, :]
    strata = (
        Stratum(RESIN, flat + 500, top),
        Stratum(COATING, top, flat),
        Stratum(SUBSTRATE, flat, flat - 500),
    )
    unit, triangles = icosphere(subdivisions)
    bodies = tuple(
        Body(PORE, COATING, (unit * r + np.array([cx, cy, cz]), triangles), clipped=True) for cx, cy, cz, r in spheres
    )
    facts = {"pore_lines": line or {}}
    return Specimen(NAMES, MATERIALS, view, x, z, strata, bodies, hosts={PORE: COATING}, facts=facts)
