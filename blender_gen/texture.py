"""Brightness beyond composition: charging of a layer, orientation contrast of its grains, mottling."""

import numpy as np
from scipy.spatial import cKDTree

from blender_gen.fields import gaussian_field
from blender_gen.recipe import Grains, Layer, Mottle, Recipe
from blender_gen.specimen import View


def texture(recipe: Recipe, view: View, phase: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Factor on the backscatter yield, (H, W); its mean in each layer is the layer's brightness."""
    factor = np.ones(phase.shape)
    points = view.pixel_centres()
    for layer in recipe.layers:
        mask = phase == recipe.phase_names.index(layer.name)
        if mask.any():
            factor[mask] = _layer_texture(layer, points[mask], view.pixel_size_um, rng)
    return factor


def _layer_texture(layer: Layer, points: np.ndarray, pixel_um: float, rng: np.random.Generator) -> np.ndarray:
    factor = np.full(len(points), layer.brightness.draw(rng))
    if layer.grains is not None:
        factor *= 1 + _grain_contrast(layer.grains, points, pixel_um, rng)
    if layer.mottle is not None:
        factor *= 1 + _mottle(layer.mottle, points, rng)
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
