"""Backscattered electrons on a segmented solid-state detector.

Sources: yields, `blender_gen.phases`; tilt, Arnal 1969, normalised to the yield at normal incidence;
the mean energy of backscattered electrons is a fit to single-scattering Monte Carlo at 20 kV.
"""

from functools import reduce

import numpy as np

from blender_gen.imaging.beam import blur, boundary_gain
from blender_gen.imaging.conditions import Conditions
from blender_gen.imaging.emission import Emission
from blender_gen.imaging.relief import QUADRANTS
from blender_gen.imaging.target import Target
from blender_gen.phases import Material

FAINTEST = 0.02  # share of electrons that find their way out of the deepest pore
LARGEST_YIELD = 0.95
RELIEF_RANGES = 0.1  # standard deviation of the spot where they leave, in electron ranges
WALL_RANGES = 0.15  # depth of a pit, in electron ranges, from which 1/e find their way out through its walls
ESCAPE_RANGES = 0.25  # depth in electron ranges from which nine in ten backscattered electrons come
# mean Z; mean energy of backscattered electrons over beam energy
MEAN_ENERGY = ((6, 13, 18.9, 26, 47, 79), (0.59, 0.64, 0.68, 0.71, 0.76, 0.80))


def emission(target: Target, conditions: Conditions) -> Emission:
    """The signal of a backscattered-electron detector: composition, or the difference of two halves."""
    d = conditions.detector
    yields = backscattered(target, conditions)
    energy = target.of_solids([relative_energy(solid, d.beam_kev, d.threshold_kev) for solid in target.solids])
    if d.mode == "topography":
        bright = yields * (FAINTEST / 2 + half(target.quadrants, d.azimuth_deg))
        dark = yields * (FAINTEST / 2 + half(target.quadrants, d.azimuth_deg + 180))
        return Emission((bright, dark), combine=difference)
    if target.is_flat:
        return Emission((yields,), gain=energy)
    seen = leaving(target, d.beam_kev)
    if d.asymmetry:
        seen = seen - d.asymmetry * half(target.quadrants, d.azimuth_deg + 180)
    return Emission((yields * (FAINTEST + (1 - FAINTEST) * seen),), gain=energy)


def leaving(target: Target, beam_kev: float) -> np.ndarray:
    """Share (H, W) of the backscattered electrons that leave the specimen: into the free sky or through thin walls.

    A pit far shallower than the electron range hardly differs from the face around it.
    """
    through = through_walls(target, beam_kev)
    face = target.height_um >= 0
    if face.all():
        return target.collected
    around_px = ESCAPE_RANGES * target.range_um(beam_kev) / target.pixel_size_um
    part = np.maximum(blur(face.astype(np.float32), around_px), np.float32(0.02))
    outside = blur(face * target.collected, around_px) / part
    return target.collected + np.clip(outside - target.collected, 0, None) * through


def through_walls(target: Target, beam_kev: float) -> np.ndarray:
    """Share (H, W) of the electrons in a pit for which its walls are too thin to matter; 0 outside pits."""
    depth = np.clip(-target.height_um, 0, None)
    return np.where(depth > 0, np.exp(-depth / np.float32(WALL_RANGES * target.range_um(beam_kev))), np.float32(0))


def backscattered(target: Target, conditions: Conditions) -> np.ndarray:
    """Backscattered electrons a beam electron (H, W), wherever they go."""
    shares = opacity(target, conditions.detector.beam_kev)
    return yield_map(target, conditions.detector.beam_kev, shares) * boundary(target, conditions, shares)


def yield_map(target: Target, beam_kev: float, shares: np.ndarray | None) -> np.ndarray:
    """Yields of the materials (H, W), with tilt, texture and, for bodies, what shines through; `shares`: `opacity`."""
    flat = target.of_solids([solid.backscatter_coefficient(beam_kev) for solid in target.solids])
    if shares is not None:
        ground = target.substrate.backscatter_coefficient(beam_kev)
        flat = ground + (flat - ground) * shares
    flat = flat * target.texture
    if target.is_flat:
        return flat
    exponents = target.of_solids([9 / np.sqrt(solid.mean_atomic_number) for solid in target.solids])
    if shares is not None:  # a film is left through its lower side as well: it gains less from tilt
        exponents = exponents * shares
    # electrons leave from around the spot that the beam hits: relief finer than that is evened out, faces stay flat
    around_px = RELIEF_RANGES * target.range_um(beam_kev) / target.pixel_size_um
    part = np.maximum(blur(target.relief, around_px), np.float32(1e-3))
    walls = target.log_tilt * exponents * (1 - through_walls(target, beam_kev))
    gain = target.relief * blur(walls, around_px) / part
    return np.minimum(flat * np.exp(gain), LARGEST_YIELD)


def opacity(target: Target, beam_kev: float) -> np.ndarray | None:
    """Share (H, W) of the backscattered electrons that a body on the substrate sends back itself.

    It grows in proportion to the body's thickness up to the depth from which they come; 1 off the bodies. None if
    there is no body.
    """
    if not target.body.any():
        return None
    depth = target.of_solids([ESCAPE_RANGES * solid.range_um(beam_kev) for solid in target.solids])
    return np.where(target.body, np.clip(target.height_um / depth, 0, 1), np.float32(1))


def boundary(target: Target, conditions: Conditions, shares: np.ndarray | None) -> np.ndarray | float:
    """Factor for dips and rims at boundaries between light and heavy phases; see `beam.boundary_gain`."""
    d = conditions.detector
    if d.boundary_contrast == 0:
        return 1.0
    resin = target.solids[-1].density_g_cm3
    log_density = target.of_solids([np.log(max(solid.density_g_cm3, resin)) for solid in target.solids])
    log_density[~target.bulk] = np.log(resin)
    if shares is not None:
        ground = np.float32(np.log(max(target.substrate.density_g_cm3, resin)))
        log_density = ground + (log_density - ground) * shares
    range_um = target.range_um(d.beam_kev)
    return boundary_gain(log_density, range_um, d.boundary_contrast, d.probe_um, target.pixel_size_um)


def relative_energy(material: Material, beam_kev: float, threshold_kev: float) -> float:
    """Mean signal of one backscattered electron in a solid-state detector, 1 for an electron of beam energy."""
    mean_kev = float(np.interp(material.mean_atomic_number, *MEAN_ENERGY)) * beam_kev
    above = max(mean_kev - threshold_kev, 0.05 * beam_kev)
    return float(above / (beam_kev - threshold_kev))


def half(quadrants: np.ndarray, azimuth_deg: float) -> np.ndarray:
    """Share (H, W) of emitted electrons on the half of a detector (4, H, W) around an azimuth.

    Between the axes the quadrants are mixed in proportion to the angle that the half covers of each.
    """
    start = (azimuth_deg - 90) % 360
    covered = [np.float32(_overlap(90.0 * k, start) / 90) for k in range(QUADRANTS)]
    # not a matrix product, which sums in another order on another number of threads
    return reduce(np.add, [share * part for share, part in zip(covered, quadrants, strict=True)])


def _overlap(edge: float, start: float) -> float:
    """Degrees that [edge, edge + 90) and [start, start + 180) share on the circle."""
    return sum(max(0.0, min(edge + 90 + turn, start + 180) - max(edge + turn, start)) for turn in (0.0, 360.0))


def difference(halves: list[np.ndarray]) -> np.ndarray:
    """(A - B)/(A + B), 0 where nothing arrived."""
    bright, dark = halves
    return (bright - dark) / np.maximum(bright + dark, 1e-9)
