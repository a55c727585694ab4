"""Broken mineral grains: facetted, and facetted with rough and conchoidal fracture."""

import numpy as np
from scipy.spatial import ConvexHull

from blender_gen.shapes.convex import rounded_hull
from blender_gen.shapes.meshes import displaced, grounded, random_rotation
from blender_gen.shapes.noise import roughness
from blender_gen.shapes.rounded import spread_directions
from blender_gen.solids import Triangles, icosphere, to_manifold, to_mesh


def facet_corners(rng: np.random.Generator, facets: int, semi_axes: np.ndarray) -> np.ndarray:
    """(n, 3) corners of a polyhedron of planes around an ellipsoid; some planes cut deep, as a break does."""
    normals = spread_directions(rng, facets, jitter=0.8)
    heights = rng.uniform(0.8, 1.15, size=facets)
    deep = rng.permutation(facets)[: rng.integers(2, 5)]
    heights[deep] *= rng.uniform(0.55, 0.85, size=len(deep))
    dual = ConvexHull(normals / heights[:, None]).equations
    corners = -dual[:, :3] / dual[:, 3:]
    return np.asarray(np.clip(corners, -1.6, 1.6) * semi_axes)


def rock(
    rng: np.random.Generator,
    aspect: float = 1.4,
    detail_px: float = 100.0,
    *,
    facets: int | None = None,
    flatness: float | None = None,
    rounding: float = 0.03,
) -> Triangles:
    """Facetted grain lying flat: `aspect` length over width, `flatness` height over width, both before the cuts."""
    facets = facets or int(rng.integers(10, 18))
    flat = rng.uniform(0.55, 0.95) if flatness is None else flatness
    corners = facet_corners(rng, facets, np.array([aspect, 1.0, flat]))
    return grounded(rounded_hull(corners, 2 * rounding, detail_px))


def rough_rock(
    rng: np.random.Generator,
    aspect: float = 1.4,
    detail_px: float = 100.0,
    *,
    facets: int | None = None,
    flatness: float | None = None,
    relief: float = 0.025,
    hurst: float = 0.8,
    scoops: float = 1.0,
) -> Triangles:
    """Grain with self-affine rough faces and shells broken out of it.

    `relief` is the rms height of the roughness over the ECD, `hurst` its Hurst exponent (0.8 for
    brittle fracture over many materials, Bouchaud 1997, 10.1088/0953-8984/9/21/002), `scoops` the
    mean number of conchoidal hollows.
    """
    flat = rng.uniform(0.55, 0.95) if flatness is None else flatness
    corners = facet_corners(rng, facets or int(rng.integers(9, 16)), np.array([aspect, 1.0, flat]))
    solid = to_manifold(rounded_hull(corners, 0.06, 40.0))
    ball = icosphere(3)
    for _ in range(rng.poisson(scoops)):
        way, radius = random_rotation(rng)[0], rng.uniform(0.6, 1.6)
        reach = float((corners @ way).max())
        centre = way * (reach + radius - rng.uniform(0.12, 0.4))
        left = solid - to_manifold((ball[0] * radius + centre, ball[1]))
        solid = left if left.volume() > 0.4 * solid.volume() else solid
    pieces = solid.decompose()
    solid = max(pieces, key=lambda piece: piece.volume())
    rough: Triangles = to_mesh(solid.refine_to_length(2 * 5.5 / float(np.clip(detail_px, 24, 130))))
    size = float(np.sqrt(aspect))
    height = 2 * relief * size * roughness(rng, rough[0], 1.6 * size, hurst)
    return grounded(displaced(rough, height))
