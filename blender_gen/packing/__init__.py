"""Particles on a plane: where each comes to rest, touching and not interpenetrating.

The region is 0..width in x and 0..height in y; the substrate is z = 0 or a height field. Spheres
on a plane are placed in closed form. All others fall on a grid of heights (`pile.Pile`), exact to one cell:
bodies that touch on the grid may stand up to two cells apart sideways, and do not share volume
beyond what lies between the centres of neighbouring cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy.ndimage import distance_transform_edt, map_coordinates, maximum_filter
from scipy.signal import fftconvolve

from blender_gen.packing import balls
from blender_gen.packing.pile import Footprint, Pile, footprint
from blender_gen.solids import Triangles
from semforge.errors import RejectedSpecimen

Mode = Literal["monolayer", "relaxed", "dropped", "clustered"]
CELLS = 32  # cells across the median particle if no cell size is given
TRIES = 40
LEFT_OVER = 0.03
COARSE = 160  # cells along the longer side when all places are searched


@dataclass(frozen=True)
class Drape:
    """Shift along z that depends on the place: heights (rows, columns) from the cell `first` on."""

    first: tuple[int, int]
    cell_um: float
    heights_um: np.ndarray

    def at(self, xy_um: np.ndarray) -> np.ndarray:
        """(n,) shifts at places (n, 2)."""
        index = xy_um[:, ::-1].T / self.cell_um - 0.5 - np.array(self.first)[:, None]
        return np.asarray(map_coordinates(self.heights_um, index, order=1, mode="nearest"))


@dataclass(frozen=True)
class Deposit:
    """Where particles lie."""

    shifts_um: np.ndarray  # (n, 3)
    drapes: tuple[Drape | None, ...]  # of those that bend

    def place(self, number: int, mesh: Triangles) -> Triangles:
        """The mesh of a particle, or of a part of it, moved to where it lies."""
        vertices, drape = mesh[0] + self.shifts_um[number], self.drapes[number]
        if drape is not None:
            vertices[:, 2] += drape.at(vertices[:, :2])
        return vertices, mesh[1]


def deposit(
    meshes: Sequence[Triangles],
    width_um: float,
    height_um: float,
    rng: np.random.Generator,
    mode: Mode = "dropped",
    *,
    substrate_um: np.ndarray | None = None,
    cell_um: float | None = None,
    flexible: Sequence[bool] | None = None,
    island: float = 12.0,
    upper: float = 0.15,
) -> Deposit:
    """Lay particles, each given in its pose around x = y = 0, on a region, one after another.

    `mode`: monolayer, at random without overlap in projection; relaxed, as monolayer but pushed
    apart until they fit, in a periodic box, for dense layers (equal spheres to 0.8, others to about
    0.6; up to a thirtieth of the others may come to lie on top); dropped, each falls straight down at
    a random place and slides or rolls downhill to where it is held; clustered, they gather side by
    side in islands of `island` particles on average, a share `upper` of them on top of others.
    `substrate_um` (rows, columns) is stretched over the region, row 0 at y = 0. `cell_um` is the
    grid's cell, best the size of a pixel (a thirty-second of the median particle if None).
    `flexible` tells which ones bend over what they fall on (fibres, foils), in dropped mode.

    Raises RejectedSpecimen if the particles do not fit.
    """
    if not len(meshes):
        return Deposit(np.zeros((0, 3)), ())
    radii = [sphere_radius(mesh) for mesh in meshes]
    if all(r is not None for r in radii) and (substrate_um is None or np.ptp(substrate_um) == 0):
        floor = 0.0 if substrate_um is None else float(np.min(substrate_um))
        middles = np.array([(mesh[0].max(axis=0) + mesh[0].min(axis=0)) / 2 for mesh in meshes])
        centres = _balls(np.array(radii, dtype=float), width_um, height_um, rng, mode, island, upper)
        return Deposit(centres + np.array([0, 0, floor]) - middles, (None,) * len(meshes))
    sizes = np.array([np.ptp(mesh[0][:, :2], axis=0).max() for mesh in meshes])
    cell = float(np.median(sizes)) / CELLS if cell_um is None else cell_um
    margin = int(np.ceil(sizes.max() / cell)) + 4
    pile = Pile(width_um, height_um, cell, margin, substrate_um)
    feet = [footprint(mesh, cell, rng.uniform(0, cell, size=2)) for mesh in meshes]
    if mode == "dropped":
        return _dropped(pile, feet, rng, list(flexible) if flexible is not None else [False] * len(feet))
    if mode == "clustered":
        return _clustered(pile, feet, rng, island, upper)
    return _scattered(pile, feet, rng) if mode == "monolayer" else _relaxed(pile, feet, rng)


def sphere_radius(mesh: Triangles) -> float | None:
    """Radius of a mesh whose vertices all lie on a sphere around the middle of its bounding box, else None."""
    vertices = mesh[0]
    if len(vertices) < 12:
        return None
    away = np.linalg.norm(vertices - (vertices.max(axis=0) + vertices.min(axis=0)) / 2, axis=1)
    round_ = np.ptp(away) < 1e-6 * away.max() and len(vertices) >= 42
    return float(away.max()) if round_ else None


def _balls(
    radii: np.ndarray,
    width_um: float,
    height_um: float,
    rng: np.random.Generator,
    mode: Mode,
    island: float,
    upper: float,
) -> np.ndarray:
    if mode == "dropped":
        return balls.rolled(rng, radii, width_um, height_um)
    if mode == "clustered":
        return balls.islands(rng, radii, width_um, height_um, round(len(radii) / island), upper)
    if mode == "monolayer":
        return np.c_[balls.scattered(rng, radii, width_um, height_um), radii]
    owner, nowhere = np.arange(len(radii)), np.zeros((len(radii), 2))
    places, done = balls.relaxed(rng, owner, nowhere, radii, width_um, height_um)
    if not done:
        raise RejectedSpecimen(_jammed(np.pi * float((radii**2).sum()) / (width_um * height_um)))
    return np.c_[places, radii]


def _shift(pile: Pile, foot: Footprint, row: int, column: int, z: float) -> np.ndarray:
    return np.array([column * pile.cell_um + foot.nudge_um[0], row * pile.cell_um + foot.nudge_um[1], z])


def _random_cell(pile: Pile, rng: np.random.Generator) -> tuple[int, int]:
    return int(rng.integers(pile.rows)), int(rng.integers(pile.columns))


def _dropped(pile: Pile, feet: list[Footprint], rng: np.random.Generator, flexible: list[bool]) -> Deposit:
    shifts: list[np.ndarray] = []
    drapes: list[Drape | None] = []
    for foot, bends in zip(feet, flexible, strict=True):
        row, column = _random_cell(pile, rng)
        if bends:
            lift = pile.drape(foot, row, column)
            pile.add(foot, row, column, lift)
            shifts.append(_shift(pile, foot, row, column, 0.0))
            drapes.append(Drape((row + foot.first[0], column + foot.first[1]), pile.cell_um, lift))
        else:
            shifts.append(_rest(pile, foot, row, column))
            drapes.append(None)
    return Deposit(np.array(shifts), tuple(drapes))


def _scattered(pile: Pile, feet: list[Footprint], rng: np.random.Generator) -> Deposit:
    shifts = np.zeros((len(feet), 3))
    order = sorted(range(len(feet)), key=lambda k: -feet[k].area_cells)
    for done, k in enumerate(order):
        place = _free_cell(pile, feet[k], rng)
        if place is None:
            raise RejectedSpecimen(_full(pile, feet, done, order))
        shifts[k] = _land(pile, feet[k], *place)
    return Deposit(shifts, (None,) * len(feet))


def _land(pile: Pile, foot: Footprint, row: int, column: int) -> np.ndarray:
    return _shift(pile, foot, row, column, pile.land(foot, row, column))


def _rest(pile: Pile, foot: Footprint, row: int, column: int) -> np.ndarray:
    row, column, z = pile.settle(foot, row, column)
    pile.add(foot, row, column, z)
    return _shift(pile, foot, row, column, z)


def _free_cell(pile: Pile, foot: Footprint, rng: np.random.Generator) -> tuple[int, int] | None:
    """A random cell at which the body covers nothing; if luck does not find one, all are searched, coarsely."""
    for _ in range(TRIES):
        row, column = _random_cell(pile, rng)
        if pile.free(foot, row, column):
            return row, column
    k = max(int(np.ceil(max(pile.closed.shape) / COARSE)), 1)
    taken = maximum_filter(pile.closed, size=2 * k - 1)[::k, ::k]
    body = maximum_filter(foot.body, size=2 * k - 1)[::k, ::k]
    hits = fftconvolve(taken.astype(np.float32), body[::-1, ::-1].astype(np.float32), mode="valid")
    rows = np.arange(hits.shape[0]) * k - pile.margin - foot.first[0]
    columns = np.arange(hits.shape[1]) * k - pile.margin - foot.first[1]
    inside = ((rows >= 0) & (rows < pile.rows))[:, None] & ((columns >= 0) & (columns < pile.columns))
    for choice in rng.permutation(np.flatnonzero((hits < 0.5) & inside))[:8]:
        row, column = int(rows[choice // hits.shape[1]]), int(columns[choice % hits.shape[1]])
        if pile.free(foot, row, column):
            return row, column
    return None


def _relaxed(pile: Pile, feet: list[Footprint], rng: np.random.Generator) -> Deposit:
    """Each footprint is a rigid group of discs; those that still overlap afterwards evade by some cells.

    A few that find no room, at most LEFT_OVER of all, come to rest on the others.
    """
    groups = [_discs(foot) for foot in feet]
    owner = np.repeat(np.arange(len(feet)), [len(g) for g in groups])
    discs = np.concatenate(groups)
    places, _ = balls.relaxed(rng, owner, discs[:, :2], discs[:, 2], pile.columns, pile.rows, 0.06, 150)
    cover = sum(foot.area_cells for foot in feet) / (pile.rows * pile.columns)
    if cover > 0.9:
        raise RejectedSpecimen(_jammed(cover))
    shifts, above = np.zeros((len(feet), 3)), 0
    for k in sorted(range(len(feet)), key=lambda k: -feet[k].area_cells):
        column, row = (int(x) for x in places[k])
        near = _nearest_free(pile, feet[k], row, column) or _free_cell(pile, feet[k], rng)
        shifts[k] = _land(pile, feet[k], *near) if near else _rest(pile, feet[k], row, column)
        above += near is None
        if above > LEFT_OVER * len(feet):
            raise RejectedSpecimen(_jammed(cover))
    return Deposit(shifts, (None,) * len(feet))


def _nearest_free(pile: Pile, foot: Footprint, row: int, column: int) -> tuple[int, int] | None:
    """The nearest cell, within the body's size, at which it covers nothing; None if there is none."""
    if pile.free(foot, row, column, tight=True):
        return row, column
    rows, columns = _spiral(max(foot.body.shape))
    rows, columns = rows + row, columns + column
    inside = (rows >= 0) & (rows < pile.rows) & (columns >= 0) & (columns < pile.columns)
    for r, c in zip(rows[inside].tolist(), columns[inside].tolist(), strict=True):
        if pile.free(foot, r, c, tight=True):
            return r, c
    return None


