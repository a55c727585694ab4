"""Convex shapes: sphere, ellipsoid, rod, cube, octahedron, plate."""

import numpy as np
from manifold3d import Manifold

from blender_gen.shapes.meshes import grounded
from blender_gen.solids import Triangles, icosphere, to_mesh


def subdivisions(detail_px: float, finest: int = 4) -> int:
    """Subdivisions of an icosphere whose edges are about four pixels long at `detail_px` across, 1 to `finest`."""
    return int(np.clip(np.ceil(np.log2(max(0.55 * detail_px / 4, 1))), 1, finest))


def rounded_hull(corners: np.ndarray, radius: float, detail_px: float) -> Triangles:
    """Convex hull of balls of one radius around the corners (n, 3); a sharp polyhedron for radius 0.

    The radius is in units in which the body is about 2 across.
    """
    if radius <= 0:
        return to_mesh(Manifold.hull_points(np.ascontiguousarray(corners)))
    ball = icosphere(subdivisions(2.0 * radius * detail_px, 3))[0] * radius
    return to_mesh(Manifold.hull_points((corners[:, None] + ball[None]).reshape(-1, 3)))


def sphere(rng: np.random.Generator, aspect: float = 1.0, detail_px: float = 100.0) -> Triangles:
    """Sphere; `aspect` is not used."""
    return grounded(icosphere(subdivisions(detail_px)))


def ellipsoid(
    rng: np.random.Generator, aspect: float = 1.5, detail_px: float = 100.0, *, flatness: float = 1.0
) -> Triangles:
    """Ellipsoid lying on its long side: `aspect` length over width, `flatness` height over width."""
    vertices, triangles = icosphere(subdivisions(detail_px))
    return grounded((vertices * [aspect, 1.0, flatness], triangles))


def rod(rng: np.random.Generator, aspect: float = 3.0, detail_px: float = 100.0) -> Triangles:
    """Spherocylinder lying on its side, `aspect` total length over diameter."""
    half = max(aspect - 1.0, 0.0)
    ball, triangles = icosphere(subdivisions(detail_px / np.sqrt(max(aspect, 1.0)), 3))
    if half < 1e-6:
        return grounded((ball, triangles))
    caps = np.concatenate([ball[ball[:, 0] >= -1e-9] + [half, 0, 0], ball[ball[:, 0] <= 1e-9] - [half, 0, 0]])
    return grounded(to_mesh(Manifold.hull_points(caps)))


def cube(
    rng: np.random.Generator,
    aspect: float = 1.0,
    detail_px: float = 100.0,
    *,
    rounding: float = 0.08,
    flatness: float = 1.0,
) -> Triangles:
    """Box on a face: `aspect` length over width, `flatness` height over width, edges of radius `rounding` widths."""
    r = float(np.clip(2 * rounding, 0, 0.98 * min(1.0, flatness)))
    half = np.array([aspect - r, 1 - r, flatness - r])
    signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
    return grounded(rounded_hull(signs * half, r, detail_px))


def octahedron(
    rng: np.random.Generator, aspect: float = 1.0, detail_px: float = 100.0, *, rounding: float = 0.05
) -> Triangles:
    """Regular octahedron on a face, drawn out along one edge direction by `aspect`."""
    corners = np.concatenate([np.eye(3), -np.eye(3)]) * (1 - rounding)
    up, along = np.ones(3) / np.sqrt(3), np.array([1, -1, 0]) / np.sqrt(2)
    frame = np.stack([along, np.cross(up, along), up])
    vertices, triangles = rounded_hull(corners @ frame.T, rounding, detail_px)
    return grounded((vertices * [aspect, 1.0, 1.0], triangles))


def plate(
    rng: np.random.Generator,
    aspect: float = 1.0,
    detail_px: float = 100.0,
    *,
    corners: int = 6,
    thickness: float = 0.15,
    rounding: float = 0.02,
) -> Triangles:
    """Regular prism on its base: `corners` 3 triangular, 6 hexagonal; `thickness` over ECD; `aspect` stretches it."""
    r = min(rounding, 0.45 * thickness) * 2
    angles = 2 * np.pi * np.arange(corners) / corners
    outline = np.stack([np.cos(angles) * aspect, np.sin(angles)], axis=1)
    outline /= np.sqrt(0.5 * corners * np.sin(2 * np.pi / corners) * aspect / np.pi)
    ring = outline * (1 - r)
    solid = np.concatenate([np.c_[ring, np.full(corners, s * max(thickness - r, 1e-6))] for s in (-1, 1)])
    return grounded(rounded_hull(solid, r, detail_px))
