"""Mudrock: silt grains that keep apart, organic matter and pores in one bed of clay."""

from dataclasses import dataclass

import numpy as np
from manifold3d import CrossSection, JoinType
from skimage.draw import polygon as fill_polygon

from blender_gen.families.inclusions import body_mesh, inclusion_meshes
from blender_gen.families.region import Region
from blender_gen.recipe.coating import Inclusion
from blender_gen.recipe.mudrock import CLAY, SHADOW_PORE, Mineral, MudrockRecipe, ShadowPores, Silt
from blender_gen.slicing import Polygons, area_um2
from blender_gen.solids import Triangles
from blender_gen.specimen import Body, Specimen, Stratum, View
from semforge.errors import RejectedSpecimen

MARGIN_UM = 2.0
CELLS = 700  # of the grid on which grains are kept apart, along its longer side
TRIES = 400  # to find room for a grain
MAX_GRAINS = 5000
MAX_PORES = 20_000


@dataclass(frozen=True)
class Grain:
    """One silt grain as it lies in the section."""

    mineral: str
    ecd_um: float  # of the sphere of equal volume
    mesh: Triangles
    cut: Polygons


def make_mudrock(recipe: MudrockRecipe, rng: np.random.Generator) -> Specimen:
    """Draw one specimen.

    Raises RejectedSpecimen if the drawn amount of silt finds no room.
    """
    frame = recipe.frame
    view = View((0.0, 0.0), frame.tilt_deg.draw(rng), frame.width_px, frame.height_px, frame.pixel_size_um.draw(rng))
    half_x, half_y = view.reach_um
    x = np.linspace(-half_x - MARGIN_UM, half_x + MARGIN_UM, 65)
    depth = -0.15 * min(view.size_um) * np.linspace(1, 0, 5)
    top = np.full((len(depth), len(x)), half_y + MARGIN_UM)
    number = recipe.phase_names.index
    region = Region(view, x, top[-1], -top[-1])

    grains = _grains(recipe.silt, view, rng)
    meshes_of: dict[str, list[Triangles]] = {}
    bodies: list[Body] = []

    def add(name: str, meshes: list[Triangles]) -> None:
        meshes_of.setdefault(name, []).extend(meshes)
        bodies.extend(Body(number(name), number(CLAY), mesh, clipped=False) for mesh in meshes)

    free = [pore for pore in recipe.pores if pore.within is None]
    inside = [pore for pore in recipe.pores if pore.within is not None]
    for pore in free:
        add(pore.name, inclusion_meshes(pore, region, meshes_of, rng)[0])
    if recipe.shadow_pores is not None:
        add(SHADOW_PORE, _shadow_pores(recipe.shadow_pores, grains, view, rng))
    for body in (*recipe.organic, *inside):
        add(body.name, inclusion_meshes(body, region, meshes_of, rng)[0])
    for grain in grains:  # last: a grain hides what reaches into it
        add(grain.mineral, [grain.mesh])
    sizes: dict[str, list[float]] = {m.name: [] for m in recipe.silt.minerals}
    for grain in grains:
        sizes[grain.mineral].append(grain.ecd_um)
    return Specimen(
        recipe.phase_names, recipe.phase_materials, view, x, depth,
        (Stratum(number(CLAY), top, -top),), tuple(bodies),
        hosts={k: number(CLAY) for k, name in enumerate(recipe.phase_names) if name != CLAY},
        facts={"silt": tuple(sizes), "grain_ecd_um": sizes},
    )  # fmt: skip


def _grains(silt: Silt, view: View, rng: np.random.Generator) -> list[Grain]:
    """Grains over the frame and a margin of the largest one, so that the frame's edge is like its middle."""
    share, spacing = silt.area_percent.draw(rng) / 100, silt.spacing_um.draw(rng)
    weights = np.array([mineral.weight for mineral in silt.minerals])
    reach = np.array(view.reach_um)
    drawn: list[Grain] = []
    area = 0.0
    domain = reach
    while area < share * 4 * domain.prod():
        mineral = silt.minerals[rng.choice(len(weights), p=weights / weights.sum())]
        grain = _grain(silt, mineral, view, rng)
        if grain.cut:
            drawn.append(grain)
            area += area_um2(grain.cut)
            domain = np.maximum(domain, reach + np.ptp(np.concatenate(grain.cut), axis=0) / 2)
        if len(drawn) > MAX_GRAINS:
            raise RejectedSpecimen(f"silt: more than {MAX_GRAINS} grains; ask for larger ones or less of them")
    drawn.sort(key=lambda grain: -area_um2(grain.cut))
    room = _Room(domain, spacing)
    return [_moved(grain, room.place(grain.cut, rng)) for grain in drawn]


