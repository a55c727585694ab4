"""What the beam goes through in the column under each pixel's centre: every crossing, not just the first.

Triangles are scan-converted row by row. Both triangles at an edge find the same crossing of it with
the row, from the edge's lower vertex to its upper one, and spans are half open, so a closed mesh is
left exactly as often as it is entered.
"""

from dataclasses import dataclass

import numpy as np

from blender_gen.solids import Triangles
from blender_gen.specimen import View


@dataclass(frozen=True)
class Crossings:
    """Where columns cross triangles, (n,) each, in no order that means anything."""

    pixel: np.ndarray  # int64: row * width + column
    triangle: np.ndarray  # int64
    z_um: np.ndarray  # float64


def crossings(view: View, mesh: Triangles) -> Crossings:
    """All crossings of the pixels' columns with the triangles of a mesh."""
    vertices, triangles = mesh
    picture = view.to_picture(vertices[:, :2])
    near = np.ones(len(triangles), dtype=bool)
    for place, size in zip(picture.T, (view.width_px, view.height_px), strict=True):
        a, b, c = np.ascontiguousarray(place)[triangles.T]
        low, high = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
        near &= (np.ceil(low) < high) & (high > 0) & (low < size)
    number = np.flatnonzero(near)
    corners = np.concatenate([picture, vertices[:, 2:]], axis=1)[triangles[number]]  # (m, 3 corners, column row z)
    order = np.argsort(corners[:, :, 1], axis=1, kind="stable")
    a, b, c = np.moveaxis(np.take_along_axis(corners, order[..., None], axis=1), 1, 0)

    first = np.maximum(np.ceil(a[:, 1]), 0).astype(np.int64)
    last = np.minimum(np.ceil(c[:, 1]), view.height_px).astype(np.int64)
    row, of = ranges(first, last)
    upper = row >= b[of, 1]
    longest = _at_row(a, c, of, row)
    other = np.where(upper, _at_row(b, c, of, row), _at_row(a, b, of, row))
    first = np.maximum(np.ceil(np.minimum(longest, other)), 0).astype(np.int64)
    last = np.minimum(np.ceil(np.maximum(longest, other)), view.width_px).astype(np.int64)
    column, span = ranges(first, last)
    row, of = row[span], of[span]
    return Crossings(row * view.width_px + column, number[of], _plane_z(a, b, c, of, column, row))


def thickness_um(view: View, mesh: Triangles) -> np.ndarray:
    """Length of each pixel's column inside closed bodies, (H, W) float64; where bodies overlap both count."""
    found = crossings(view, mesh)
    sign = np.where(facing_up(mesh)[found.triangle], 1.0, -1.0)
    size = view.height_px * view.width_px
    total = np.bincount(found.pixel, weights=sign * found.z_um, minlength=size)
    return np.maximum(total, 0.0).reshape(view.height_px, view.width_px)


def floors(view: View, mesh: Triangles, start_um: float = 0.0) -> np.ndarray:
    """Where a column that starts inside bodies at z = `start_um` first leaves all of them, downwards.

    (H, W) int64: number of the triangle through which it leaves, -1 where it does not start inside
    any. The bodies are closed and may overlap.
    """
    vertices, triangles = mesh
    reach = np.flatnonzero((vertices[:, 2] < start_um)[triangles].any(axis=1))  # the others are crossed above it
    lower = vertices, triangles[reach]
    found = crossings(view, lower)
    below = found.z_um < start_um
    pixel, triangle, z = found.pixel[below], found.triangle[below], found.z_um[below]
    order = np.lexsort((-z, pixel))
    pixel, triangle = pixel[order], triangle[order]
    step = np.where(facing_up(lower)[triangle], 1, -1)  # bodies more after each crossing
    triangle = reach[triangle]
    floor = np.full(view.height_px * view.width_px, -1)
    if not len(pixel):
        return floor.reshape(view.height_px, view.width_px)
    first = np.flatnonzero(np.diff(pixel, prepend=-1))
    counts = np.diff(first, append=len(pixel))
    inside = np.repeat(-np.add.reduceat(step, first), counts)  # at the start: all of them end somewhere below
    total = np.cumsum(step)
    depth = inside + total - np.repeat(total[first] - step[first], counts)
    out = np.flatnonzero((depth == 0) & (inside > 0))
    floor[pixel[out[::-1]]] = triangle[out[::-1]]  # the first of each column is written last
    return floor.reshape(view.height_px, view.width_px)


def facing_up(mesh: Triangles) -> np.ndarray:
    """Which triangles are seen from above: (m,) bool."""
    x, y = mesh[0][:, 0], mesh[0][:, 1]
    a, b, c = mesh[1].T
    return (x[b] - x[a]) * (y[c] - y[a]) - (x[c] - x[a]) * (y[b] - y[a]) > 0


def ranges(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All whole numbers of the half-open ranges one after the other, and the range that each belongs to."""
    counts = np.maximum(last - first, 0)
    of = np.repeat(np.arange(len(counts)), counts)
    return np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts) + first[of], of


def _at_row(low: np.ndarray, high: np.ndarray, of: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Column at which the edges cross rows; the edges go from a smaller row to a larger one."""
    rise = high[:, 1] - low[:, 1]
    slope = np.divide(high[:, 0] - low[:, 0], rise, out=np.zeros_like(rise), where=rise > 0)
    return low[of, 0] + (row - low[of, 1]) * slope[of]


def _plane_z(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, of: np.ndarray, column: np.ndarray, row: np.ndarray
) -> np.ndarray:
    u, v = b - a, c - a
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    area = np.where(area == 0, 1.0, area)
    along_column = (u[:, 2] * v[:, 1] - v[:, 2] * u[:, 1]) / area
    along_row = (v[:, 2] * u[:, 0] - u[:, 2] * v[:, 0]) / area
    z = a[of, 2] + (column - a[of, 0]) * along_column[of] + (row - a[of, 1]) * along_row[of]
    lowest = np.minimum(np.minimum(a[:, 2], b[:, 2]), c[:, 2])
    highest = np.maximum(np.maximum(a[:, 2], b[:, 2]), c[:, 2])
    return np.clip(z, lowest[of], highest[of])  # rounding on a steep triangle must not leave it
