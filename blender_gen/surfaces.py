"""Triangles that belong to bodies, and what a surface is at the points where it is seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blender_gen.solids import Triangles

CREASE_DEG = 35.0  # a corner that turns by more is an edge of the body, not a coarse rendering of a round one


@dataclass(frozen=True)
class Facets:
    """Triangles of many bodies in one mesh, with the phase and the instance of each."""

    mesh: Triangles  # m triangles
    phase: np.ndarray  # (m,) phase id
    instance: np.ndarray  # (m,) body id; 0 for a layer or a substrate


def facets(phase: int, instance: int, mesh: Triangles) -> Facets:
    """A mesh that is one body."""
    count = len(mesh[1])
    return Facets(mesh, np.full(count, phase), np.full(count, instance))


def join(parts: Sequence[Facets]) -> Facets:
    """All triangles in one mesh, in order."""
    if not parts:
        return facets(0, 0, (np.empty((0, 3)), np.empty((0, 3), dtype=np.uint32)))
    starts = np.cumsum([0] + [len(part.mesh[0]) for part in parts[:-1]])
    vertices = np.concatenate([part.mesh[0] for part in parts])
    triangles = np.concatenate([part.mesh[1] + start for part, start in zip(parts, starts, strict=True)])
    phase, instance = np.concatenate([p.phase for p in parts]), np.concatenate([p.instance for p in parts])
    return Facets((vertices, triangles.astype(np.uint32)), phase, instance)


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
    """Area-weighted mean of the triangles' normals at the vertices `wanted` (...): (..., 3)."""
    vertices, triangles = mesh
    used = np.zeros(len(vertices), dtype=bool)
    used[wanted] = True
    triangles = triangles[used[triangles].any(axis=1)]
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    normals = np.cross(b - a, c - a)
    corners = triangles.T.ravel()
    sums = [np.bincount(corners, weights=np.tile(normals[:, k], 3), minlength=len(vertices)) for k in range(3)]
    return _unit(np.stack(sums, axis=1)[wanted])


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1.0)
