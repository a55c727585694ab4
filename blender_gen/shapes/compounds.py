"""Particles of many parts. The parts overlap or touch; the mesh is their compound, without a Boolean union."""

import numpy as np
from manifold3d import Manifold

from blender_gen.shapes.convex import subdivisions
from blender_gen.shapes.meshes import displaced, grounded, random_rotation
from blender_gen.shapes.noise import roughness
from blender_gen.shapes.rounded import spread_directions
from blender_gen.solids import Triangles, icosphere, merged, to_mesh

CANDIDATES = 8


def agglomerate(
    rng: np.random.Generator,
    aspect: float = 1.0,
    detail_px: float = 100.0,
    *,
    monomers: int | None = None,
    monomer_share: float | None = None,
    fractal_dimension: float = 1.8,
    prefactor: float = 1.3,
    spread: float = 1.1,
    overlap: float = 0.05,
) -> Triangles:
    """Fractal agglomerate of spheres, such as soot: N = k (Rg / a)^D with N monomers of mean radius a.

    `monomers` is their number (60 if nothing is said); or `monomer_share` their diameter over the
    ECD, and the number follows from the projected areas, N = 1.16 (A / a)^1.09 (soot; Köylü 1995,
    10.1016/0010-2180(94)00147-K). `spread` is the geometric standard deviation of their radii,
    `overlap` the share of the radius by which neighbours have grown together. `aspect` is not used.
    """
    if monomers is None:
        monomers = 60 if monomer_share is None else max(round(1.16 * monomer_share**-2.18), 1)
    radii = np.exp(rng.normal(scale=np.log(spread), size=monomers)) if spread > 1 else np.ones(monomers)
    centres, radii = aggregate(rng, radii, fractal_dimension, prefactor)
    return _of_spheres(centres, radii * (1 + overlap), detail_px)


def aggregate(
    rng: np.random.Generator, radii: np.ndarray, fractal_dimension: float = 1.8, prefactor: float = 1.3
) -> tuple[np.ndarray, np.ndarray]:
    """Centres (n, 3) and radii (n,) of touching spheres, joined cluster to cluster.

    Clusters of equal number meet along straight paths; of a few such meetings the one is kept
    whose radius of gyration is nearest to a (N / k)^(1/D) (the law that Filippov 2000,
    10.1006/jcis.2000.7027, prescribes at every joining).
    """
    mean = float(radii.mean())
    level = np.zeros((len(radii), 1, 3)), np.asarray(radii, float)[:, None]
    rest: list[tuple[np.ndarray, np.ndarray]] = []
    while len(level[0]) > 1:
        centres, sizes = level
        if len(centres) % 2:
            rest.append((centres[-1:], sizes[-1:]))
            centres, sizes = centres[:-1], sizes[:-1]
        level = _join(rng, (centres[::2], sizes[::2]), (centres[1::2], sizes[1::2]), mean, fractal_dimension, prefactor)
    for part in reversed(rest):
        level = _join(rng, level, part, mean, fractal_dimension, prefactor)
    return level[0][0], level[1][0]


