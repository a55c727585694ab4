"""Where the particles of a population come to lie, by the placement that the recipe names.

Physical packing, with contact, is `packing`; here are the arrangements that need none: apart
from each other, or on a lattice as in a film that has dried in order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast, get_args

import numpy as np
from scipy.spatial import ConvexHull

from blender_gen import packing
from blender_gen.deposits.deposit import Hang, Mould, Particle
from blender_gen.recipe.particles import Population
from blender_gen.solids import Triangles
from blender_gen.specimen import View
from semforge.errors import RejectedSpecimen

PACKED = frozenset(get_args(packing.Mode))
FINEST_CELLS = 28  # grid cells of the packing across a median particle
TRIES = 12_000  # places tried for all particles that keep apart
BATCH = 48
CHAIN_MEMORY = 0.6  # chance that a chain grows at its last particle
ENOUGH = 0.9  # share of the particles asked for that must find a place; of debris any number will do
RECTANGULAR = 0.88  # share of its box that an outline fills, above which rows are straight, not hexagonal
LONG = 1.35  # a box that is longer than wide by more is laid in rows, too


@dataclass(frozen=True)
class Cast:
    """A particle that has a body and a size, but no place."""

    mould: Mould
    ecd_um: float
    turn_rad: float

    @cached_property
    def mesh(self) -> Triangles:
        """Lying on z = 0 over the origin."""
        vertices, triangles = self.mould.mesh
        c, s = self.ecd_um * np.cos(self.turn_rad), self.ecd_um * np.sin(self.turn_rad)
        return vertices @ np.array([[c, s, 0], [-s, c, 0], [0, 0, self.ecd_um]]), triangles

    def turned(self, turn_rad: float) -> "Cast":
        """The same in another direction."""
        return Cast(self.mould, self.ecd_um, turn_rad)


@dataclass(frozen=True)
class Placed:
    """A cast and where its origin goes; a flexible one hangs over what lies below."""

    cast: Cast
    place_um: np.ndarray  # (3,)
    hang: Hang | None = None


def place(
    kind: str, casts: list[Cast], earlier: Sequence[Particle], view: View, population: Population,
    rng: np.random.Generator,
) -> list[Placed]:  # fmt: skip
    """Lay the particles of a population in and around the frame, on or beside those that are there already.

    Raises RejectedSpecimen if they cannot be packed. A lattice holds as many as it has sites.
    """
    if not casts:
        return []
    gap = population.gap.draw(rng)
    if kind == "lattice":
        return _lattice(casts, view, gap, population.disorder.draw(rng), rng)
    region = np.array(view.size_um) + float(np.percentile([c.ecd_um for c in casts], 90))
    if kind in ("apart", "chained"):
        if kind == "apart":
            found = _apart(casts, region, earlier, gap, rng)
        else:
            found = _chained(casts, region, earlier, gap, population.cluster_size.draw(rng), rng)
        if not population.background and len(found) < ENOUGH * len(casts):
            raise RejectedSpecimen(_too_few(kind, population.name, casts, found, region))
        return found
    finest = max(view.pixel_size_um, float(np.median([c.ecd_um for c in casts])) / FINEST_CELLS)
    return _packed(kind, casts, region, earlier, gap, population, finest, rng)


def _too_few(kind: str, name: str, casts: list[Cast], found: list[Placed], region: np.ndarray) -> str:
    inside = [p.cast.ecd_um**2 for p in found if np.all(np.abs(p.place_um[:2]) <= region / 2)]
    cover = float(np.pi / 4 * sum(inside) / region.prod())
    return (
        f"{name}: {len(found)} of {len(casts)} particles find a place {kind}, covering {cover:.2g} of the area; "
        "ask for no more, or place them clustered, relaxed or dropped"
    )


def _packed(
    kind: str, casts: list[Cast], region: np.ndarray, earlier: Sequence[Particle], gap: float, population: Population,
    cell: float, rng: np.random.Generator,
) -> list[Placed]:  # fmt: skip
    room = 1 + gap if kind in ("monolayer", "relaxed") else 1.0
    meshes = [(c.mesh[0] * [room, room, 1.0], c.mesh[1]) if room != 1 else c.mesh for c in casts]
    width, height = float(region[0]), float(region[1])
    found = packing.deposit(
        meshes, width, height, rng, cast(packing.Mode, kind), cell_um=cell,
        substrate_um=_skyline(earlier, region, cell), flexible=[population.flexible] * len(casts),
        island=population.cluster_size.draw(rng), upper=population.upper.draw(rng),
    )  # fmt: skip
    middle = np.array([*region / 2, 0])
    return [
        Placed(body, shift - middle, Hang(drape, (-region[0] / 2, -region[1] / 2)) if drape is not None else None)
        for body, shift, drape in zip(casts, found.shifts_um, found.drapes, strict=True)
    ]


def _skyline(earlier: Sequence[Particle], region: np.ndarray, cell_um: float) -> np.ndarray | None:
    """Height of what lies there already, on a grid over the region: what further particles fall on."""
    if not earlier:
        return None
    columns, rows = (max(int(np.ceil(side / cell_um)), 2) for side in region)
    scale = max(columns, rows) / 600
    if scale > 1:
        columns, rows, cell_um = int(columns / scale), int(rows / scale), cell_um * scale
    height = np.zeros((rows, columns))
    y, x = np.indices((rows, columns))
    for body in earlier:
        px, py = (np.array(body.place_um[:2]) + region / 2) / cell_um - 0.5
        reach = body.reach_um / cell_um + 1
        near = np.s_[max(int(py - reach), 0) : int(py + reach) + 2, max(int(px - reach), 0) : int(px + reach) + 2]
        inside = np.hypot(x[near] - px, y[near] - py) <= reach
        height[near] = np.where(inside, np.maximum(height[near], body.place_um[2] + body.height_um), height[near])
    return height


def _apart(
    casts: list[Cast], region: np.ndarray, earlier: Sequence[Particle], gap: float, rng: np.random.Generator
) -> list[Placed]:
    """Random sequential addition of circles that hold the particles, the largest first; as many as fit."""
    spare = gap * float(np.median([c.ecd_um for c in casts]))
    order = sorted(range(len(casts)), key=lambda k: -casts[k].ecd_um * casts[k].mould.radius)
    centres = np.array([p.place_um[:2] for p in earlier]).reshape(-1, 2)
    radii = np.array([p.reach_um for p in earlier])
    found = []
    tries = TRIES
    for k in order:
        radius = casts[k].mould.radius * casts[k].ecd_um
        while tries > 0:
            tries -= BATCH
            spots = rng.uniform(-region / 2, region / 2, size=(BATCH, 2))
            clear = np.linalg.norm(spots[:, None] - centres, axis=2) - radii - radius - spare
            free = np.flatnonzero((clear >= 0).all(axis=1))
            if len(free):
                centres, radii = np.concatenate([centres, spots[free[:1]]]), np.append(radii, radius)
                found.append(Placed(casts[k], np.array([*spots[free[0]], 0.0])))
                break
    return found


def _chained(
    casts: list[Cast], region: np.ndarray, earlier: Sequence[Particle], gap: float, length: float,
    rng: np.random.Generator,
) -> list[Placed]:  # fmt: skip
    """Branched chains, as magnetic or drying particles form: each touches one before it, seldom two."""
    centres = np.array([p.place_um[:2] for p in earlier]).reshape(-1, 2)
    radii = np.array([p.reach_um for p in earlier])
    found: list[Placed] = []
    first = len(radii)  # of the chain that grows
    left = 0
    for body in casts:
        radius = body.mould.radius * body.ecd_um
        if left <= 0 or len(radii) == first:
            spots = rng.uniform(-region / 2, region / 2, size=(BATCH, 2))
            first, left = len(radii), max(int(rng.poisson(length)), 1)
        else:
            steps = rng.geometric(CHAIN_MEMORY, size=BATCH)  # mostly at the end, sometimes further back
            hosts = np.maximum(len(radii) - steps, first)
            angles = rng.uniform(0, 2 * np.pi, size=BATCH)
            away = (radii[hosts] + radius) * (1 + max(gap, 0.0))
            spots = centres[hosts] + away[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        clear = np.linalg.norm(spots[:, None] - centres, axis=2) - radii - radius
        free = np.flatnonzero((clear >= -1e-9 * radius).all(axis=1))
        left = left - 1 if len(free) else 0
        if len(free):
            centres, radii = np.concatenate([centres, spots[free[:1]]]), np.append(radii, radius)
            found.append(Placed(body, np.array([*spots[free[0]], 0.0])))
    return found


def _lattice(casts: list[Cast], view: View, gap: float, disorder: float, rng: np.random.Generator) -> list[Placed]:
    """Hexagonal rows of round particles, straight rows of long or rectangular ones; with faults.

    As many particles as there are casts: a whole film, or an island around a random place.
    """
    boxes = [_box(c.mould) for c in casts]
    long = np.max([c.ecd_um * b[0] for c, b in zip(casts, boxes, strict=True)])
    wide = np.max([c.ecd_um * b[1] for c, b in zip(casts, boxes, strict=True)])
    filled = np.mean([np.pi / 4 / (b[0] * b[1]) for b in boxes])
    straight = filled > RECTANGULAR or long / wide > LONG
    round_pitch = max(2 * c.ecd_um * c.mould.radius for c in casts) if not straight else 0.0
    pitch = np.array([long, wide]) if straight else round_pitch * np.array([1.0, np.sqrt(3) / 2])
    pitch = pitch * (1 + gap)
    turn = rng.uniform(0, 2 * np.pi)
    sites = _sites(pitch, view, turn, rng.uniform() if straight else 0.5, rng)
    sites = sites[rng.uniform(size=len(sites)) > 0.3 * disorder]
    slack = max(gap, 0.0) / 2 * pitch.min()
    placed = []
    for k, site in enumerate(sites[: len(casts)]):
        body = casts[k].turned(turn - boxes[k][2] + np.pi * rng.integers(2)) if straight else casts[k]
        jitter = rng.normal(scale=disorder * (slack + 0.02 * pitch.min()), size=2)
        placed.append(Placed(body, np.array([*(site + jitter), 0.0])))
    return placed


def _sites(pitch: np.ndarray, view: View, turn: float, stagger: float, rng: np.random.Generator) -> np.ndarray:
    """Lattice points (n, 2), nearest first to a random middle, over the frame and a pitch around it."""
    reach = np.hypot(*view.size_um) / 2 + pitch.max()
    rows, columns = (np.arange(-np.ceil(reach / p), np.ceil(reach / p) + 1) for p in pitch[::-1])
    y, x = np.meshgrid(rows, columns, indexing="ij")
    grid = np.stack([(x + stagger * (y % 2)) * pitch[0], y * pitch[1]], axis=-1).reshape(-1, 2)
    grid = grid + rng.uniform(-0.5, 0.5, 2) * pitch
    c, s = np.cos(turn), np.sin(turn)
    grid = grid @ np.array([[c, s], [-s, c]])
    grid = grid[np.all(np.abs(grid) <= np.array(view.size_um) / 2 + pitch.max() / 2, axis=1)]
    middle = rng.uniform(-0.4, 0.4, 2) * np.array(view.size_um)
    away = np.hypot(*(grid - middle).T) * (1 + 0.15 * np.sin(3 * np.arctan2(*(grid - middle).T) + rng.uniform(0, 6.28)))
    return np.asarray(grid[np.argsort(away, kind="stable")])


def _box(mould: Mould) -> tuple[float, float, float]:
    """Length, width and direction in rad of the smallest rectangle that holds the outline of a mould."""
    points = mould.mesh[0][:, :2]
    hull = points[ConvexHull(points).vertices]
    edges = np.roll(hull, -1, axis=0) - hull
    angles = np.arctan2(edges[:, 1], edges[:, 0])
    along = hull @ np.stack([np.cos(angles), np.sin(angles)])
    across = hull @ np.stack([-np.sin(angles), np.cos(angles)])
    a, b = np.ptp(along, axis=0), np.ptp(across, axis=0)
    best = int((a * b).argmin())
    if a[best] >= b[best]:
        return float(a[best]), float(b[best]), float(angles[best])
    return float(b[best]), float(a[best]), float(angles[best] + np.pi / 2)
