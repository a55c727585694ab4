"""A pile as a height field: where a body that falls straight down is stopped."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates, maximum_filter

from blender_gen.shapes.rasters import height_maps
from blender_gen.solids import Triangles


@dataclass(frozen=True)
class Footprint:
    """A body over the cells of the grid, before it is moved; one empty cell all around."""

    first: tuple[int, int]  # row and column of the first cell
    lower_um: np.ndarray  # +inf where the body is not
    upper_um: np.ndarray  # widened by a cell; -inf where the body is not
    body: np.ndarray  # bool, cells under the body
    wide: np.ndarray  # bool, widened by a cell
    nudge_um: np.ndarray  # (2,) shift of the mesh before it was put on the grid

    @property
    def area_cells(self) -> int:
        """Cells under the body."""
        return int(self.body.sum())


def footprint(mesh: Triangles, cell_um: float, nudge_um: np.ndarray) -> Footprint:
    """Put a mesh on the grid. `nudge_um` (2,) moves it first, so that not every body starts on a cell's corner."""
    maps = height_maps((mesh[0] + [*nudge_um, 0.0], mesh[1]), cell_um)
    lower = np.pad(maps.lower_um, 1, constant_values=np.inf)
    upper = np.pad(maps.upper_um, 1, constant_values=-np.inf)
    body = np.pad(maps.covered, 1)
    shifted = np.pad(upper, 1, constant_values=-np.inf)
    neighbours = [shifted[1:-1, 1:-1], shifted[:-2, 1:-1], shifted[2:, 1:-1], shifted[1:-1, :-2], shifted[1:-1, 2:]]
    widened = np.maximum.reduce(neighbours)
    return Footprint((maps.first[0] - 1, maps.first[1] - 1), lower, widened, body, widened > -np.inf, nudge_um)


class Pile:
    """What lies on the substrate so far: the highest surface over each cell.

    A surface counts as one cell wider than it is, so that two bodies side by side never share a
    cell's width: what falls is stopped exactly or up to one cell too early, not too late.
    """

    def __init__(self, width_um: float, height_um: float, cell_um: float, margin: int, substrate: np.ndarray | None):
        """`margin` cells are added all around; `substrate` (rows, columns), in µm, is stretched over the region."""
        self.cell_um, self.margin = cell_um, margin
        self.rows, self.columns = max(int(np.ceil(height_um / cell_um)), 1), max(int(np.ceil(width_um / cell_um)), 1)
        shape = (self.rows + 2 * margin, self.columns + 2 * margin)
        self.heights = np.zeros(shape)
        if substrate is not None:
            at = np.meshgrid(
                ((np.arange(shape[0]) - margin + 0.5) * cell_um / height_um) * substrate.shape[0] - 0.5,
                ((np.arange(shape[1]) - margin + 0.5) * cell_um / width_um) * substrate.shape[1] - 0.5,
                indexing="ij",
            )
            self.heights = np.asarray(map_coordinates(np.asarray(substrate, float), at, order=1, mode="nearest"))
        self.floor = self.heights.copy()
        self.lowest = float(self.floor.min())
        self.taken = np.zeros(shape, dtype=bool)  # under the bodies
        self.closed = np.zeros(shape, dtype=bool)  # and one cell around

    def window(self, foot: Footprint, row: int, column: int) -> tuple[slice, slice]:
        """The cells under a body whose origin is moved to a cell of the region."""
        r, c = row + foot.first[0] + self.margin, column + foot.first[1] + self.margin
        rows, columns = foot.body.shape
        return slice(r, r + rows), slice(c, c + columns)

    def free(self, foot: Footprint, row: int, column: int, tight: bool = False) -> bool:
        """Whether nothing lies where the body would, nor in the cell beside it unless `tight`."""
        cells = self.taken if tight else self.closed
        return not bool((cells[self.window(foot, row, column)] & foot.body).any())

    def stop(self, foot: Footprint, row: int, column: int) -> float:
        """Shift along z at which the falling body is stopped."""
        return float((self.heights[self.window(foot, row, column)] - foot.lower_um).max())

    def land(self, foot: Footprint, row: int, column: int) -> float:
        """Lay the body on the substrate at a free place; its shift along z."""
        z = float((self.floor[self.window(foot, row, column)] - foot.lower_um).max())
        self.add(foot, row, column, z)
        return z

    def add(self, foot: Footprint, row: int, column: int, lift: float | np.ndarray) -> None:
        """Leave the body there, shifted along z by `lift`, one number or one a cell."""
        window = self.window(foot, row, column)
        np.maximum(self.heights[window], foot.upper_um + lift, out=self.heights[window])
        self.taken[window] |= foot.body
        self.closed[window] |= foot.wide

    def settle(self, foot: Footprint, row: int, column: int) -> tuple[int, int, float]:
        """Let the body slide from where it is stopped to the nearest place from which every way leads up.

        It moves at most 1.5 of its sizes. Returns row, column and shift along z.
        """
        z = self.stop(foot, row, column)
        size = max(foot.body.shape)
        start, step = (row, column), max(size // 5, 1)
        for _ in range(40):
            if step < 1 or z <= self.lowest - float(foot.lower_um.min()) + 1e-12:
                break
            best = (z, row, column)
            for dr, dc in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)):
                r, c = row + dr * step, column + dc * step
                inside = 0 <= r < self.rows and 0 <= c < self.columns
                if inside and max(abs(r - start[0]), abs(c - start[1])) <= 1.5 * size:
                    best = min(best, (self.stop(foot, r, c), r, c))
            if best[0] < z - 1e-9:
                z, row, column = best
            else:
                step //= 2
        return row, column, z

    def drape(self, foot: Footprint, row: int, column: int) -> np.ndarray:
        """Shift along z, one a cell of the footprint, of a body that bends over what it falls on."""
        needed = self.heights[self.window(foot, row, column)] - foot.lower_um
        base = float(needed[foot.body].min())
        needed = np.where(foot.body, needed, base)
        thick = float((foot.upper_um - foot.lower_um)[foot.body].mean())
        reach = int(np.clip(np.ceil(2.5 * thick / self.cell_um), 1, 30))
        # The blur reaches no further than the widening, so nothing sinks into what lies below.
        widened = maximum_filter(needed, size=2 * reach + 1, mode="nearest")
        return np.asarray(gaussian_filter(widened, reach / 2.5, truncate=2.5, mode="nearest"))
