"""Skins of beads that have shrunk."""

import numpy as np

from blender_gen.shapes import SHAPES, particle
from blender_gen.solids import to_manifold


def test_wrinkles_make_a_rougher_solid_of_the_same_size():
    rough = []
    for wrinkles in (0.0, 0.03, 0.1):
        mesh = particle("pellet", np.random.default_rng(0), 10.0, detail_px=150.0, scars=0, wrinkles=wrinkles)
        solid = to_manifold(mesh)  # raises if it is not watertight
        rough.append(solid.surface_area() / solid.volume() ** (2 / 3))
    assert 1.02 * rough[0] < rough[1] and 1.05 * rough[1] < rough[2]


def test_a_bead_without_wrinkles_is_drawn_as_before():
    plain, none = (SHAPES["pellet"].build(np.random.default_rng(1), 1.2, 80.0, **o) for o in ({}, {"wrinkles": 0.0}))
    assert np.array_equal(plain[0], none[0])
