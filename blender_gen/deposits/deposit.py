"""Particles as they lie on a substrate: plain frozen data, no renderer.

Coordinates in µm: x to the right and y up in the picture, z towards the beam; the substrate's mean
level is z = 0 and the origin lies in the middle of the frame.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from manifold3d import CrossSection
from scipy.spatial import ConvexHull

from blender_gen.packing import Drape
from blender_gen.solids import Triangles, to_manifold
from blender_gen.specimen import View


@dataclass(frozen=True)
class Mould:
    """A shape that particles are cast from, ECD 1 µm, lying on z = 0 over the origin."""

    mesh: Triangles

    @cached_property
    def outline(self) -> CrossSection:
        """The shadow along z; its area is the projected area."""
        return to_manifold(self.mesh).project()

    @cached_property
    def perimeter(self) -> float:
        """Length of the outline, holes included."""
        rings = self.outline.to_polygons()
        return float(sum(np.linalg.norm(np.diff(r, axis=0, append=r[:1]), axis=1).sum() for r in rings))

    @cached_property
    def feret(self) -> tuple[float, float]:
        """Largest and smallest distance between parallel lines that touch the outline."""
        return feret_diameters(np.concatenate(self.outline.to_polygons()))

    @cached_property
    def radius(self) -> float:
        """Of the circle around the origin that holds the outline."""
        return float(np.hypot(*self.mesh[0][:, :2].T).max())

    @cached_property
    def height(self) -> float:
        """Of the highest point."""
        return float(self.mesh[0][:, 2].max())


@dataclass(frozen=True)
class Skin:
    """Drawn look of one population: relative strengths, and sizes in µm."""

    mottle: float
    mottle_um: float
    sectors: float
    sector_um: float
    bumps: float  # rms slope
    bump_um: float


@dataclass(frozen=True)
class Lot:
    """What the particles of one population have in common in one specimen."""

    name: str
    phase: int
    background: bool  # debris: counts as substrate in label maps and truth
    skin: Skin
    asked: int = 0  # particles that the frame and its surroundings should hold
    laid: int = 0  # how many of them have found a place


@dataclass(frozen=True)
class Core:
    """Inner part of another density, for transmission: size over the particle's, mass thickness over the shell's."""

    size: float
    density: float
    shift: tuple[float, float]  # of its centre, over the particle's diameter


@dataclass(frozen=True)
class Hang:
    """How far a flexible particle is lifted, by place; the drape counts from an origin of its own."""

    drape: Drape
    origin_um: tuple[float, float]


@dataclass(frozen=True)
class Particle:
    """One particle in its place: the mould turned about z, scaled to the ECD and moved."""

    mould: Mould
    ecd_um: float
    turn_rad: float
    place_um: tuple[float, float, float]  # where the mould's origin goes
    lot: int  # position in the deposit's lots
    material: int  # position in the recipe's list of materials
    brightness: float  # factor on the signal; in transmission on the mass thickness
    core: Core | None = None
    hang: Hang | None = None  # of one that bends over what lies below

    @property
    def mesh(self) -> Triangles:
        """The surface, where it lies."""
        vertices, triangles = self.mould.mesh
        c, s = self.ecd_um * np.cos(self.turn_rad), self.ecd_um * np.sin(self.turn_rad)
        matrix = np.array([[c, s, 0], [-s, c, 0], [0, 0, self.ecd_um]])
        vertices = vertices @ matrix + np.array(self.place_um)
        if self.hang is not None:
            vertices[:, 2] += self.hang.drape.at(vertices[:, :2] - np.array(self.hang.origin_um))
        return vertices, triangles

    def moved(self, x_um: float, y_um: float) -> "Particle":
        """The same elsewhere."""
        x, y, z = self.place_um
        hang = self.hang
        if hang is not None:
            hang = replace(hang, origin_um=(hang.origin_um[0] + x_um, hang.origin_um[1] + y_um))
        return replace(self, place_um=(x + x_um, y + y_um, z), hang=hang)

    @property
    def outline(self) -> CrossSection:
        """Its shadow along z, in µm², unclipped."""
        turned = self.mould.outline.scale((self.ecd_um, self.ecd_um)).rotate(float(np.degrees(self.turn_rad)))
        return turned.translate(self.place_um[:2])

    @property
    def projected_area_um2(self) -> float:
        """Area of its shadow, also of what lies outside the frame or below other particles."""
        return float(self.mould.outline.area()) * self.ecd_um**2

    @property
    def perimeter_um(self) -> float:
        """Length of the outline."""
        return self.mould.perimeter * self.ecd_um

    @property
    def reach_um(self) -> float:
        """Radius of the circle around its place that holds the outline."""
        return self.mould.radius * self.ecd_um

    @property
    def height_um(self) -> float:
        """From its lowest to its highest point."""
        return self.mould.height * self.ecd_um


@dataclass(frozen=True)
class Ground:
    """The substrate's surface at the pixels' centres."""

    height_um: np.ndarray  # (H, W) float32
    hole: np.ndarray  # (H, W) bool: nothing but what is seen through it
    film_um: np.ndarray  # (H, W) float32: thickness of a supporting film, 0 for other substrates


@dataclass(frozen=True)
class Deposit:
    """A substrate and the particles on it. The instance of a particle is its position from 1, background aside."""

    view: View
    ground: Ground
    lots: tuple[Lot, ...]
    particles: tuple[Particle, ...]
    phase_names: tuple[str, ...]
    noise_seed: int  # of the fine relief and mottling on the particles
    paths: bool  # whether a detector asks for the way through the particles, of electrons or of X-rays

    @cached_property
    def instances(self) -> np.ndarray:
        """(n,) instance of each particle; 0 for background."""
        counted = np.array([not self.lots[p.lot].background for p in self.particles], dtype=np.int64)
        return np.cumsum(counted) * counted


def feret_diameters(points: np.ndarray) -> tuple[float, float]:
    """Largest and smallest caliper diameter of points (n, 2); the smallest stands on an edge of the hull."""
    hull = points[ConvexHull(points).vertices]
    edges = np.roll(hull, -1, axis=0) - hull
    normals = np.stack([-edges[:, 1], edges[:, 0]], axis=1) / np.linalg.norm(edges, axis=1, keepdims=True)
    widths = np.ptp(hull @ normals.T, axis=0)
    largest = np.linalg.norm(hull[:, None] - hull[None], axis=-1).max()
    return float(largest), float(widths.min())
