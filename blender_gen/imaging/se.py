"""Secondary electrons on an Everhart-Thornley detector.

Sources: yields, Lin & Joy 2005; tilt law and detector, Reimer 1998, Scanning electron microscopy; SE1 and SE2,
Seiler 1983 (10.1063/1.332840). Shadowing by sky visibility stands for the share of slow electrons that the
detector's field draws out of a pit.
"""

import numpy as np

from blender_gen.imaging import bse
from blender_gen.imaging.beam import TAIL_RANGES, blur
from blender_gen.imaging.conditions import Conditions
from blender_gen.imaging.emission import Emission
from blender_gen.imaging.target import Target


def emission(target: Target, conditions: Conditions) -> Emission:
    """The signal of a secondary-electron detector.

    SE1 leave where the beam enters, and more of them through a tilted surface or beside an edge; SE2 leave with
    the backscattered electrons, a fraction of a range around.
    """
    d = conditions.detector
    backscattered = bse.backscattered(target, conditions)
    first = se1_map(target, d.beam_kev, d.se2_ratio)
    tail_px = TAIL_RANGES * target.range_um(d.beam_kev) / target.pixel_size_um
    second = d.se2_ratio * first * blur(backscattered, tail_px)
    if not target.is_flat:
        tilt = tilt_gain(target.cosine, d.tilt_exponent, d.steepest_gain)
        edge = edge_gain(target, d.edge_gain, d.edge_length * target.range_um(d.beam_kev))
        seen = d.darkest_shadow + (1 - d.darkest_shadow) * target.sky
        angle = np.radians(d.azimuth_deg)
        side = 1 + d.one_sidedness * (
            target.normal[..., 0] * np.float32(np.cos(angle)) + target.normal[..., 1] * np.float32(np.sin(angle))
        )
        slow = (first * np.minimum(tilt * edge, 2 * d.steepest_gain) + second) * seen * side
        fast = backscattered * (bse.FAINTEST + (1 - bse.FAINTEST) * bse.leaving(target, d.beam_kev))
    else:
        slow, fast = first + second, backscattered
    return Emission((slow + d.leakage * fast,), noise_factor=d.noise_factor)


def se1_map(target: Target, beam_kev: float, se2_ratio: float) -> np.ndarray:
    """Secondary electrons that the beam itself sets free, at normal incidence (H, W).

    A tabulated yield includes those of backscattered electrons: delta = delta_1 (1 + beta eta).
    """
    first = [
        solid.secondary_yield(beam_kev) / (1 + se2_ratio * solid.backscatter_coefficient(beam_kev))
        for solid in target.solids
    ]
    return target.of_solids(first) * target.texture


def tilt_gain(cosine: np.ndarray, exponent: float, cap: float) -> np.ndarray:
    """Yield at a tilted surface over that at normal incidence: sec^n, capped where the escape depth sets a limit."""
    return np.minimum(cosine ** np.float32(-exponent), np.float32(cap))


def edge_gain(target: Target, gain: float, length_um: float) -> np.ndarray:
    """1 + a exp(-d/l) beside a drop, less beside one that is not as deep as l; on ridges, 1 + a tanh(l curvature)."""
    length = np.float32(max(length_um, 1e-9))
    distance, drop = target.edges_um
    beside = np.exp(-distance / length) * (1 - np.exp(-drop / length))
    # relief finer than l does not show: its ridges lose on one side what they gain on the other
    curvature = blur(
        np.where(target.brink, np.float32(0), target.curvature_per_um), length_um / 2 / target.pixel_size_um
    )
    ridge = np.tanh(np.clip(curvature, 0, None) * length) * ~target.brink
    return 1 + np.float32(gain) * np.maximum(beside, ridge)
