"""Smooth bodies: beads and pellets, droplets, pollen."""

from typing import Literal, get_args

import numpy as np
from manifold3d import CrossSection, Manifold
from scipy.spatial import cKDTree

from blender_gen.shapes.convex import subdivisions
from blender_gen.shapes.meshes import grounded, random_rotation
from blender_gen.shapes.noise import roughness
from blender_gen.solids import Triangles, icosphere, to_mesh

Ornament = Literal["echinate", "reticulate", "verrucate", "psilate"]
ORNAMENTS = get_args(Ornament)


def pellet(
    rng: np.random.Generator,
    aspect: float = 1.1,
    detail_px: float = 100.0,
    *,
    squareness: float = 2.6,
    flatness: float = 0.9,
    irregularity: float = 0.03,
    scars: float = 0.5,
    wrinkles: float = 0.0,
) -> Triangles:
    """Polymer bead or rounded cylinder, the axis vertical.

    `squareness` is the exponent of the profile (|xy|^p + |z|^p = 1): 2 a bead, 6 a cylinder with
    rounded edges. `irregularity` is the relative rms of the radius. `scars` is the mean number of
    flat or dented patches where it broke away from its neighbours. `wrinkles` is the relative height
    of the folds of a skin that has shrunk.
    """
    directions, triangles = icosphere(subdivisions(detail_px, 5))
    across, up = np.hypot(directions[:, 0], directions[:, 1]), np.abs(directions[:, 2])
    radius = (across**squareness + up**squareness) ** (-1 / squareness)
    radius *= np.exp(irregularity * roughness(rng, directions, 3.0, 1.0))
    for _ in range(rng.poisson(scars)):
        facing = directions @ random_rotation(rng)[0]
        depth, dent = rng.uniform(0.75, 0.95), rng.uniform(0, 0.06)
        plane = np.where(facing > 0.2, depth / np.maximum(facing, 0.2), np.inf)
        broken = plane * (1 + dent * roughness(rng, directions, 0.5, 0.5)) - dent
        radius = np.minimum(radius, np.maximum(broken, 0.3))
    if wrinkles:
        radius = radius * (1 - wrinkles * np.abs(roughness(rng, directions, 0.9, 0.9)))
    vertices = directions * radius[:, None] * [aspect, 1.0, flatness]
    return grounded((vertices, triangles))


def droplet(
    rng: np.random.Generator,
    aspect: float = 1.0,
    detail_px: float = 100.0,
    *,
    contact_angle_deg: float = 80.0,
) -> Triangles:
    """Dried or frozen drop on its flat base: a spherical cap with the contact angle, drawn out by `aspect`."""
    angle = np.radians(np.clip(contact_angle_deg, 5.0, 175.0))
    segments = int(np.clip(np.pi * detail_px / 4, 16, 128))
    arc = np.linspace(0, angle, max(round(segments * angle / (2 * np.pi)), 4))
    profile = np.concatenate([[[0.0, np.cos(angle)]], np.stack([np.sin(arc), np.cos(arc)], axis=1)[::-1]])
    vertices, triangles = to_mesh(Manifold.revolve(CrossSection([profile]), segments))
    return grounded((vertices * [aspect, 1.0, 1.0], triangles))


def pollen(
    rng: np.random.Generator,
    aspect: float = 1.1,
    detail_px: float = 120.0,
    *,
    kind: Ornament | None = None,
    apertures: int | None = None,
) -> Triangles:
    """Pollen grain, `aspect` polar over equatorial axis, the polar axis lying.

    `kind`: echinate (spines), reticulate (a net of ridges), verrucate (warts), psilate (smooth,
    sunken when dry); drawn if None. `apertures`: number of furrows from pole to pole, 0 to 4; drawn
    if None.
    """
    ornament = kind or str(rng.choice(ORNAMENTS, p=[0.35, 0.3, 0.2, 0.15]))
    if ornament not in ORNAMENTS:
        raise ValueError(f"pollen of kind {kind!r}; there are {', '.join(ORNAMENTS)}")
    furrows = int(rng.choice([0, 3, 3, 4])) if apertures is None else apertures
    directions, triangles = icosphere(subdivisions(detail_px, 4 if ornament == "psilate" else 5))
    radius = 1 + 0.02 * roughness(rng, directions, 3.0, 1.0)
    relief = np.zeros(len(directions))
    if ornament == "echinate":
        seeds = spread_directions(rng, int(rng.integers(50, 110)))
        reach = 3.2 / np.sqrt(len(seeds)) * rng.uniform(0.45, 0.65)
        relief = rng.uniform(0.13, 0.24) * np.clip(1 - _nearest(directions, seeds)[0] / reach, 0, 1) ** 1.4
    elif ornament == "reticulate":
        seeds = spread_directions(rng, int(rng.integers(90, 220)))
        first, second = _nearest(directions, seeds)
        relief = 0.06 * np.exp(-(((second - first) * np.sqrt(len(seeds)) / 1.1) ** 2))
    elif ornament == "verrucate":
        seeds = spread_directions(rng, int(rng.integers(120, 260)))
        width = 1.9 / np.sqrt(len(seeds))
        relief = 0.05 * np.sqrt(np.clip(1 - (_nearest(directions, seeds)[0] / width) ** 2, 0, 1))
    else:
        relief = -0.25 * np.clip(directions @ random_rotation(rng)[0] - 0.55, 0, 1)
    if furrows:
        longitude = np.arctan2(directions[:, 2], directions[:, 1]) + rng.uniform(0, 2 * np.pi)
        equator = np.sqrt(np.clip(1 - directions[:, 0] ** 2, 0, 1))
        period = 2 * np.pi / furrows
        offset = np.abs((longitude + period / 2) % period - period / 2) * equator
        long = np.clip(1 - (directions[:, 0] / 0.9) ** 2, 0, 1)
        groove = np.exp(-((offset / rng.uniform(0.12, 0.22)) ** 2)) * long
        radius -= rng.uniform(0.1, 0.2) * groove
        relief *= 1 - groove
    vertices = directions * (radius + relief)[:, None] * [aspect, 1.0, 1.0]
    return grounded((vertices, triangles))


def spread_directions(rng: np.random.Generator, n: int, jitter: float = 0.25) -> np.ndarray:
    """(n, 3) unit vectors evenly over the sphere (a turned Fibonacci lattice), jittered by part of a spacing."""
    k = np.arange(n) + 0.5
    z, angle = 1 - 2 * k / n, np.pi * (1 + 5**0.5) * k
    r = np.sqrt(1 - z**2)
    points = np.stack([r * np.cos(angle), r * np.sin(angle), z], axis=1) @ random_rotation(rng).T
    points += rng.normal(scale=jitter * np.sqrt(4 * np.pi / n) / 1.5, size=(n, 3))
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))


def _nearest(directions: np.ndarray, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances (rad, by the chord) to the nearest and second-nearest seed."""
    chords, _ = cKDTree(seeds).query(directions, k=2)
    return chords[:, 0], chords[:, 1]
