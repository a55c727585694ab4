"""Brightness beyond composition: charging of a layer, orientation contrast of its grains, mottling."""

import numpy as np
from scipy.spatial import cKDTree

from blender_gen.fields import gaussian_field
from blender_gen.recipe.common import Appearance, Grains, Mottle
from blender_gen.specimen import View


def texture(appearances: dict[int, Appearance], view: View, wall: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Factor on the yield, (H, W), from the appearance of each phase and the phase that the beam hits.

    Its mean over a phase is the phase's brightness.
    """
    factor = np.ones(wall.shape)
    points = view.pixel_centres()
    for phase, appearance in appearances.items():
        mask = wall == phase
        if mask.any():
            factor[mask] = _texture(appearance, points[mask], view.pixel_size_um, rng)
    return factor


def _texture(appearance: Appearance, points: np.ndarray, pixel_um: float, rng: np.random.Generator) -> np.ndarray:
    factor = np.full(len(points), appearance.brightness.draw(rng))
    if appearance.grains is not None:
        factor *= 1 + _grain_contrast(appearance.grains, points, pixel_um, rng)
    if appearance.mottle is not None:
        factor *= 1 + _mottle(appearance.mottle, points, rng)
    return np.clip(factor, 0.2, 3.0)


def _grain_contrast(grains: Grains, points: np.ndarray, pixel_um: float, rng: np.random.Generator) -> np.ndarray:
    """Voronoi grains of the wanted mean size, each with its own brightness; none smaller than a pixel."""
    size, contrast = max(grains.size_um.draw(rng), pixel_um), grains.contrast.draw(rng)
    low, high = points.min(axis=0) - 2 * size, points.max(axis=0) + 2 * size
    count = max(int(np.prod(high - low) / (np.pi / 4 * size**2)), 1)
    seeds = rng.uniform(low, high, size=(count, 2))
    _, nearest = cKDTree(seeds).query(points)
    return rng.normal(scale=contrast, size=count)[nearest]


def _mottle(mottle: Mottle, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    field = gaussian_field(rng, mottle.correlation_um.draw(rng))
    return mottle.rms.draw(rng) * field(points[:, 0], points[:, 1])
