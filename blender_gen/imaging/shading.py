"""Uneven brightness over the frame: slow shading, vignetting, the mark of an earlier scan."""

import numpy as np

from blender_gen.imaging.conditions import Drawn

BORDER = 0.01  # softness of a contamination mark's border in frames


def shaded(shape: tuple[int, ...], artefacts: Drawn, rng: np.random.Generator) -> np.ndarray | float:
    """Factor on the expected signal, (H, W); 1 if all is off."""
    factor: np.ndarray | float = 1.0
    if artefacts.shading:
        factor = factor * (1 + np.float32(artefacts.shading) * slow_surface(shape, rng))
    if artefacts.vignette:
        factor = factor * (1 - np.float32(artefacts.vignette) * corners(shape, rng))
    if artefacts.contamination:
        factor = factor * (1 - np.float32(artefacts.contamination) * earlier_scan(shape, rng))
    return factor


def slow_surface(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A random second-order polynomial over the frame, zero mean, maximum deviation 1."""
    y, x = _axes(shape)
    a = rng.normal(size=5).astype(np.float32)
    surface = a[0] * x + a[1] * y + np.float32(0.5) * (a[2] * x * x + a[3] * y * y + a[4] * x * y)
    surface = surface - surface.mean()
    return surface / np.abs(surface).max()


def corners(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """0 at the optical axis, which lies near the middle, growing with the square of the distance to 1 in a corner."""
    y, x = _axes(shape)
    off = rng.uniform(-0.2, 0.2, size=2).astype(np.float32)
    distance = (x - off[0]) ** 2 + (y - off[1]) ** 2
    return distance / distance.max()


def earlier_scan(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """1 in a rectangle that was scanned before at a higher magnification, with soft borders; 0 elsewhere."""
    y, x = _axes(shape)
    half = rng.uniform(0.15, 0.6)
    centre = rng.uniform(-0.6, 0.6, size=2)
    inside_x = 1 / (1 + np.exp((np.abs(x - centre[0]) - half) / (2 * BORDER)))
    inside_y = 1 / (1 + np.exp((np.abs(y - centre[1]) - half) / (2 * BORDER)))
    return (inside_x * inside_y).astype(np.float32)


def _axes(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Rows (H, 1) and columns (1, W) from -1 to 1."""
    return (
        np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None],
        np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :],
    )
