"""What preparation, charging and electronics add to a micrograph.

Geometry and charging act on the expected signal, before the noise; electronics after it.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates

from blender_gen.recipe import Artefacts

JITTER_MEMORY = 0.6  # correlation of the line jitter from one line to the next


@dataclass(frozen=True)
class ArtefactSettings:
    """Drawn strengths, in the units of the recipe."""

    shading: float
    banding: float
    resin_glow: float
    scratches: int
    scratch_depth: float
    filled_pores: float
    line_jitter_px: float


def draw(recipe: Artefacts, rng: np.random.Generator) -> ArtefactSettings:
    """Draw the strengths for one micrograph."""
    return ArtefactSettings(
        shading=recipe.shading.draw(rng), banding=recipe.banding.draw(rng), resin_glow=recipe.resin_glow.draw(rng),
        scratches=round(recipe.scratches.draw(rng)), scratch_depth=recipe.scratch_depth.draw(rng),
        filled_pores=recipe.filled_pores.draw(rng), line_jitter_px=recipe.line_jitter_px.draw(rng),
    )  # fmt: skip


def before_noise(
    yields: np.ndarray, resin: np.ndarray, settings: ArtefactSettings, rng: np.random.Generator
) -> np.ndarray:
    """Scratches, charging of resin, shading over the frame and line jitter on the expected yield (H, W)."""
    yields = yields * (1 + _scratches(yields.shape, settings, rng))
    yields = yields * (1 + settings.resin_glow * _glow(resin, rng))
    yields = yields * (1 + settings.shading * _slow_surface(yields.shape, rng))
    return _jitter(yields, settings.line_jitter_px, rng)


def after_noise(signal: np.ndarray, settings: ArtefactSettings, rng: np.random.Generator) -> np.ndarray:
    """Line-to-line gain of the amplifier."""
    if settings.banding == 0:
        return signal
    return signal * (1 + rng.normal(scale=settings.banding, size=(signal.shape[0], 1)))


def _scratches(shape: tuple[int, ...], settings: ArtefactSettings, rng: np.random.Generator) -> np.ndarray:
    """Polishing scratches: straight, about as wide as a pixel or two, dark with a bright lip or the reverse."""
    total = np.zeros(shape)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    for _ in range(settings.scratches):
        angle, width = rng.uniform(0, np.pi), rng.uniform(0.5, 1.2)
        through = rng.uniform(0, 1, size=2) * shape
        distance = (rows - through[0]) * np.cos(angle) + (columns - through[1]) * np.sin(angle)
        along = (columns - through[1]) * np.cos(angle) - (rows - through[0]) * np.sin(angle)
        fade = np.exp(-((along / rng.uniform(0.2, 1.0) / shape[1]) ** 2))
        profile = np.exp(-((distance / width) ** 2)) - 0.5 * np.exp(-(((distance - 2 * width) / width) ** 2))
        total -= rng.choice([1, 1, -1]) * settings.scratch_depth * fade * profile
    return total


def _glow(resin: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Resin charges where no conductor is near: brightness grows from 0 at the coating to 1 far from it."""
    mask = resin > 0.5
    if not mask.any() or mask.all():
        return mask.astype(float)
    mask = gaussian_filter(mask.astype(float), 6) > 0.9  # only bulk resin charges, filled pores do not
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


def _jitter(values: np.ndarray, sigma_px: float, rng: np.random.Generator) -> np.ndarray:
    """Every line starts a little early or late; an AR(1) process from line to line."""
    if sigma_px == 0:
        return values
    height, width = values.shape
    steps = rng.normal(scale=sigma_px * np.sqrt(1 - JITTER_MEMORY**2), size=height)
    shift = np.zeros(height)
    for row in range(1, height):
        shift[row] = JITTER_MEMORY * shift[row - 1] + steps[row]
    rows, columns = np.mgrid[:height, :width].astype(float)
    return map_coordinates(values, [rows, columns + shift[:, None]], order=1, mode="nearest")
