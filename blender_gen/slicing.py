"""The cut of a closed mesh by a plane, and its volume: exact, without set operations."""

import numpy as np

from blender_gen.solids import Triangles
from semforge.errors import RejectedSpecimen

Polygons = tuple[np.ndarray, ...]  # each (n, 2) in µm; outer rings anticlockwise, holes clockwise


def rings(mesh: Triangles, z_um: float = 0.0) -> Polygons:
    """The polygons in which a closed mesh cuts the plane z = `z_um`; none if it does not reach it.

    Every triangle that crosses the plane has one edge that rises through it and one that falls; the
    falling one is the neighbour's rising one, which chains the triangles. A vertex in the plane
    counts as above it.

    Raises RejectedSpecimen if the mesh is not closed where it crosses the plane.
    """
    vertices, triangles = mesh
    above = vertices[:, 2] >= z_um
    first, second, third = (above[triangles[:, k]] for k in range(3))
    crossing = (first != second) | (second != third)
    start = triangles[crossing].astype(np.int64)
    if not len(start):
        return ()
    end = start[:, [1, 2, 0]]
    state, state_end = above[start], above[end]
    each = np.arange(len(start))
    rise, fall = np.argmax(~state & state_end, axis=1), np.argmax(state & ~state_end, axis=1)
    low, high = start[each, rise], end[each, rise]
    rising, falling = low * len(vertices) + high, end[each, fall] * len(vertices) + start[each, fall]
    by_rising, by_falling = np.argsort(rising, kind="stable"), np.argsort(falling, kind="stable")
    if not np.array_equal(rising[by_rising], falling[by_falling]):
        raise RejectedSpecimen("mesh is no solid: it is not closed in the section plane")
    following = np.empty(len(start), dtype=np.int64)
    following[by_falling] = by_rising
    share = (z_um - vertices[low, 2]) / (vertices[high, 2] - vertices[low, 2])
    points = vertices[low, :2] + share[:, None] * (vertices[high, :2] - vertices[low, :2])
    return tuple(ring for cycle in _cycles(following.tolist()) if len(ring := _distinct(points[cycle[::-1]])) > 2)


def volume_um3(mesh: Triangles) -> float:
    """Volume inside a closed mesh, in µm³."""
    vertices, triangles = mesh
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = np.moveaxis(vertices[triangles], (1, 2), (0, 1))
    return float(np.sum(ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)) / 6)


def area_um2(polygons: Polygons) -> float:
    """Area inside polygons, in µm²; clockwise ones count as holes."""
    total = 0.0
    for polygon in polygons:
        x, y = (polygon - polygon[0]).T
        total += 0.5 * float(np.sum(x[:-1] * y[1:] - y[:-1] * x[1:]))  # the last edge ends in the origin
    return total


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
