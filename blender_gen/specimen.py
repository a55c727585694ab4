"""What is in the chamber: plain frozen data, no renderer.

Coordinates in µm: x along the layers, y outwards, z out of the section plane towards the
beam; the section plane is z = 0 and the material lies at z <= 0.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from blender_gen.slicing import Polygons, rings_of_each
from blender_gen.solids import Triangles

FINE_PX_UM = 0.05  # the edge of a pixel below which fixed lengths shrink with it


@dataclass(frozen=True)
class View:
    """The part of the section plane that the micrograph shows."""

    centre_um: tuple[float, float]
    tilt_deg: float  # the frame is turned by this angle, anticlockwise, against the specimen
    width_px: int
    height_px: int
    pixel_size_um: float

    @property
    def size_um(self) -> tuple[float, float]:
        """Width and height of the frame."""
        return self.width_px * self.pixel_size_um, self.height_px * self.pixel_size_um

    def fine_um(self, length_um: float) -> float:
        """A length that suits pixels of FINE_PX_UM or more, shortened in proportion for finer ones."""
        return length_um * min(1.0, self.pixel_size_um / FINE_PX_UM)

    @cached_property
    def axes(self) -> np.ndarray:
        """(2, 2): unit vectors of the frame's right and up, in specimen coordinates."""
        a = np.radians(self.tilt_deg)
        return np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])

    @cached_property
    def corners(self) -> np.ndarray:
        """(4, 2) corners in specimen coordinates, anticlockwise."""
        half = np.array(self.size_um) / 2
        signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        return np.array(self.centre_um) + (signs * half) @ self.axes

    @cached_property
    def reach_um(self) -> tuple[float, float]:
        """Half extents in x and y of the frame's bounding box in specimen coordinates."""
        spread = self.corners - np.array(self.centre_um)
        return float(np.abs(spread[:, 0]).max()), float(np.abs(spread[:, 1]).max())

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Which of the points (..., 2) lie inside the frame."""
        local = (np.asarray(points) - np.array(self.centre_um)) @ self.axes.T
        return np.all(np.abs(local) <= np.array(self.size_um) / 2, axis=-1)

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) column and row of points (..., 2); the centre of the pixel in column i and row j is (i, j)."""
        local = (np.asarray(points) - np.array(self.centre_um)) @ self.axes.T / self.pixel_size_um
        return np.array([self.width_px, self.height_px]) / 2 - 0.5 + local * np.array([1, -1])

    def pixel_centres(self) -> np.ndarray:
        """(H, W, 2) specimen coordinates of the pixel centres, not to be written to; row 0 is the top."""
        return self._centres

    @cached_property
    def _centres(self) -> np.ndarray:
        right = (np.arange(self.width_px) + 0.5 - self.width_px / 2) * self.pixel_size_um
        up = (self.height_px / 2 - np.arange(self.height_px) - 0.5) * self.pixel_size_um
        (rx, ry), (ux, uy) = self.axes
        x, y = self.centre_um
        centres = np.empty((self.height_px, self.width_px, 2))
        centres[..., 0] = x + right * rx + up[:, None] * ux
        centres[..., 1] = y + right * ry + up[:, None] * uy
        centres.flags.writeable = False
        return centres


@dataclass(frozen=True)
class Stratum:
    """A layer that is there: the region between two interfaces."""

    phase: int
    outer_um: np.ndarray  # (nz, nx) heights of the outer interface
    inner_um: np.ndarray  # (nz, nx) heights of the inner interface


@dataclass(frozen=True)
class Body:
    """An inclusion or a crack: a closed mesh that crosses the section plane."""

    phase: int
    host: int  # phase of the layer that it belongs to
    mesh: Triangles
    clipped: bool  # cut off where its host ends


@dataclass(frozen=True)
class Specimen:
    """One coating in cross-section. `x_um` (nx,) and `z_um` (nz,), ending at 0, carry the interfaces."""

    phase_names: tuple[str, ...]
    materials: tuple[str, ...]
    view: View
    x_um: np.ndarray
    z_um: np.ndarray
    strata: tuple[Stratum, ...]  # from the outside inwards
    bodies: tuple[Body, ...]  # a later one hides an earlier one where they overlap
    hosts: dict[int, int] = field(default_factory=dict)  # layer of each inclusion and crack phase, drawn or not
    cracks: frozenset[int] = frozenset()  # phases that are cracks
    facts: dict[str, Any] = field(default_factory=dict)  # what was drawn and cannot be read off the geometry

    @cached_property
    def cuts(self) -> list[Polygons]:
        """Where the section plane cuts each body, whole. Raises RejectedSpecimen if a body is not closed there."""
        return rings_of_each([body.mesh for body in self.bodies])

    @cached_property
    def extents_um(self) -> np.ndarray:
        """(n, 2, 3): the lowest and the highest coordinates of each body."""
        if not self.bodies:
            return np.empty((0, 2, 3))
        vertices = np.concatenate([body.mesh[0] for body in self.bodies])
        starts = np.cumsum([0] + [len(body.mesh[0]) for body in self.bodies[:-1]])
        return np.stack([limit.reduceat(vertices, starts) for limit in (np.minimum, np.maximum)], axis=1)
