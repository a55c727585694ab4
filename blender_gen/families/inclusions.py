"""Pores, precipitates and splats: bodies that are added to a layer until its section holds enough of them."""

from typing import Any

import numpy as np
from manifold3d import CrossSection, FillRule
from skimage.measure import points_in_poly

from blender_gen.families.region import Region
from blender_gen.fields import gaussian_field
from blender_gen.recipe.coating import Inclusion, PoreLine
from blender_gen.slicing import Polygons, rings, volume_um3
from blender_gen.solids import Triangles, angular, blob, rotation_in_section
from blender_gen.specimen import View
from semforge.errors import RejectedSpecimen

MAX_BODIES = 20_000
MAX_TRIES = 200_000
LAMELLA_SPIN_DEG = 15.0


def inclusion_meshes(
    inclusion: Inclusion, region: Region, earlier: dict[str, list[Triangles]], rng: np.random.Generator
) -> tuple[list[Triangles], dict[str, Any] | None]:
    """Draw the bodies of one population, and what its line is if the recipe asks for one.

    Bodies are added until the areas of their cuts, counted inside the frame and the layer, reach
    the drawn percentage of the layer's area, or of the area of the bodies that they lie within;
    where two overlap, both count.
    Raises RejectedSpecimen if that, or the line, takes more bodies than MAX_BODIES.
    """
    meshes: list[Triangles] = []
    there = rng.uniform() < inclusion.probability
    layer_area = region.visible_area_um2()
    if there and layer_area > 0:
        hosts = _Hosts(earlier[inclusion.within], region) if inclusion.within else None
        target = inclusion.area_percent.draw(rng) / 100 * (hosts.visible_um2 if hosts else layer_area)
        meshes += _fill(inclusion, region, target, hosts, rng)
    line = None
    if inclusion.line is not None:
        line_meshes, line = _line(inclusion, inclusion.line, region, rng)
        meshes += line_meshes
    return meshes, line


def _fill(
    inclusion: Inclusion, region: Region, target_um2: float, hosts: "_Hosts | None", rng: np.random.Generator
) -> list[Triangles]:
    meshes: list[Triangles] = []
    area = 0.0
    for _ in range(MAX_TRIES):
        if area >= target_um2:
            return meshes
        size = inclusion.ecd_um.draw(rng)
        place = hosts.point(rng) if hosts is not None else _place(inclusion, region, size, rng)
        if place is None:
            continue
        group = 1 + rng.poisson(inclusion.clusters.draw(rng))
        for member in range(group):
            member_size = size if member == 0 else inclusion.ecd_um.draw(rng)
            shift = rng.normal(scale=0.8 * size, size=2) if member else np.zeros(2)
            mesh, cut = body_mesh(inclusion, member_size, (place[0] + shift[0], place[1] + shift[1]), region.view, rng)
            if cut:
                meshes.append(mesh)
                area += region.area_inside_um2(cut)
        if len(meshes) > MAX_BODIES:
            break
    raise RejectedSpecimen(
        f"{inclusion.name}: {len(meshes)} bodies fill {area:.3g} of {target_um2:.3g} µm²; "
        "ask for larger ones or less of them"
    )


def _place(inclusion: Inclusion, region: Region, size: float, rng: np.random.Generator) -> tuple[float, float] | None:
    """A point in the layer, None if it is so far off the frame that the body would not be seen."""
    half, _ = region.view.reach_um
    low, high = region.visible_heights()
    x, y = region.point(rng.uniform(-half - size, half + size), _depth(inclusion, rng))
    return (x, y) if low - size < y < high + size else None


class _Hosts:
    """The cuts of an earlier population, to put bodies inside them."""

    def __init__(self, meshes: list[Triangles], region: Region):
        self.polygons = [polygon for mesh in meshes for polygon in rings(mesh)]
        union = CrossSection(self.polygons, FillRule.Positive)
        self.visible_um2 = (union ^ region.visible).area() if self.polygons else 0.0
        sizes = np.array([np.prod(np.ptp(polygon, axis=0)) for polygon in self.polygons])
        self.shares = np.cumsum(sizes) / sizes.sum() if len(sizes) else sizes

    def point(self, rng: np.random.Generator) -> tuple[float, float] | None:
        """A random point in one of the cuts, evenly over their area; None if the try missed."""
        polygon = self.polygons[int(np.searchsorted(self.shares, rng.uniform()))]
        x, y = rng.uniform(polygon.min(axis=0), polygon.max(axis=0))
        return (float(x), float(y)) if points_in_poly([(x, y)], polygon)[0] else None


