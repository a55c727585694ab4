"""Closed triangle meshes as arrays, without any renderer.

A mesh is a pair (vertices (n, 3) float64 in µm, triangles (m, 3) uint32), watertight, with
outward normals. `manifold3d` does the exact set operations on them.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from manifold3d import Manifold, Mesh

from semforge.errors import RejectedSpecimen

Triangles = tuple[np.ndarray, np.ndarray]


@cache
def icosphere(subdivisions: int) -> Triangles:
    """Unit sphere of 20 * 4^subdivisions nearly equal triangles."""
    golden = (1 + 5**0.5) / 2
    corners = [(-1, golden, 0), (1, golden, 0), (-1, -golden, 0), (1, -golden, 0),
               (0, -1, golden), (0, 1, golden), (0, -1, -golden), (0, 1, -golden),
               (golden, 0, -1), (golden, 0, 1), (-golden, 0, -1), (-golden, 0, 1)]  # fmt: skip
    faces = [(0, 11, 5), (0, 5, 1), (0, 1, 7), (0, 7, 10), (0, 10, 11), (1, 5, 9), (5, 11, 4), (11, 10, 2), (10, 7, 6),
             (7, 1, 8), (3, 9, 4), (3, 4, 2), (3, 2, 6), (3, 6, 8), (3, 8, 9), (4, 9, 5), (2, 4, 11), (6, 2, 10),
             (8, 6, 7), (9, 8, 1)]  # fmt: skip
    vertices, triangles = np.array(corners, dtype=float), np.array(faces, dtype=np.uint32)
    for _ in range(subdivisions):
        edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
        unique, inverse = np.unique(edges, axis=0, return_inverse=True)
        ab, bc, ca = (inverse.reshape(3, -1) + len(vertices)).astype(np.uint32)
        a, b, c = triangles.T
        vertices = np.concatenate([vertices, vertices[unique].mean(axis=1)])
        triangles = np.concatenate([np.stack(t, axis=1) for t in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))])
    return vertices / np.linalg.norm(vertices, axis=1, keepdims=True), triangles


def blob(
    rng: np.random.Generator,
    semi_axes: np.ndarray,
    rotation: np.ndarray,
    irregularity: float,
    subdivisions: int = 3,
    lobes: Sequence[tuple[np.ndarray, float]] = (),
) -> Triangles:
    """Ellipsoid whose radius varies smoothly and randomly with direction.

    `irregularity` is the relative rms of the radius. `lobes` are ellipsoids that bulge out of it:
    centre (3,), inside the unit sphere, and radius, both relative to the semi-axes. The radius is a
    positive function of the direction, so the surface never crosses itself.
    """
    directions, triangles = icosphere(subdivisions)
    waves = rng.normal(scale=2.6, size=(10, 3))
    field = np.cos(directions @ waves.T + rng.uniform(0, 2 * np.pi, size=10)).sum(axis=1) / np.sqrt(5)
    radius = np.exp(irregularity * field - irregularity**2 / 2) * _reach(directions, lobes)
    return (directions * radius[:, None] * semi_axes) @ rotation.T, triangles


def angular(rng: np.random.Generator, semi_axes: np.ndarray, rotation: np.ndarray, corners: int = 12) -> Triangles:
    """Convex polyhedron with random corners on an ellipsoid."""
    points = rng.normal(size=(corners, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points *= rng.uniform(0.85, 1.15, size=(corners, 1))
    return to_mesh(Manifold.hull_points((points * semi_axes) @ rotation.T))


def sheet(u: np.ndarray, z: np.ndarray, low: np.ndarray, high: np.ndarray, along: str = "x") -> Triangles:
    """Closed body between two surfaces over a grid.

    `u` (nu,) and `z` (nz,) increase; `low` < `high` are (nz, nu). With `along="x"` u is x and the
    surfaces are heights y (a layer); with `along="y"` u is y and the surfaces are positions x
    (a crack across the layers).
    """
    nz, nu = low.shape
    grid_z, grid_u = np.meshgrid(z, u, indexing="ij")
    shell = np.stack([np.stack([grid_u, s, grid_z], axis=-1).reshape(-1, 3) for s in (low, high)])
    index = np.arange(nz * nu).reshape(nz, nu)
    top = index + nz * nu
    quads = [
        _quads(top[:-1, :-1], top[1:, :-1], top[1:, 1:], top[:-1, 1:]),
        _quads(index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]),
    ]
    for edge, flip in ((index[0], False), (index[-1], True), (index[:, 0], True), (index[:, -1], False)):
        low_edge, high_edge = edge, edge + nz * nu
        side = _quads(low_edge[:-1], high_edge[:-1], high_edge[1:], low_edge[1:])
        quads.append(side[:, ::-1] if flip else side)
    triangles = np.concatenate(quads).astype(np.uint32)
    vertices = shell.reshape(-1, 3)
    if along == "y":
        vertices, triangles = vertices[:, [1, 0, 2]], triangles[:, ::-1]
    return vertices, np.ascontiguousarray(triangles)


def merged(meshes: Sequence[Triangles]) -> Triangles:
    """Several closed meshes as one compound, without a Boolean union; each keeps its triangles, in order."""
    starts = np.cumsum([0] + [len(vertices) for vertices, _ in meshes[:-1]])
    shift = np.repeat(starts, [len(triangles) for _, triangles in meshes])
    triangles = np.concatenate([triangles for _, triangles in meshes]) + shift[:, None]
    return np.concatenate([vertices for vertices, _ in meshes]), triangles.astype(np.uint32)


def rotation_in_section(
    rng: np.random.Generator, in_plane_deg: float, out_of_plane_sd_deg: float = 20.0, spin_sd_deg: float | None = None
) -> np.ndarray:
    """Rotation (3, 3) that turns the x axis to `in_plane_deg` in the section plane, then a little out of it.

    Before that the body is spun about its x axis by any angle, or by a normal deviate of `spin_sd_deg`.
    """
    a, b = np.radians(in_plane_deg), np.radians(rng.normal(scale=out_of_plane_sd_deg))
    spin = rng.uniform(0, 2 * np.pi) if spin_sd_deg is None else np.radians(rng.normal(scale=spin_sd_deg))
    about_x = np.array([[1, 0, 0], [0, np.cos(spin), -np.sin(spin)], [0, np.sin(spin), np.cos(spin)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def to_manifold(mesh: Triangles) -> Manifold:
    """The mesh as a solid for set operations. Raises RejectedSpecimen if it is not watertight."""
    vertices, triangles = mesh
    solid = Manifold(Mesh(np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(triangles, np.uint32)))
    if solid.status().name != "NoError":
        raise RejectedSpecimen(f"mesh is no solid: {solid.status().name}")
    return solid


def to_mesh(solid: Manifold) -> Triangles:
    """The surface of a solid."""
    mesh = solid.to_mesh()
    return np.asarray(mesh.vert_properties[:, :3], dtype=np.float64), np.asarray(mesh.tri_verts, dtype=np.uint32)


def _reach(directions: np.ndarray, spheres: Sequence[tuple[np.ndarray, float]]) -> np.ndarray:
    """Where rays from the origin last leave the unit sphere or one of the spheres: (n,)."""
    reach = np.ones(len(directions))
    for centre, radius in spheres:
        along = directions @ centre
        inside = along**2 + radius**2 - centre @ centre
        reach = np.maximum(reach, np.where(inside > 0, along + np.sqrt(np.maximum(inside, 0)), 0))
    return reach


def _quads(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    a, b, c, d = (q.ravel() for q in (a, b, c, d))
    return np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
