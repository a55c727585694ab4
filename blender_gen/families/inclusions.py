"""Pores, precipitates and splats: bodies that are added to a layer until its section holds enough of them."""

from typing import Any

import numpy as np
from manifold3d import Manifold, OpType
from skimage.measure import points_in_poly

from blender_gen.families.region import Region
from blender_gen.recipe import Inclusion, PoreLine
from blender_gen.solids import Triangles, angular, blob, random_rotation, to_manifold, to_mesh
from blender_gen.specimen import View

MAX_BODIES = 6000


def inclusion_meshes(
    inclusion: Inclusion, region: Region, earlier: dict[str, list[Triangles]], rng: np.random.Generator
) -> tuple[list[Triangles], dict[str, Any] | None]:
    """Draw the bodies of one population, and what its line is if the recipe asks for one.

    Bodies are added until their section areas, counted inside the frame and the layer, reach
    the drawn area percentage.
    """
    meshes: list[Triangles] = []
    there = rng.uniform() < inclusion.probability
    layer_area = region.visible_area_um2()
    if there and layer_area > 0:
        target = inclusion.area_percent.draw(rng) / 100 * layer_area
        hosts = _sections(earlier[inclusion.within]) if inclusion.within else None
        meshes += _fill(inclusion, region, target, hosts, rng)
    line = None
    if inclusion.line is not None:
        line_meshes, line = _line(inclusion, inclusion.line, region, rng)
        meshes += line_meshes
    return meshes, line


def _fill(
    inclusion: Inclusion, region: Region, target_um2: float, hosts: list[np.ndarray] | None, rng: np.random.Generator
) -> list[Triangles]:
    meshes: list[Triangles] = []
    area, tries = 0.0, 0
    half, _ = region.view.reach_um
    low, high = region.visible_heights()
    while area < target_um2 and tries < MAX_BODIES:
        tries += 1
        size = inclusion.ecd_um.draw(rng)
        x, y = region.point(rng.uniform(-half - size, half + size), _depth(inclusion, rng))
        if not low - size < y < high + size:
            continue
        if hosts is not None and not any(points_in_poly([(x, y)], host)[0] for host in hosts):
            continue
        group = 1 + rng.poisson(inclusion.clusters.draw(rng))
        for member in range(group):
            member_size = size if member == 0 else inclusion.ecd_um.draw(rng)
            shift = rng.normal(scale=0.8 * size, size=2) if member else np.zeros(2)
            mesh, section = _body(inclusion, member_size, (x + shift[0], y + shift[1]), region.view, rng)
            if section > 0:
                meshes.append(mesh)
                area += _visible(mesh, section, region)
    return meshes


def _line(
    inclusion: Inclusion, line: PoreLine, region: Region, rng: np.random.Generator
) -> tuple[list[Triangles], dict[str, Any]]:
    if rng.uniform() >= line.probability:
        return [], {"present": False}
    depth, half_width = line.depth_fraction.draw(rng), line.half_width_um.draw(rng)
    coverage = line.coverage.draw(rng)
    half, _ = region.view.reach_um
    covered = np.zeros(512, dtype=bool)
    bins = np.linspace(-half, half, len(covered))
    meshes: list[Triangles] = []
    for _ in range(MAX_BODIES):
        if covered.mean() >= coverage:
            break
        size = min(inclusion.ecd_um.draw(rng), 4 * half_width)
        x, y = region.point(rng.uniform(-half, half), depth)
        mesh, section = _body(inclusion, size, (x, y + rng.normal(scale=half_width / 2)), region.view, rng)
        if section > 0:
            meshes.append(mesh)
            # the width of the section, taken as that of a disc of equal area
            covered |= np.abs(bins - x) < np.sqrt(section / np.pi)
    return meshes, {"present": bool(meshes), "depth_fraction": depth, "half_width_um": half_width}


def _depth(inclusion: Inclusion, rng: np.random.Generator) -> float:
    if inclusion.where == "outer_interface":
        return 0.0
    if inclusion.where == "inner_interface":
        return 1.0
    return inclusion.depth_fraction.draw(rng)


def _body(
    inclusion: Inclusion, ecd_um: float, position: tuple[float, float], view: View, rng: np.random.Generator
) -> tuple[Triangles, float]:
    """One body at a random depth such that the section plane may cut it; and the area of the cut, 0 if it misses."""
    aspect = max(inclusion.aspect.draw(rng), 1.0)
    middle = rng.uniform(1.0, aspect)  # plates to rods
    axes = np.array([aspect, middle, 1.0])
    axes *= ecd_um / 2 / np.cbrt(axes.prod())
    rotation = random_rotation(rng, inclusion.orientation_deg.draw(rng))
    irregularity = inclusion.irregularity.draw(rng)
    mesh = _shape(inclusion.shape, axes, rotation, irregularity, view.pixel_size_um, rng)
    low, high = mesh[0][:, 2].min(), mesh[0][:, 2].max()
    z = rng.uniform(-high, -low)
    mesh = (mesh[0] + np.array([*position, z]), mesh[1])
    return mesh, to_manifold(mesh).slice(0.0).area()


def _shape(
    kind: str, axes: np.ndarray, rotation: np.ndarray, irregularity: float, pixel_um: float, rng: np.random.Generator
) -> Triangles:
    if kind == "angular":
        return angular(rng, axes, rotation, corners=int(rng.integers(8, 16)))
    radius_px = axes.max() / pixel_um
    subdivisions = 1 if radius_px < 3 else 2 if radius_px < 25 else 3 if radius_px < 80 else 4
    main = blob(rng, axes, rotation, irregularity, subdivisions)
    lobes = int(rng.integers(0, 3)) if kind == "irregular" and radius_px > 5 else 0
    if not lobes:
        return main
    parts = [to_manifold(main)]
    for _ in range(lobes):
        small = axes * rng.uniform(0.4, 0.75)
        way = rng.normal(scale=0.5, size=3)
        shift = rotation @ (axes * way / max(np.linalg.norm(way), 1.0))  # starts inside, so the body stays in one piece
        vertices, triangles = blob(rng, small, rotation, irregularity, subdivisions)
        parts.append(to_manifold((vertices + shift, triangles)))
    return to_mesh(Manifold.batch_boolean(parts, OpType.Add))


def _visible(mesh: Triangles, section_um2: float, region: Region) -> float:
    """Area of the cut that counts: all of it or nothing, by whether the body's middle is in the frame and the layer."""
    x, y = mesh[0][:, 0].mean(), mesh[0][:, 1].mean()
    outer, inner = np.interp(x, region.x_um, region.outer_um), np.interp(x, region.x_um, region.inner_um)
    return section_um2 if inner <= y <= outer and region.view.contains(np.array([x, y])) else 0.0


def _sections(meshes: list[Triangles]) -> list[np.ndarray]:
    return [polygon for mesh in meshes for polygon in to_manifold(mesh).slice(0.0).to_polygons()]
