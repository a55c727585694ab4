"""What charging does to the expected signal: glowing resin, bright and dark tails, halos."""

import numpy as np
from scipy.signal import lfilter

from blender_gen.imaging.beam import blur
from blender_gen.imaging.conditions import Drawn
from blender_gen.imaging.shading import slow_surface
from blender_gen.imaging.target import Target

HALO_WIDTH = 0.06  # of the frame
FLICKER = 0.5  # relative spread of the charge from line to line
SATURATION = 3.0  # a charged spot is at most this much brighter


def charged(signal: np.ndarray, target: Target, artefacts: Drawn, rng: np.random.Generator) -> np.ndarray:
    """The signal (H, W) of a specimen that charges."""
    if artefacts.resin_glow:
        signal = signal * (1 + np.float32(artefacts.resin_glow) * resin_glow(target, rng))
    if artefacts.charging:
        signal = signal * tails(target.insulator, artefacts.charging, artefacts.charging_tail_px, rng)
    if artefacts.charging_halo:
        signal = signal * (1 + np.float32(artefacts.charging_halo) * halo(target.insulator))
    return signal


def line_charge(target: Target) -> np.ndarray:
    """Share of each line (H,) that charges."""
    return target.insulator.mean(axis=1)


def resin_glow(target: Target, rng: np.random.Generator) -> np.ndarray:
    """Resin charges where no conductor is near: brightness grows from 0 at the coating to 1 far from it."""
    depth = target.depth_in_resin_px
    length = rng.uniform(0.05, 0.3) * depth.shape[0]
    unevenness = 1 + 0.3 * slow_surface(depth.shape, rng)
    if not depth.any():
        return np.zeros(depth.shape, dtype=np.float32)
    glow = (1 - np.exp(-depth / length)).astype(np.float32)
    return glow if np.isinf(depth).all() else glow * unevenness


def tails(insulator: np.ndarray, strength: float, tail_px: float, rng: np.random.Generator) -> np.ndarray:
    """Factor (H, W): an insulator grows brighter along the line, and what follows it is dark until it discharges.

    The charge is a leaky integral along the fast scan: q' = (insulator - q)/tail. It differs from line to line.
    """
    leak = np.exp(-1 / tail_px)
    hit = insulator.astype(np.float32) * (1 + FLICKER * rng.standard_normal((len(insulator), 1), dtype=np.float32))
    charge = lfilter([1 - leak], [1, -leak], np.clip(hit, 0, None), axis=1).astype(np.float32)
    bright = 1 + np.minimum(strength * charge, SATURATION)
    dark = 1 / (1 + strength * charge)
    return np.where(insulator, bright, dark)


def halo(insulator: np.ndarray) -> np.ndarray:
    """What surrounds an insulator, 1 beside a large one and 0 far away; 0 on it."""
    near = blur(insulator.astype(np.float32), HALO_WIDTH * insulator.shape[1])
    return np.where(insulator, np.float32(0), np.clip(2 * near, 0, 1))