@lru_cache(maxsize=64)
def _spiral(reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the cells of a disc, the innermost first; further out only some."""
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    away = np.hypot(rows, columns)
    stride = np.maximum(away // 6, 1).astype(int)
    keep = (away <= reach) & (rows % stride == 0) & (columns % stride == 0)
    order = np.argsort(away[keep], kind="stable")
    return rows[keep][order], columns[keep][order]


def _discs(foot: Footprint, most: int = 8) -> np.ndarray:
    """(m, 3) column, row and radius in cells of discs that cover most of a footprint, the largest first."""
    left = foot.body.copy()
    depth = distance_transform_edt(foot.body)
    rows, columns = np.indices(foot.body.shape)
    discs = []
    for _ in range(most):
        row, column = np.unravel_index(int(np.where(left, depth, 0).argmax()), depth.shape)
        radius = float(depth[row, column])
        discs.append((column + foot.first[1] + 0.5, row + foot.first[0] + 0.5, radius))
        left &= (rows - row) ** 2 + (columns - column) ** 2 > radius**2
        if left.sum() < 0.05 * foot.area_cells:
            break
    return np.array(discs)


def _clustered(pile: Pile, feet: list[Footprint], rng: np.random.Generator, island: float, upper: float) -> Deposit:
    seeds = int(np.clip(round(len(feet) / island), 1, len(feet)))
    cells = np.zeros((len(feet), 2), dtype=int)
    shifts = np.zeros((len(feet), 3))
    for k, foot in enumerate(feet):
        place: tuple[int, int] | None
        if k < seeds:
            place = _free_cell(pile, foot, rng)
            if place is None:
                raise RejectedSpecimen(_full(pile, feet, k, list(range(len(feet)))))
        else:
            host = cells[rng.integers(k)]
            place = None if rng.uniform() < upper else _slid(pile, foot, host, rng) or _free_cell(pile, foot, rng)
            if place is None:
                row, column = np.clip(host + rng.integers(-3, 4, size=2), 0, [pile.rows - 1, pile.columns - 1])
                shifts[k] = _rest(pile, foot, int(row), int(column))
                cells[k] = np.floor(shifts[k, 1::-1] / pile.cell_um)
                continue
        cells[k], shifts[k] = place, _land(pile, foot, *place)
    return Deposit(shifts, (None,) * len(feet))


def _slid(pile: Pile, foot: Footprint, host: np.ndarray, rng: np.random.Generator) -> tuple[int, int] | None:
    """The free cell nearest to the host on straight ways out from it, the best of four random ones."""
    best: tuple[float, int, int] | None = None
    size = max(foot.body.shape)
    stride = max(size // 8, 1)
    for angle in rng.uniform(0, 2 * np.pi, size=4):
        way = np.array([np.sin(angle), np.cos(angle)])
        distance = _first_free(pile, foot, host, way, range(0, 8 * size, stride))
        if distance is None:
            continue
        distance = _first_free(pile, foot, host, way, range(max(distance - stride + 1, 0), distance + 1)) or distance
        row, column = np.round(host + distance * way).astype(int)
        if best is None or distance < best[0]:
            best = (distance, int(row), int(column))
    return None if best is None else best[1:]


def _first_free(pile: Pile, foot: Footprint, host: np.ndarray, way: np.ndarray, distances: range) -> int | None:
    for distance in distances:
        row, column = np.round(host + distance * way).astype(int)
        if not (0 <= row < pile.rows and 0 <= column < pile.columns):
            return None
        if pile.free(foot, int(row), int(column)):
            return distance
    return None


def _full(pile: Pile, feet: list[Footprint], done: int, order: list[int]) -> str:
    region = pile.rows * pile.columns
    got = sum(feet[k].area_cells for k in order[:done]) / region
    wanted = sum(foot.area_cells for foot in feet) / region
    return (
        f"{done} of {len(feet)} particles were placed, covering {got:.2f} of the region where {wanted:.2f} was asked "
        "for; ask for less, or for relaxed, dropped or clustered packing"
    )


def _jammed(cover: float) -> str:
    return (
        f"particles that cover {cover:.2f} of the region cannot be pushed apart; ask for less, or for dropped packing"
    )
