"""The cut of a closed mesh by a plane, and its volume: exact, without set operations."""

from collections.abc import Sequence

import numpy as np

from blender_gen.solids import Triangles, merged
from semforge.errors import RejectedSpecimen

Polygons = tuple[np.ndarray, ...]  # each (n, 2) in µm; outer rings anticlockwise, holes clockwise

# corners from and to which a triangle's edge rises or falls through the plane; by which corners lie above it, as bits
RISING = np.array([[0, 2, 0, 2, 1, 1, 0, 0], [0, 0, 1, 0, 2, 2, 1, 0]])
FALLING = np.array([[0, 0, 1, 1, 2, 0, 2, 0], [0, 1, 2, 2, 0, 1, 0, 0]])


def rings(mesh: Triangles, z_um: float = 0.0) -> Polygons:
    """The polygons in which a closed mesh cuts the plane z = `z_um`; none if it does not reach it.

    Every triangle that crosses the plane has one edge that rises through it and one that falls; the
    falling one is the neighbour's rising one, which chains the triangles. A vertex in the plane
    counts as above it.

    Raises RejectedSpecimen if the mesh is not closed where it crosses the plane.
    """
    return tuple(ring for _, ring in _traced(mesh, z_um))


def rings_of_each(meshes: Sequence[Triangles], z_um: float = 0.0) -> list[Polygons]:
    """As `rings`, of many meshes at once."""
    found: list[list[np.ndarray]] = [[] for _ in meshes]
    if meshes:
        traced = _traced(merged(meshes), z_um)
        ends = np.cumsum([len(triangles) for _, triangles in meshes])
        owners = np.searchsorted(ends, [triangle for triangle, _ in traced], side="right")
        for owner, (_, ring) in zip(owners.tolist(), traced, strict=True):
            found[owner].append(ring)
    return [tuple(own) for own in found]


def volume_um3(mesh: Triangles) -> float:
    """Volume inside a closed mesh, in µm³."""
    vertices, triangles = mesh
    corners = np.take(np.ascontiguousarray(vertices.T), np.ascontiguousarray(triangles.T), axis=1)
    (ax, bx, cx), (ay, by, cy), (az, bz, cz) = corners
    return float(np.sum(ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)) / 6)


def area_um2(polygons: Polygons) -> float:
    """Area inside polygons, in µm²; clockwise ones count as holes."""
    total = 0.0
    for polygon in polygons:
        x, y = (polygon - polygon[0]).T
        total += 0.5 * float(np.sum(x[:-1] * y[1:] - y[:-1] * x[1:]))  # the last edge ends in the origin
    return total


def perimeter_um(polygon: np.ndarray) -> float:
    """Length of a closed polygon (n, 2), in µm."""
    return float(np.linalg.norm(np.diff(polygon, axis=0, append=polygon[:1]), axis=1).sum())


def strip(x: np.ndarray, outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Polygon (2 n, 2) between two interfaces, whose heights (n,) are given at the positions `x`."""
    return np.concatenate([np.stack([x, inner], axis=1), np.stack([x, outer], axis=1)[::-1]])


def lies_between(low: np.ndarray, high: np.ndarray, x: np.ndarray, outer: np.ndarray, inner: np.ndarray) -> bool:
    """Whether the box from `low` to `high`, x first and y second, lies between two interfaces (n,) over `x`."""
    first, last = np.searchsorted(x, [low[0], high[0]])
    over = slice(max(first - 1, 0), last + 1)
    return outer[over].size > 0 and bool(outer[over].min() > high[1] and inner[over].max() < low[1])


def _traced(mesh: Triangles, z_um: float) -> list[tuple[int, np.ndarray]]:
    """The rings of a mesh, each with the first triangle that it passes."""
    vertices, triangles = mesh
    above = (vertices[:, 2] >= z_um).view(np.uint8)
    first, second, third = above[triangles.T]
    code = first | second << 1 | third << 2
    crossing = np.flatnonzero((code != 0) & (code != 7))
    if not len(crossing):
        return []
    corner = triangles[crossing].astype(np.int64).ravel()
    code, each = code[crossing], np.arange(0, corner.size, 3)
    (low, high), (start, end) = ((corner[each + table[code]] for table in edge) for edge in (RISING, FALLING))
    rising, falling = low * len(vertices) + high, end * len(vertices) + start
    by_rising, by_falling = rising.argsort(kind="stable"), falling.argsort(kind="stable")
    if not np.array_equal(rising[by_rising], falling[by_falling]):
        raise RejectedSpecimen("mesh is no solid: it is not closed in the section plane")
    following = np.empty(len(crossing), dtype=np.int64)
    following[by_falling] = by_rising
    lower, upper = vertices[low], vertices[high]
    share = (z_um - lower[:, 2]) / (upper[:, 2] - lower[:, 2])
    points = lower[:, :2] + share[:, None] * (upper[:, :2] - lower[:, :2])
    traced = ((int(crossing[cycle[0]]), _distinct(points[cycle[::-1]])) for cycle in _cycles(following.tolist()))
    return [(triangle, ring) for triangle, ring in traced if len(ring) > 2]


def _cycles(following: list[int]) -> list[list[int]]:
    """The cycles of a permutation."""
    cycles, seen = [], [False] * len(following)
    for first in range(len(following)):
        cycle, here = [], first
        while not seen[here]:
            seen[here] = True
            cycle.append(here)
            here = following[here]
        if cycle:
            cycles.append(cycle)
    return cycles


def _distinct(ring: np.ndarray) -> np.ndarray:
    """A ring without repeated neighbours, which stem from vertices in the plane."""
    moved = ring != np.concatenate([ring[-1:], ring[:-1]])
    return ring[moved[:, 0] | moved[:, 1]]