def _line(
    inclusion: Inclusion, line: PoreLine, region: Region, rng: np.random.Generator
) -> tuple[list[Triangles], dict[str, Any]]:
    if rng.uniform() >= line.probability or region.visible_area_um2() == 0:
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
        mesh, cut = body_mesh(inclusion, size, (x, y + rng.normal(scale=half_width / 2)), region.view, rng)
        if cut:
            meshes.append(mesh)
            xs = np.concatenate(cut)[:, 0]
            left, right = xs.min(), xs.max()
            covered |= (bins > left) & (bins < right)
    else:
        raise RejectedSpecimen(
            f"{inclusion.name}: {len(meshes)} bodies cover {covered.mean():.2g} of their line, {coverage:.2g} is asked "
            "for; ask for larger ones or less coverage"
        )
    return meshes, {"present": bool(meshes), "depth_fraction": depth, "half_width_um": half_width, "coverage": coverage}


def _depth(inclusion: Inclusion, rng: np.random.Generator) -> float:
    if inclusion.where == "outer_interface":
        return 0.0
    if inclusion.where == "inner_interface":
        return 1.0
    return inclusion.depth_fraction.draw(rng)


def body_mesh(
    inclusion: Inclusion, ecd_um: float, position: tuple[float, float], view: View, rng: np.random.Generator
) -> tuple[Triangles, Polygons]:
    """One body of the wanted volume, at a random height such that the section plane cuts it; and its cut."""
    aspect = inclusion.aspect.draw(rng)
    axes = np.array([aspect, 1.0, rng.uniform(1.0, aspect)])  # plates to rods
    axes *= ecd_um / 2 / np.cbrt(axes.prod())
    vertices, triangles = _shape(inclusion.shape, axes, inclusion.irregularity.draw(rng), view.pixel_size_um, rng)
    vertices = _bent(vertices, inclusion.bend.draw(rng) / axes[0])
    vertices = vertices @ _rotation(inclusion, rng).T
    vertices = vertices * (ecd_um / np.cbrt(6 / np.pi * volume_um3((vertices, triangles))))
    z = rng.uniform(-vertices[:, 2].max(), -vertices[:, 2].min())
    mesh = (vertices + np.array([*position, z]), triangles)
    return mesh, rings(mesh)


def _rotation(inclusion: Inclusion, rng: np.random.Generator) -> np.ndarray:
    """A plate keeps its short axis near the section plane, other bodies may be turned about their long axis."""
    in_plane = inclusion.orientation_deg.draw(rng)
    if inclusion.shape != "lamella":
        return rotation_in_section(rng, in_plane)
    return rotation_in_section(rng, in_plane, spin_sd_deg=LAMELLA_SPIN_DEG)


def _bent(vertices: np.ndarray, curvature: float) -> np.ndarray:
    """The body in its own frame, long axis x, arched in y: a shear, which keeps the volume and crosses nothing."""
    x, y, z = vertices.T
    return np.stack([x, y - curvature * (x**2 + z**2), z], axis=1) if curvature else vertices


def _plate(vertices: np.ndarray, axes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A plate across y out of an ellipsoid: blunt at its edge, wavy, and of a thickness that varies along it."""
    x, y, z = vertices.T
    rim = np.clip((x / axes[0]) ** 2 + (z / axes[2]) ** 2, 0, 0.97)
    wave, swelling = gaussian_field(rng, 0.6 * axes[0]), gaussian_field(rng, 0.3 * axes[0])
    blunt = y * (1 - rim) ** -0.35 * np.exp(0.5 * swelling(x, z))
    return np.stack([x, blunt + 1.2 * axes[1] * wave(x, z), z], axis=1)


def _shape(kind: str, axes: np.ndarray, irregularity: float, pixel_um: float, rng: np.random.Generator) -> Triangles:
    """A body in its own frame: semi-axes `axes` in µm along x, y, z."""
    upright = np.eye(3)
    if kind == "angular":
        return angular(rng, axes, upright, corners=int(rng.integers(8, 16)))
    radius_px = axes.max() / pixel_um
    subdivisions = 1 if radius_px < 3 else 2 if radius_px < 25 else 3 if radius_px < 80 else 4
    count = int(rng.integers(0, 3)) if kind == "irregular" and radius_px > 5 else 0
    lobes = [_lobe(rng) for _ in range(count)]
    vertices, triangles = blob(rng, axes, upright, irregularity, subdivisions, lobes)
    return (_plate(vertices, axes, rng) if kind == "lamella" else vertices), triangles


def _lobe(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Centre and radius of a bulge, relative to the body's semi-axes."""
    way = rng.normal(scale=0.5, size=3)
    return way / max(float(np.linalg.norm(way)), 1.0), rng.uniform(0.4, 0.75)
