"""Thin bodies: brittle flakes and crumpled foil."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from blender_gen.shapes.meshes import grounded, vertex_normals
from blender_gen.shapes.noise import roughness
from blender_gen.solids import Triangles


@dataclass(frozen=True)
class Sheet:
    """A flat sheet: points (n, 2), triangles (m, 3) and the numbers of its rim's points (r,), both anticlockwise."""

    points: np.ndarray
    triangles: np.ndarray
    rim: np.ndarray


def flake(
    rng: np.random.Generator,
    aspect: float = 1.6,
    detail_px: float = 100.0,
    *,
    thickness: float = 0.08,
    curl: float = 0.4,
    relief: float = 0.012,
) -> Triangles:
    """Brittle flake, as of paint: broken straight edges, bent about one axis.

    `aspect` length over width of the flat flake; `thickness` and `relief` (rms roughness) over the
    ECD; `curl` the angle in rad between its middle and its edge.
    """
    sheet = _broken_sheet(rng, int(rng.integers(5, 10)), aspect, 0.03, _rings(detail_px, 4.0))
    flat = sheet.points
    points = np.c_[flat, np.zeros(len(flat))]
    height = 2 * relief * roughness(rng, points, 0.8, 0.6)
    along = flat @ _direction(rng)
    bent = points + np.outer(height + 0.5 * curl * np.sign(rng.normal()) * along**2, [0, 0, 1])
    return grounded(_thickened(sheet, bent, 2 * thickness))


def foil(
    rng: np.random.Generator,
    aspect: float = 1.5,
    detail_px: float = 120.0,
    *,
    thickness: float = 0.02,
    crumple: float = 0.16,
    tear: float = 0.08,
    folds: float = 0.8,
) -> Triangles:
    """Thin film: torn edge, sharp creases, often folded over.

    `thickness` over the ECD; `crumple` the rms height of the creases and `tear` the rms raggedness
    of the edge over half the ECD; `folds` the mean number of edges that lie folded over.
    """
    sheet = _broken_sheet(rng, int(rng.integers(4, 8)), aspect, tear, _rings(detail_px, 3.0))
    flat = sheet.points
    points = np.c_[flat, np.zeros(len(flat))]
    creases = np.zeros(len(flat))
    for _ in range(int(rng.integers(6, 12))):
        distance = flat @ _direction(rng) - rng.uniform(-0.7, 0.7)
        ends = flat @ _direction(rng) - rng.uniform(-0.5, 0.5)
        creases += rng.normal() * np.abs(distance) * np.exp(-(ends**2) / rng.uniform(0.1, 0.8))
    creases -= _level(flat, creases)
    ridged = np.abs(roughness(rng, points, 2.2, 1.0))
    height = crumple * (creases / max(float(creases.std()), 1e-9) + 0.6 * ridged)
    x, y, z = flat[:, 0].copy(), flat[:, 1].copy(), height
    for _ in range(rng.poisson(folds)):
        x, y, z = _fold(x, y, z, _direction(rng), rng.uniform(0.25, 0.75), radius=max(1.2 * crumple, 2.5 * thickness))
    return grounded(_thickened(sheet, np.stack([x, y, z], axis=1), 2 * thickness))


def _rings(detail_px: float, pixels: float) -> int:
    return int(np.clip(detail_px / 2 / pixels, 4, 24))


def _direction(rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)])


def _level(flat: np.ndarray, height: np.ndarray) -> np.ndarray:
    """The plane that fits heights over points (n, 2) best."""
    plane = np.c_[flat, np.ones(len(flat))]
    return np.asarray(plane @ np.linalg.lstsq(plane, height, rcond=None)[0])


def _broken_sheet(rng: np.random.Generator, sides: int, aspect: float, tear: float, rings: int) -> Sheet:
    """Flat sheet about 2 wide: a random polygon with a ragged edge, in triangles of much the same size."""
    disc, triangles, rim = _disc(rings)
    share = np.hypot(disc[:, 0], disc[:, 1])
    unit = disc / np.maximum(share, 1e-12)[:, None]
    facing = (np.arange(sides) + rng.uniform(-0.4, 0.4, sides)) * 2 * np.pi / sides + rng.uniform(0, 2 * np.pi)
    cosines = unit @ np.stack([np.cos(facing), np.sin(facing)])
    heights = rng.uniform(0.65, 1.05, sides)
    radius = np.minimum(np.where(cosines > 0.1, heights / np.maximum(cosines, 0.1), np.inf).min(axis=1), 1.5)
    ragged = tear * roughness(rng, np.c_[unit, np.zeros(len(unit))], 1.2, 0.6)
    # Only the outermost part follows the rags, or they would run as rays to the middle.
    reach = share**2 * radius + (1 - share**2) + np.clip(ragged, -0.5, 0.5) * share**6
    return Sheet(disc * np.maximum(reach, 0.2)[:, None] * [aspect, 1.0], triangles, rim)


@cache
def _disc(rings: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit disc of rings with 6, 12, 18, ... points: points (n, 2), triangles (m, 3), and its rim, anticlockwise."""
    counts = 6 * np.arange(1, rings + 1)
    angles = np.concatenate([2 * np.pi * np.arange(n) / n for n in counts])
    radii = np.repeat(np.arange(1, rings + 1) / rings, counts)
    points = np.concatenate([np.zeros((1, 2)), np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)])
    triangles = [(0, 1 + k, 1 + (k + 1) % 6) for k in range(6)]
    for ring in range(1, rings):
        inner, outer = 1 + 3 * ring * (ring - 1), 1 + 3 * ring * (ring + 1)
        for sector in range(6):
            for k in range(ring + 1):
                a, b = sector * (ring + 1) + k, (sector * (ring + 1) + k + 1) % (6 * (ring + 1))
                c = (sector * ring + k) % (6 * ring)
                triangles.append((outer + a, outer + b, inner + c))
                if k < ring:
                    triangles.append((inner + c, outer + b, inner + (c + 1) % (6 * ring)))
    return points, np.array(triangles), np.arange(len(points) - counts[-1], len(points))


def _fold(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, way: np.ndarray, at: float, radius: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What lies further than `at` in a direction goes around a roll of a radius and back over the rest."""
    along = x * way[0] + y * way[1] - at
    turn = np.clip(along / radius, 0, np.pi)
    inward = radius - z  # a point above the sheet is nearer to the roll's axis
    back = np.maximum(along - np.pi * radius, 0)
    moved = np.where(along > 0, inward * np.sin(turn) - back, along)
    height = np.where(along > 0, radius - inward * np.cos(turn), z)
    shift = moved - along
    return x + shift * way[0], y + shift * way[1], height


def _thickened(sheet: Sheet, vertices: np.ndarray, thickness: float) -> Triangles:
    """Closed body around a sheet bent to vertices (n, 3)."""
    half = 0.5 * thickness * vertex_normals((vertices, sheet.triangles))
    n, edge = len(vertices), sheet.rim
    after = np.roll(edge, -1)
    side = [np.stack([edge, edge + n, after + n], axis=1), np.stack([edge, after + n, after], axis=1)]
    closed = np.concatenate([sheet.triangles, sheet.triangles[:, ::-1] + n, *side]).astype(np.uint32)
    return np.concatenate([vertices + half, vertices - half]), closed
