"""Splats of a sprayed layer: flattened cells, and seams along the boundaries between them."""

import numpy as np
from manifold3d import CrossSection, FillRule, Manifold
from scipy.spatial import Voronoi
from scipy.special import ndtri

from blender_gen.families.region import Region
from blender_gen.fields import gaussian_field
from blender_gen.recipe.coating import Seam, Splats
from blender_gen.solids import Triangles, to_mesh

# at pixels of usual size, see View.fine_um
DEPTH_UM = 12.0  # how far a seam goes below the section plane
ABOVE_UM = 0.5
MAX_CELLS = 20_000


def splat_seams(splats: Splats, region: Region, rng: np.random.Generator) -> dict[str, list[Triangles]]:
    """Draw the cells of one layer, and bodies along their boundaries: seam name -> meshes.

    Cells are those of a Voronoi diagram, stretched along the layer and warped. A seam follows a random share of the
    boundaries; its thickness varies along the way, and it is thicker where boundaries meet.
    """
    if not splats.seams or rng.uniform() >= splats.probability or region.visible_area_um2() <= 0:
        return {}
    size = np.array([splats.width_um.draw(rng), splats.height_um.draw(rng)])
    chains = _boundaries(region, size, splats.warp.draw(rng), rng)
    return {seam.name: _bodies(seam, chains, size, region, rng) for seam in splats.seams}


def _boundaries(region: Region, size: np.ndarray, warp: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Polylines (n, 2) in µm, one for each boundary between two cells that the frame can show."""
    centre, reach = np.array(region.view.centre_um), np.array(region.view.reach_um) + 1.5 * size
    low, high = centre - reach, centre + reach
    low[1] = max(low[1], region.inner_um.min() - size[1])
    high[1] = max(min(high[1], region.outer_um.max() + size[1]), low[1] + 2 * size[1])
    count = min(max(int(np.prod((high - low) / size)), 8), MAX_CELLS)
    seeds = rng.uniform(low, high, size=(count, 2)) / size
    cells = Voronoi(seeds)
    fields = [gaussian_field(rng, float(0.7 * size.mean())) for _ in range(2)]
    step = 2.5 * region.view.pixel_size_um
    chains = []
    for first, last in cells.ridge_vertices:
        if first < 0 or last < 0:
            continue
        a, b = cells.vertices[first] * size, cells.vertices[last] * size
        if np.any(np.maximum(a, b) < low) or np.any(np.minimum(a, b) > high):
            continue
        chains.append(np.linspace(a, b, max(int(np.linalg.norm(b - a) / step), 3)))
    if not chains:
        return []
    points = np.concatenate(chains)
    shift = np.stack([field(points[:, 0], points[:, 1]) for field in fields], axis=1)
    return _split(points + warp * 0.35 * size.min() * shift, chains)


def _bodies(
    seam: Seam, chains: list[np.ndarray], size: np.ndarray, region: Region, rng: np.random.Generator
) -> list[Triangles]:
    if rng.uniform() >= seam.probability:
        return []
    share, thickness = seam.coverage.draw(rng), seam.thickness_um.draw(rng)
    swelling = gaussian_field(rng, float(0.25 * size.mean()))
    absence = gaussian_field(rng, float(1.5 * size.mean()))
    swellings = _split(swelling(*np.concatenate(chains).T), chains) if chains else []
    rings: list[np.ndarray] = []
    for chain, swell in zip(chains, swellings, strict=True):
        middle = chain[len(chain) // 2]
        if (absence(*middle[:, None])[0] + rng.normal()) / np.sqrt(2) > ndtri(share):
            continue
        rings.append(_band(chain, thickness * np.exp(0.45 * swell + rng.normal(scale=0.25))))
    if not rings:
        return []
    outline = CrossSection(rings, FillRule.NonZero).simplify(0.1 * region.view.pixel_size_um)
    lean = rng.normal(scale=0.4, size=2)
    depth, above = region.view.fine_um(DEPTH_UM), region.view.fine_um(ABOVE_UM)
    meshes = []
    for part in outline.decompose():
        vertices, triangles = to_mesh(Manifold.extrude(part, depth + above))
        z = vertices[:, 2] - depth
        meshes.append((np.column_stack([vertices[:, :2] + z[:, None] * lean, z]), triangles))
    return meshes


def _split(values: np.ndarray, chains: list[np.ndarray]) -> list[np.ndarray]:
    """Values at the points of all chains, one after the other, chain by chain."""
    return np.split(values, np.cumsum([len(chain) for chain in chains[:-1]]))


def _band(chain: np.ndarray, thickness: np.ndarray) -> np.ndarray:
    """Outline (m, 2), anticlockwise, of a band about a polyline; its ends bulge so that seams meet."""
    way = np.gradient(chain, axis=0)
    normal = np.stack([-way[:, 1], way[:, 0]], axis=1) / np.maximum(np.linalg.norm(way, axis=1), 1e-12)[:, None]
    t = np.linspace(-1, 1, len(chain))
    half = (0.5 * thickness * (0.8 + 0.5 * t**6))[:, None]
    return np.concatenate([chain - half * normal, (chain + half * normal)[::-1]])
