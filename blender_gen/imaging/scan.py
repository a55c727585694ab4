"""Where the beam really is while it scans: drift, vibration, line jitter, deflection by charge.

The specimen is sampled at the displaced spots before any noise; a finished picture is never warped
(Cizmar et al. 2010, arXiv:1006.0171). Displacements are centred on the frame, so that labels, which stay where
the specimen is, are off by as little as can be.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from blender_gen.imaging.conditions import Conditions

JITTER_MEMORY = 0.6  # correlation of the line jitter from one line to the next


@dataclass(frozen=True)
class Path:
    """Displacement of the beam in pixels, (H, W) or (H, 1): to the right and down."""

    right: np.ndarray
    down: np.ndarray

    @property
    def farthest_px(self) -> float:
        """Largest displacement."""
        return float(np.hypot(self.right, self.down).max())


def path(shape: tuple[int, ...], conditions: Conditions, charge: np.ndarray | None, rng: np.random.Generator) -> Path:
    """Displacements over a frame. `charge` (H,) deflects whole lines, in units of the recipe's shift."""
    a = conditions.artefacts
    height, width = shape
    line_us = width * conditions.detector.dwell_us + conditions.detector.flyback_us
    right, down = np.zeros((height, 1)), np.zeros((height, 1))
    heading, phase, shaking = rng.uniform(0, 2 * np.pi, size=3)
    steps, jitter = rng.normal(size=(height, 2)), rng.normal(size=height)
    if a.drift_px:
        gone = np.linspace(-0.5, 0.5, height)[:, None] * a.drift_px
        right, down = right + gone * np.cos(heading), down + gone * np.sin(heading)
    if a.drift_walk_px:
        walk = np.cumsum(steps, axis=0) * a.drift_walk_px / np.sqrt(height)
        walk -= walk.mean(axis=0)
        right, down = right + walk[:, :1], down + walk[:, 1:]
    if a.line_jitter_px:
        right = right + line_jitter(jitter, a.line_jitter_px)[:, None]
    if charge is not None and a.charging_shift_px:
        right = right + a.charging_shift_px * (charge - charge.mean())[:, None]
    if a.vibration_px:
        turn = 2 * np.pi * a.vibration_hz * 1e-6
        start = turn * np.arange(height)[:, None] * line_us + phase
        along = turn * np.arange(width) * conditions.detector.dwell_us
        swing = a.vibration_px * (np.sin(start) * np.cos(along) + np.cos(start) * np.sin(along))
        right, down = right + swing * np.cos(shaking), down + swing * np.sin(shaking)
    return Path(right, down)


def line_jitter(white: np.ndarray, sigma_px: float) -> np.ndarray:
    """An AR(1) process over the lines from white unit noise (H,), stationary, with standard deviation `sigma_px`."""
    steps = white * sigma_px * np.sqrt(1 - JITTER_MEMORY**2)
    shifts = np.zeros(len(white))
    shifts[:1] = white[:1] * sigma_px
    for row in range(1, len(white)):
        shifts[row] = JITTER_MEMORY * shifts[row - 1] + steps[row]
    return shifts


def sampled(values: np.ndarray, where: Path) -> np.ndarray:
    """What the beam meets on its path over a picture (H, W), by linear interpolation; edges are continued."""
    if where.farthest_px == 0:
        return values
    rows = np.arange(values.shape[0], dtype=np.float32)[:, None] + where.down.astype(np.float32)
    columns = np.arange(values.shape[1], dtype=np.float32) + where.right.astype(np.float32)
    spots = np.broadcast_arrays(rows, columns)
    return map_coordinates(values, spots, order=1, mode="nearest", output=np.float32)
