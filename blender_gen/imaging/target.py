"""The specimen as it stands in the microscope: computed once, shared by all its micrographs."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, grey_dilation, grey_erosion

from blender_gen.imaging.preparation import prepare
from blender_gen.imaging.relief import openness
from blender_gen.passes import Passes
from blender_gen.phases import VOID, Material, materials, void_mask
from blender_gen.recipe.imaging import Preparation

RESIN = "epoxy"
STEEPEST_DEG = 80.0  # the tilt law of backscattered electrons holds up to here
CLIFF = 3.0  # a drop of this slope is an edge


@dataclass(frozen=True)
class Target:
    """What the beam meets, each (H, W) unless said otherwise."""

    solids: tuple[Material, ...]  # by the ids in `seen`
    seen: np.ndarray  # uint8: the solid that the beam hits; in a void its wall, or the resin in it
    bulk: np.ndarray  # bool: not in an open void
    body: np.ndarray  # bool: a body that stands on the substrate
    substrate: Material  # what such bodies stand on
    texture: np.ndarray  # float32: factor on the yield
    height_um: np.ndarray  # float32, over the section or the substrate
    normal: np.ndarray  # float32 (H, W, 3): x to the right, y up in the picture, z to the beam
    sky: np.ndarray  # float32: cosine-weighted share of the sky that a level spot there sees
    quadrants: np.ndarray  # float32 (4, H, W): share of emitted electrons that reach each quadrant of a detector
    path_um: dict[int, np.ndarray]  # phase id -> length of the beam's way through it; may be empty
    pixel_size_um: float
    preparation: dict[str, Any]  # what was drawn, plain values

    def of_solids(self, values: list[float]) -> np.ndarray:
        """One value a solid as a picture (H, W) float32."""
        return np.take(np.array(values, dtype=np.float32), self.seen)

    def range_um(self, beam_kev: float) -> float:
        """Electron range, averaged over the solids in the picture; resin would swamp it."""
        pairs = [
            (solid.range_um(beam_kev), int(count))
            for solid, count in zip(self.solids, self._counts, strict=True)
            if solid.name != RESIN and count
        ]
        if not pairs:
            return materials()[RESIN].range_um(beam_kev)
        return float(np.average([r for r, _ in pairs], weights=[n for _, n in pairs]))

    @cached_property
    def _counts(self) -> np.ndarray:
        return np.bincount(self.seen.ravel(), minlength=len(self.solids))

    @cached_property
    def is_flat(self) -> bool:
        """Whether nothing is tilted or shadowed anywhere."""
        return bool((self.normal[..., 2] > 0.9999).all() and (self.sky > 0.9999).all())

    @cached_property
    def cosine(self) -> np.ndarray:
        """Of the angle between beam and surface normal, not below that of the steepest tilt."""
        return np.clip(self.normal[..., 2], np.float32(np.cos(np.radians(STEEPEST_DEG))), 1)

    @cached_property
    def log_tilt(self) -> np.ndarray:
        """ln[2/(1 + cos)]: exponent by exponent the tilt law of backscattered electrons."""
        return np.log(2 / (1 + self.cosine))

    @cached_property
    def relief(self) -> np.ndarray:
        """1 on bodies and on tilted ground, 0 on the level, float32."""
        return (self.body | (self.cosine < 1)).astype(np.float32)

    @cached_property
    def collected(self) -> np.ndarray:
        """Share of emitted backscattered electrons that a detector over the specimen can catch."""
        return self.quadrants.sum(axis=0)

    @cached_property
    def resin(self) -> np.ndarray:
        """Bool: mounting resin, in bulk or filling a void."""
        return self.bulk & (self.of_solids([float(solid.name == RESIN) for solid in self.solids]) > 0)

    @cached_property
    def insulator(self) -> np.ndarray:
        """Bool: charges under the beam."""
        return self.of_solids([float(solid.insulator) for solid in self.solids]) > 0

    @cached_property
    def depth_in_resin_px(self) -> np.ndarray:
        """Distance to the nearest conductor in bulk resin, 0 elsewhere; filled pores do not count as bulk."""
        if self.resin.all():
            return np.full(self.resin.shape, np.inf)
        return distance_transform_edt(gaussian_filter(self.resin.astype(np.float32), 6) > 0.9)

    @cached_property
    def edges_um(self) -> tuple[np.ndarray, np.ndarray]:
        """Distance to the nearest edge where the surface drops, and the height of that drop.

        The distance is infinite for spots below the edge, and everywhere if there is none.
        """
        drop = self.height_um - grey_erosion(self.height_um, size=(3, 3))
        edge = drop > CLIFF * self.pixel_size_um
        if not edge.any():
            return np.full(edge.shape, np.inf, dtype=np.float32), np.zeros(edge.shape, dtype=np.float32)
        distance, (rows, columns) = distance_transform_edt(~edge, return_indices=True)
        distance[self.height_um < self.height_um[rows, columns] - CLIFF * self.pixel_size_um] = np.inf
        return ((distance + 0.5) * self.pixel_size_um).astype(np.float32), drop[rows, columns]

    @cached_property
    def curvature_per_um(self) -> np.ndarray:
        """Divergence of the normals in the plane, convex positive: twice the mean curvature of gentle relief."""
        nx, ny = self.normal[..., 0], self.normal[..., 1]
        return (np.gradient(nx, axis=1) - np.gradient(ny, axis=0)) / np.float32(self.pixel_size_um)

    @cached_property
    def brink(self) -> np.ndarray:
        """Bool: pixels beside a steep drop, on either side."""
        span = grey_dilation(self.height_um, size=(3, 3)) - grey_erosion(self.height_um, size=(3, 3))
        return span > 2 * CLIFF * self.pixel_size_um


def make_target(
    passes: Passes, phase_materials: tuple[str, ...], texture: np.ndarray, pixel_size_um: float,
    preparation: Preparation, rng: np.random.Generator,
) -> Target:  # fmt: skip
    """Prepare a specimen and work out what all its micrographs share.

    `phase_materials` has the material of each phase id, and of further ids that `passes.wall` may hold;
    `texture` (H, W) multiplies the yields, as does the bodies' own `passes.shade`. A void is filled with resin,
    flat, or open: then the beam hits its wall, at an angle, and only the electrons that see the sky come out.
    """
    void = void_mask(passes.phase, phase_materials)
    solids = tuple(materials()[RESIN if name == VOID else name] for name in (*phase_materials, RESIN))
    prepared = prepare(preparation, passes, void, solids, pixel_size_um, rng)
    pits = (prepared.height_um < 0) | (prepared.normal[..., 2] < 1)
    shadowed = np.ones_like(pits) if (prepared.height_um > 0).any() else pits
    sky, quadrants = openness(prepared.height_um, prepared.normal, shadowed, pixel_size_um)
    factor = prepared.factor if passes.shade is None else prepared.factor * passes.shade
    body = (passes.instance > 0) & (passes.height_um > 0)
    ground = np.bincount(passes.wall[~body & ~void], minlength=len(phase_materials))
    return Target(
        solids=solids, seen=prepared.seen, bulk=~prepared.open_void, body=body,
        substrate=solids[int(ground.argmax())], texture=(texture * factor).astype(np.float32),
        height_um=prepared.height_um, normal=prepared.normal, sky=sky, quadrants=quadrants, path_um=passes.path_um,
        pixel_size_um=pixel_size_um, preparation=prepared.settings,
    )  # fmt: skip