def _grain(silt: Silt, mineral: Mineral, view: View, rng: np.random.Generator) -> Grain:
    shape = Inclusion(
        name=mineral.name, material=mineral.material, area_percent=0, ecd_um=silt.ecd_um, shape=mineral.shape,
        irregularity=mineral.irregularity, aspect=silt.aspect, orientation_deg=silt.orientation_deg,
    )  # fmt: skip
    size = silt.ecd_um.draw(rng)
    return Grain(mineral.name, size, *body_mesh(shape, size, (0.0, 0.0), view, rng))


def _moved(grain: Grain, shift: np.ndarray) -> Grain:
    vertices, triangles = grain.mesh
    cut = tuple(ring + shift for ring in grain.cut)
    return Grain(grain.mineral, grain.ecd_um, (vertices + np.append(shift, 0.0), triangles), cut)


class _Room:
    """A grid that knows where grains lie."""

    def __init__(self, half_um: np.ndarray, spacing_um: float):
        self.half, self.spacing = half_um, spacing_um
        self.cell = 2 * float(half_um.max()) / CELLS
        self.taken = np.zeros(tuple(np.ceil(2 * half_um[::-1] / self.cell).astype(int) + 1), dtype=bool)

    def place(self, cut: Polygons, rng: np.random.Generator) -> np.ndarray:
        """A shift (2,) in µm that brings the cut to a free place, which is then taken."""
        outline = max(cut, key=len)
        for _ in range(TRIES):
            shift = rng.uniform(-self.half, self.half) - outline.mean(axis=0)
            if not self.taken[self._cells(outline + shift)].any():
                grown = CrossSection([outline + shift]).offset(self.spacing, JoinType.Round).to_polygons()
                for ring in grown:
                    self.taken[self._cells(ring)] = True
                return shift
        raise RejectedSpecimen("silt: no room for all grains; lower silt.area_percent or spacing_um")

    def _cells(self, ring: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        column, row = ((ring + self.half) / self.cell).T
        return fill_polygon(row, column, self.taken.shape)


def _shadow_pores(pores: ShadowPores, grains: list[Grain], view: View, rng: np.random.Generator) -> list[Triangles]:
    """Bodies at the bedding ends of grains, larger grains having more of them."""
    target = pores.area_percent.draw(rng) / 100 * float(np.prod(view.size_um))
    seen = [grain for grain in grains if view.contains(np.concatenate(grain.cut)).any()]
    if not seen or target <= 0:
        return []
    shape = Inclusion(
        name=SHADOW_PORE, material="void", area_percent=0, ecd_um=pores.ecd_um, shape="lamella", aspect=pores.aspect,
        orientation_deg=pores.orientation_deg, irregularity=0.15,
    )  # fmt: skip
    perimeter = np.array([np.ptp(np.concatenate(grain.cut), axis=0).sum() for grain in seen])
    meshes: list[Triangles] = []
    area = 0.0
    while area < target and len(meshes) < MAX_PORES:
        grain = seen[rng.choice(len(seen), p=perimeter / perimeter.sum())]
        place = _bedding_end(np.concatenate(grain.cut), pores.spread_deg.draw(rng), rng)
        mesh, cut = body_mesh(shape, pores.ecd_um.draw(rng), (float(place[0]), float(place[1])), view, rng)
        if cut and view.contains(place):
            meshes.append(mesh)
            area += area_um2(cut)
    return meshes


def _bedding_end(ring: np.ndarray, spread_deg: float, rng: np.random.Generator) -> np.ndarray:
    """A point (2,) of a grain's outline, near one of the two directions along the bedding."""
    angle = np.radians(rng.choice([0, 180]) + rng.normal(scale=spread_deg))
    centre = ring.mean(axis=0)
    offset = ring - centre
    along = offset @ np.array([np.cos(angle), np.sin(angle)])
    return ring[np.argmax(along / np.maximum(np.linalg.norm(offset, axis=1), 1e-9))]
