"""Height maps of meshes, seen from above and from below, on a square grid."""

from dataclasses import dataclass

import numpy as np

from blender_gen.solids import Triangles


@dataclass(frozen=True)
class HeightMaps:
    """Upper and lower surface of a body over the cells of a grid that starts at x = y = 0.

    A cell counts as covered if its centre is, or if a vertex lies in it. Heights are those over the
    centre, or of a vertex that is higher (upper) or lower (lower).
    """

    first: tuple[int, int]  # row (y) and column (x) of the first cell
    upper_um: np.ndarray  # (rows, columns), -inf where the body is not
    lower_um: np.ndarray  # (rows, columns), +inf where the body is not

    @property
    def covered(self) -> np.ndarray:
        """(rows, columns) bool."""
        return np.asarray(self.upper_um > -np.inf)


def height_maps(mesh: Triangles, cell_um: float) -> HeightMaps:
    """Rasterise a closed mesh with outward normals; cell (i, j) has its centre at ((j + 0.5), (i + 0.5)) cells."""
    vertices, triangles = mesh
    xy = vertices[:, :2] / cell_um
    z = vertices[:, 2]
    cells = np.floor(xy).astype(np.int64)
    start = cells.min(axis=0)
    columns, rows = cells.max(axis=0) - start + 1
    upper, lower = np.full(rows * columns, -np.inf), np.full(rows * columns, np.inf)
    flat = (cells[:, 1] - start[1]) * columns + cells[:, 0] - start[0]
    np.maximum.at(upper, flat, z)
    np.minimum.at(lower, flat, z)
    local = xy - start - 0.5
    a, b, c = (local[triangles[:, k]] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    low = np.ceil(np.minimum(np.minimum(a, b), c) - 1e-9).astype(np.int64)
    high = np.floor(np.maximum(np.maximum(a, b), c) + 1e-9).astype(np.int64)
    extent = np.maximum(high - low + 1, 0)
    count = extent[:, 0] * extent[:, 1] * (np.abs(area) > 1e-12)
    owner = np.repeat(np.arange(len(triangles)), count)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    column = low[owner, 0] + place % np.maximum(extent[owner, 0], 1)
    row = low[owner, 1] + place // np.maximum(extent[owner, 0], 1)
    px, py = column - a[owner, 0], row - a[owner, 1]
    ab, ac, twice = (b - a)[owner], (c - a)[owner], area[owner]
    v = (px * ac[:, 1] - py * ac[:, 0]) / twice
    w = (ab[:, 0] * py - ab[:, 1] * px) / twice
    inside = (v >= -1e-9) & (w >= -1e-9) & (v + w <= 1 + 1e-9)
    corner = triangles[owner[inside]]
    v, w = v[inside], w[inside]
    height = (1 - v - w) * z[corner[:, 0]] + v * z[corner[:, 1]] + w * z[corner[:, 2]]
    index, up = row[inside] * columns + column[inside], twice[inside] > 0
    np.maximum.at(upper, index[up], height[up])
    np.minimum.at(lower, index[~up], height[~up])
    shape = (int(rows), int(columns))
    return HeightMaps((int(start[1]), int(start[0])), upper.reshape(shape), lower.reshape(shape))
