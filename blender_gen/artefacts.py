"""What charging and electronics add to a micrograph.

Charging and shading act on the expected signal, before the noise; electronics after it.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates

from blender_gen.recipe.imaging import Artefacts

JITTER_MEMORY = 0.6  # correlation of the line jitter from one line to the next


@dataclass(frozen=True)
class ArtefactSettings:
    """Drawn strengths, in the units of the recipe."""

    shading: float
    banding: float
    resin_glow: float
    line_jitter_px: float


def draw(recipe: Artefacts, rng: np.random.Generator) -> ArtefactSettings:
    """Draw the strengths for one micrograph."""
    return ArtefactSettings(
        shading=recipe.shading.draw(rng), banding=recipe.banding.draw(rng), resin_glow=recipe.resin_glow.draw(rng),
        line_jitter_px=recipe.line_jitter_px.draw(rng),
    )  # fmt: skip


def before_noise(
    yields: np.ndarray, resin: np.ndarray, settings: ArtefactSettings, rng: np.random.Generator
) -> np.ndarray:
    """Charging of resin and shading over the frame on the expected yield (H, W)."""
    yields = yields * (1 + settings.resin_glow * _glow(resin, rng))
    return yields * (1 + settings.shading * _slow_surface(yields.shape, rng))


def line_shifts(height: int, settings: ArtefactSettings, rng: np.random.Generator) -> np.ndarray:
    """How many pixels late each line (height,) starts; an AR(1) process from line to line."""
    steps = rng.normal(scale=settings.line_jitter_px * np.sqrt(1 - JITTER_MEMORY**2), size=height)
    shifts = np.zeros(height)
    for row in range(1, height):
        shifts[row] = JITTER_MEMORY * shifts[row - 1] + steps[row]
    return shifts


def shift_lines(values: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Sample each line of (H, W) at its own offset."""
    if not shifts.any():
        return values
    rows, columns = np.mgrid[: values.shape[0], : values.shape[1]].astype(float)
    return map_coordinates(values, [rows, columns + shifts[:, None]], order=1, mode="nearest")


def after_noise(signal: np.ndarray, settings: ArtefactSettings, rng: np.random.Generator) -> np.ndarray:
    """Line-to-line gain of the amplifier."""
    if settings.banding == 0:
        return signal
    return signal * (1 + rng.normal(scale=settings.banding, size=(signal.shape[0], 1)))


def _glow(resin: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Resin charges where no conductor is near: brightness grows from 0 at the coating to 1 far from it."""
    if resin.all():
        return np.ones(resin.shape)
    mask = gaussian_filter(resin.astype(float), 6) > 0.9  # only bulk resin charges, filled pores do not
    if not mask.any():
        return np.zeros(resin.shape)
    length = rng.uniform(0.05, 0.3) * resin.shape[0]
    unevenness = 1 + 0.3 * _slow_surface(resin.shape, rng)
    return (1 - np.exp(-distance_transform_edt(mask) / length)) * unevenness


def _slow_surface(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A random second-order polynomial over the frame, zero mean, maximum deviation 1."""
    y, x = np.linspace(-1, 1, shape[0])[:, None], np.linspace(-1, 1, shape[1])[None, :]
    a = rng.normal(size=5)
    surface = a[0] * x + a[1] * y + 0.5 * (a[2] * x * x + a[3] * y * y + a[4] * x * y)
    surface = surface - surface.mean()
    return surface / np.abs(surface).max()
