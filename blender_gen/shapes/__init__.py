"""Shapes of particles as closed triangle meshes, without any renderer.

`particle(name, rng, ecd_um, pose, aspect=..., detail_px=..., ...)` makes one: a mesh in µm on z = 0 over
the origin whose shadow along z has the area of a circle of diameter `ecd_um`. `aspect` is length over
width of the plan view in the built pose, before surface detail (fibre: length along the axis over
diameter); `detail_px` the pixels that the particle will be across, which sets how fine the mesh is.
`SHAPES[name]` makes it in its built pose. `strand` makes a fibre of a given diameter and length.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from blender_gen.shapes.compounds import agglomerate, satellites, sausage
from blender_gen.shapes.convex import cube, ellipsoid, octahedron, plate, rod, sphere
from blender_gen.shapes.fibres import fibre, strand
from blender_gen.shapes.foam import foam
from blender_gen.shapes.meshes import (
    about_z,
    ecd_um,
    grounded,
    projected_area_um2,
    random_pose,
    random_rotation,
    resting_pose,
    resting_rotation,
    sized,
    turned,
)
from blender_gen.shapes.rocks import rock, rough_rock
from blender_gen.shapes.rounded import droplet, pellet, pollen
from blender_gen.shapes.sheets import flake, foil
from blender_gen.solids import Triangles, merged

Pose = Literal["resting", "random", "built"]


@dataclass(frozen=True)
class Shape:
    """A kind of particle. Calling it makes one in its built pose, of any size asked for."""

    build: Callable[..., Triangles]  # (rng, aspect, detail_px, *, ...): some size of about 2 across

    @property
    def __signature__(self) -> inspect.Signature:
        """(rng, ecd_um, aspect, detail_px, *, ...) with the defaults of the shape."""
        rng, *others = inspect.signature(self.build).parameters.values()
        ecd_um = inspect.Parameter("ecd_um", rng.kind, annotation=float)
        return inspect.Signature([rng, ecd_um, *others], return_annotation=Triangles)

    def __call__(self, rng: np.random.Generator, ecd_um: float, *args: Any, **options: Any) -> Triangles:
        """(rng, ecd_um, aspect, detail_px, *, ...): on z = 0 over the origin, with the projected area of `ecd_um`."""
        return grounded(sized(self.build(rng, *args, **options), ecd_um))


SHAPES: dict[str, Shape] = {
    build.__name__: Shape(build)
    for build in (
        sphere,
        ellipsoid,
        rod,
        cube,
        octahedron,
        plate,
        flake,
        rock,
        rough_rock,
        pollen,
        agglomerate,
        satellites,
        fibre,
        foam,
        foil,
        droplet,
        pellet,
        sausage,
    )
}
LYING = frozenset({"fibre", "foil", "droplet", "sausage"})  # their built pose is the resting one, up to a turn about z


def particle(name: str, rng: np.random.Generator, ecd_um: float, pose: Pose = "resting", **options: Any) -> Triangles:
    """One particle of a shape in a pose on z = 0 over the origin, with the projected area of `ecd_um` in that pose.

    `pose`: resting, as a dropped particle lies; random, as one sticks to tape; built, as the shape
    is made. `options` go to the shape (aspect, detail_px, ...). Raises KeyError for an unknown shape.
    """
    return grounded(sized(posed(name, SHAPES[name].build(rng, **options), rng, pose), ecd_um))


def posed(name: str, mesh: Triangles, rng: np.random.Generator, pose: Pose) -> Triangles:
    """A mesh of a shape turned into a pose."""
    if pose == "built" or name == "sphere":
        return mesh
    if pose == "resting" and name in LYING:
        return turned(mesh, about_z(rng.uniform(0, 2 * np.pi)))
    return turned(mesh, resting_rotation(mesh, rng) if pose == "resting" else random_rotation(rng))


__all__ = [
    "LYING",
    "SHAPES",
    "Pose",
    "Shape",
    "ecd_um",
    "merged",
    "particle",
    "posed",
    "projected_area_um2",
    "random_pose",
    "random_rotation",
    "resting_pose",
    "resting_rotation",
    "strand",
]