def _join(
    rng: np.random.Generator,
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    mean_radius: float,
    fractal_dimension: float,
    prefactor: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Join m pairs of clusters, centres (m, n, 3) and radii (m, n), each pair at first contact."""
    (a, ra), (b, rb) = first, second
    m, na, nb = len(a), a.shape[1], b.shape[1]
    turns = np.stack([random_rotation(rng) for _ in range(2 * CANDIDATES)])
    pick_a, pick_b = rng.integers(na, size=(CANDIDATES, m)), rng.integers(nb, size=(CANDIDATES, m))
    way = rng.uniform(0, 2 * np.pi, size=(CANDIDATES, m))
    miss = np.sqrt(rng.uniform(size=(CANDIDATES, m)))
    at = np.einsum("kij,mnj->kmni", turns[:CANDIDATES], a)
    bt = np.einsum("kij,mnj->kmni", turns[CANDIDATES:], b)
    k, pair = np.arange(CANDIDATES)[:, None], np.arange(m)
    sum_radii = ra[pair, pick_a] + rb[pair, pick_b]
    offset = np.zeros((CANDIDATES, m, 3))
    offset[..., 1] = at[k, pair, pick_a, 1] - bt[k, pair, pick_b, 1] + 0.999 * miss * sum_radii * np.cos(way)
    offset[..., 2] = at[k, pair, pick_a, 2] - bt[k, pair, pick_b, 2] + 0.999 * miss * sum_radii * np.sin(way)
    bt = bt + offset[:, :, None]
    gap = at[:, :, :, None] - bt[:, :, None]
    left = (ra[:, :, None] + rb[:, None]) ** 2 - gap[..., 1] ** 2 - gap[..., 2] ** 2
    travel = np.where(left > 0, gap[..., 0] + np.sqrt(np.maximum(left, 0)), -np.inf).max(axis=(2, 3))
    bt[..., 0] += travel[..., None]
    both = np.concatenate([at, bt], axis=2)
    both -= both.mean(axis=2, keepdims=True)
    gyration = np.sqrt((both**2).sum(axis=3).mean(axis=2))
    wanted = mean_radius * ((na + nb) / prefactor) ** (1 / fractal_dimension)
    best = np.abs(gyration - wanted).argmin(axis=0)
    return both[best, pair], np.concatenate([ra, rb], axis=1)


def satellites(
    rng: np.random.Generator,
    aspect: float = 1.0,
    detail_px: float = 100.0,
    *,
    number: int | None = None,
    ratio: float = 0.18,
    spread: float = 1.5,
    sunk: float = 0.3,
) -> Triangles:
    """Large sphere with small ones attached, as atomised powders have.

    `number` of small spheres (drawn if None), `ratio` the median of their diameter over the large
    one's with the geometric standard deviation `spread`, `sunk` the share of their radius inside
    the large sphere. `aspect` is not used.
    """
    number = int(rng.integers(3, 25)) if number is None else number
    ratios = np.clip(ratio * np.exp(rng.normal(scale=np.log(spread), size=number)), 0.02, 0.6)
    ways = rng.normal(size=(number, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    centres = np.concatenate([np.zeros((1, 3)), ways * (1 + ratios * (1 - sunk))[:, None]])
    return _of_spheres(centres, np.concatenate([[1.0], ratios]), detail_px)


def sausage(
    rng: np.random.Generator, aspect: float = 2.0, detail_px: float = 100.0, *, grains: float = 0.25
) -> Triangles:
    """Tyre wear with its crust as one compound; see `crusted_sausage`."""
    return merged(list(crusted_sausage(rng, aspect, detail_px, grains=grains)))


def crusted_sausage(
    rng: np.random.Generator, aspect: float = 2.0, detail_px: float = 100.0, *, grains: float = 0.25
) -> tuple[Triangles, Triangles]:
    """Tyre wear lying on its side, rubber and the mineral grains pressed into it, in one frame.

    A rough roll, `aspect` length over width, slightly bent. `grains` is about the share of its
    surface that they cover.
    """
    directions, triangles = icosphere(subdivisions(detail_px, 4))
    exponent = rng.uniform(2.2, 3.2)
    across, along = np.hypot(directions[:, 1], directions[:, 2]), np.abs(directions[:, 0])
    vertices = directions * ((across**exponent + along**exponent) ** (-1 / exponent))[:, None]
    vertices *= 1 - 0.25 * rng.uniform() * directions[:, :1] * [0, 1, 1]  # one end is thinner
    vertices = vertices * [aspect, 1.0, rng.uniform(0.8, 1.0)]
    vertices[:, 1] += rng.normal(scale=0.12) * (vertices[:, 0] ** 2 / aspect)
    height = 0.08 * roughness(rng, vertices, 1.8, 0.8)
    body: Triangles = displaced((vertices, triangles), height)
    number = max(round(500 * grains * aspect), 1)
    crust = merged(_grains(rng, body[0], number))
    both, split = grounded(merged([body, crust])), len(body[0])
    return (both[0][:split], body[1]), (both[0][split:], crust[1])


def _grains(rng: np.random.Generator, places: np.ndarray, number: int) -> list[Triangles]:
    """Small facetted grains of a few moulds, centred on some of the places."""
    moulds = [to_mesh(Manifold.hull_points(spread_directions(rng, int(rng.integers(8, 14)), 0.6))) for _ in range(4)]
    sizes = np.clip(np.exp(rng.normal(np.log(0.075), 0.5, size=number)), 0.02, 0.25)
    shapes = rng.uniform(0.6, 1.4, size=(number, 3))
    grains = []
    for centre, size, shape in zip(places[rng.integers(len(places), size=number)], sizes, shapes, strict=True):
        vertices, triangles = moulds[rng.integers(len(moulds))]
        grains.append(((vertices * shape * size) @ random_rotation(rng).T + centre, triangles))
    return grains


def _of_spheres(centres: np.ndarray, radii: np.ndarray, detail_px: float) -> Triangles:
    """Compound of spheres, each as fine as its size in pixels asks for."""
    extent = float((centres[:, :2] + radii[:, None]).max() - (centres[:, :2] - radii[:, None]).min())
    px = detail_px * 2 * radii / extent
    fine = (
        np.array([subdivisions(p, 4) for p in px])
        if len(radii) < 40
        else np.full(len(radii), subdivisions(px.mean(), 2))
    )
    parts = [(icosphere(int(f))[0] * r + c, icosphere(int(f))[1]) for c, r, f in zip(centres, radii, fine, strict=True)]
    return grounded(merged(parts))
