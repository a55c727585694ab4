"""Torn foam: struts along the edges of Voronoi cells, some walls left between them."""

import numpy as np
from scipy.ndimage import label
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from blender_gen.shapes.meshes import grounded
from blender_gen.shapes.noise import roughness
from blender_gen.solids import Triangles


def foam(
    rng: np.random.Generator,
    aspect: float = 1.5,
    detail_px: float = 120.0,
    *,
    cells: float = 2.5,
    strut: float = 0.22,
    closed: float = 0.3,
    flatness: float = 0.45,
) -> Triangles:
    """Fragment of foam, torn out of a larger piece.

    `cells` is the number of cells across its width, `strut` the thickness of the struts over the
    cell size, `closed` the share of cell faces that still have their wall (0 open, 1 closed foam),
    `aspect` and `flatness` length and height over width before tearing.
    """
    spacing = 2 / cells
    half = np.array([aspect, 1.0, flatness]) * 1.25
    voxel = float(np.clip(2 / (detail_px / 3), spacing * strut / 3, spacing * strut / 1.6))
    axes = [np.arange(-h - 2 * voxel, h + 3 * voxel, voxel) for h in half]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    shape = grid.shape[:3]
    points = grid.reshape(-1, 3)
    scaled = points / [aspect, 1.0, flatness]
    distance = np.linalg.norm(scaled, axis=1)
    near = np.flatnonzero(distance < 1.25)
    torn = 1 + 0.3 * roughness(rng, points[near] / np.maximum(distance[near, None], 0.3), 1.5, 0.5) - distance[near]
    near, torn = near[torn > -2 * voxel], torn[torn > -2 * voxel]
    seeds = _seeds(rng, half + spacing, spacing)
    away, which = cKDTree(seeds).query(points[near], k=3)
    keep = rng.uniform(size=(64, 64)) < closed
    wall = keep[(which[:, 0] + which[:, 1]) % 64, np.abs(which[:, 0] * which[:, 1]) % 64]
    to_edge, to_face = (away[:, 2] - away[:, 0]) / 1.7, (away[:, 1] - away[:, 0]) / 2
    solid = strut * spacing / 2 - to_edge
    solid = np.maximum(solid, np.where(wall, 0.8 * voxel - to_face, -np.inf))
    field = np.full(len(points), -voxel)
    field[near] = np.clip(np.minimum(solid, torn), -voxel, voxel)
    field = field.reshape(shape)
    parts, count = label(field > 0)
    if count > 1:
        largest = np.argmax(np.bincount(parts.ravel())[1:]) + 1
        field[(parts != largest) & (field > 0)] = -0.05 * voxel
    vertices, triangles, _, _ = marching_cubes(field, 0.0, gradient_direction="ascent", allow_degenerate=False)
    return grounded((vertices.astype(float) * voxel, triangles.astype(np.uint32)))


def _seeds(rng: np.random.Generator, half: np.ndarray, spacing: float) -> np.ndarray:
    """(n, 3) cell centres: a body-centred lattice, jittered."""
    axes = [np.arange(-h, h + spacing, spacing * 1.26) for h in half]
    corners = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    lattice = np.concatenate([corners, corners + 0.63 * spacing])
    return np.asarray(lattice + rng.normal(scale=0.16 * spacing, size=lattice.shape))
