"""Height fields of known geometry in the chamber, and plain conditions."""

from dataclasses import replace

import numpy as np

from blender_gen.imaging import make_target
from blender_gen.imaging.conditions import schedule
from blender_gen.passes import Passes
from blender_gen.recipe.imaging import Imaging, Preparation

NAMES = ("epoxy", "Fe2Al5", "void")
BEAM = {"beam_kev": 20, "beam_current_na": 1, "dwell_us": 1, "collection": 1, "probe_um": 0, "read_noise": 0}
DETECTORS = {
    "bse": {"kind": "bse", "boundary_contrast": 0, **BEAM},
    "se": {"kind": "se", "boundary_contrast": 0, "edge_gain": 0, "darkest_shadow": 0.25, "one_sidedness": 0,
           "leakage": 0, "noise_factor": 1.3, **BEAM},
    "transmission": {"kind": "transmission", "film_um": 0, **BEAM, "beam_kev": 100},
}  # fmt: skip
GREYS = {"dark": 0.1, "bright": 0.9}
BARE = Preparation(filled_pores=0)


def passes_of(phase, **changes):
    phase = np.asarray(phase, dtype=np.uint8)
    up = np.broadcast_to(np.array([0, 0, 1], np.float32), (*phase.shape, 3))
    flat = Passes(phase=phase, instance=(phase == 2).astype(np.uint32), height_um=np.zeros(phase.shape, np.float32),
                  normal=up, wall=np.where(phase == 2, 1, phase).astype(np.uint8), path_um={})  # fmt: skip
    return replace(flat, **changes)


def target_of(passes, materials=NAMES, pixel_um=0.2, preparation=BARE, texture=1.0, seed=0):
    factor = np.full(passes.phase.shape, texture, dtype=np.float32)
    return make_target(passes, materials, factor, pixel_um, preparation, np.random.default_rng(seed))


def imaging_of(kind="bse", artefacts=None, lettering=None, greys=None, **detector):
    return Imaging(detector=DETECTORS[kind] | detector, greys=GREYS | (greys or {}), artefacts=artefacts or {},
                   lettering=lettering or {})  # fmt: skip


def conditions_of(kind="bse", seed=0, **settings):
    return next(schedule(imaging_of(kind, **settings), np.random.default_rng(seed)))


def hemispheres(radii_um=(4.0,), side=160, pixel_um=0.1, sign=1):
    """Half balls on (sign 1) or half bowls in (sign -1) a plane, side by side along the middle row."""
    y, x = (np.mgrid[:side, :side] + 0.5) * pixel_um
    y = side * pixel_um - y
    height, normal = np.zeros((side, side), np.float32), np.zeros((side, side, 3), np.float32)
    normal[..., 2] = 1
    inside = np.zeros((side, side), bool)
    instance = np.zeros((side, side), np.uint32)
    for number, radius in enumerate(radii_um):
        dx = x - (number + 0.5) * side * pixel_um / len(radii_um)
        dy = y - side * pixel_um / 2
        z = np.sqrt(np.clip(radius**2 - dx**2 - dy**2, 0, None))
        disc = z > 0
        height[disc] = sign * z[disc]
        normal[disc] = (np.stack([sign * dx, sign * dy, z], axis=-1) / radius)[disc]
        instance[disc] = number + 1
        inside |= disc
    return height, normal, instance, inside


def balls_on(radii_um=(4.0,), side=160, pixel_um=0.1):
    """Half balls of phase 1 on a substrate of phase 0, with their path lengths."""
    height, normal, instance, inside = hemispheres(radii_um, side, pixel_um)
    phase = inside.astype(np.uint8)
    return passes_of(phase, height_um=height, normal=normal, instance=instance, wall=phase, path_um={1: height})
