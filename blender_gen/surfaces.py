"""Triangles that belong to bodies, and what a surface is at the points where it is seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blender_gen.solids import Triangles, merged

CREASE_DEG = 25.0  # a corner that turns by more is an edge of the body, not a coarse rendering of a round one


@dataclass(frozen=True)
class Facets:
    """Triangles of many bodies in one mesh, with the phase and the instance of each."""

    mesh: Triangles  # m triangles
    phase: np.ndarray  # (m,) phase id
    instance: np.ndarray  # (m,) body id; 0 for a layer or a substrate


def facets(phase: int, instance: int, mesh: Triangles) -> Facets:
    """A mesh that is one body."""
    return bodies_as_facets([(phase, instance, mesh)])


def bodies_as_facets(bodies: Sequence[tuple[int, int, Triangles]]) -> Facets:
    """Bodies, given as phase, instance and mesh, in one mesh."""
    if not bodies:
        return Facets((np.empty((0, 3)), np.empty((0, 3), dtype=np.uint32)), np.empty(0, int), np.empty(0, int))
    phases, instances, meshes = zip(*bodies, strict=True)
    counts = [len(triangles) for _, triangles in meshes]
    return Facets(merged(meshes), np.repeat(phases, counts), np.repeat(instances, counts))


def join(parts: Sequence[Facets]) -> Facets:
    """All triangles in one mesh, in order."""
    mesh = merged([part.mesh for part in parts])
    return Facets(mesh, np.concatenate([p.phase for p in parts]), np.concatenate([p.instance for p in parts]))


def keep(whole: Facets, which: np.ndarray) -> Facets:
    """The triangles that the mask (m,) picks; their vertices keep their numbers."""
    vertices, triangles = whole.mesh
    return Facets((vertices, triangles[which]), whole.phase[which], whole.instance[which])


def height_and_normal(mesh: Triangles, triangle: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """z (n,) in µm and unit normal (n, 3) of the numbered triangles (n,) over the points (n, 2).

    Normals are interpolated between the vertices, as on a smooth body, but never across an edge that
    turns by more than CREASE_DEG from the triangle's own plane.
    """
    vertices, triangles = mesh
    corners = vertices[triangles[triangle]]  # (n, 3, 3)
    weights = _barycentric(corners[..., :2], points)
    z = np.einsum("nk,nk->n", weights, corners[..., 2])
    flat = _unit(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    smooth = _vertex_normals(mesh, triangles[triangle])
    near = np.einsum("nkd,nd->nk", smooth, flat) > np.cos(np.radians(CREASE_DEG))
    smooth = np.where(near[..., None], smooth, flat[:, None])
    return z, _unit(np.einsum("nk,nkd->nd", weights, smooth))


def _barycentric(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Weights (n, 3) of the corners (n, 3, 2); a point that rounding puts outside is moved to the edge."""
    a, b, c = np.moveaxis(corners, 1, 0)
    u, v, w = b - a, c - a, points - a
    area = _cross(u, v)
    area = np.where(area == 0, 1.0, area)
    second, third = _cross(w, v) / area, _cross(u, w) / area
    weights = np.clip(np.stack([1 - second - third, second, third], axis=1), 0, 1)
    return weights / weights.sum(axis=1, keepdims=True)


def _vertex_normals(mesh: Triangles, wanted: np.ndarray) -> np.ndarray:
    """Mean of the triangles' normals, weighted by their angles, at the vertices `wanted` (...): (..., 3)."""
    vertices, triangles = mesh
    used = np.zeros(len(vertices), dtype=bool)
    used[wanted] = True
    triangles = triangles[used[triangles].any(axis=1)]
    corners = vertices[triangles]
    edges = np.roll(corners, -1, axis=1) - corners  # edge k leaves corner k
    normals = np.cross(edges[:, 0], edges[:, 1])
    double_area = np.linalg.norm(normals, axis=1)
    dots = -np.einsum("nkd,nkd->nk", edges, np.roll(edges, 1, axis=1))
    weights = np.arctan2(double_area[:, None], dots) / np.where(double_area > 0, double_area, 1.0)[:, None]
    at = triangles.ravel()
    sums = [np.bincount(at, (weights * normals[:, k, None]).ravel(), minlength=len(vertices)) for k in range(3)]
    return _unit(np.stack(sums, axis=1)[wanted])


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1.0)
