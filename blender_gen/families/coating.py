"""Layered coatings in cross-section: rough layers, with pores, precipitates and cracks in them."""

from dataclasses import dataclass

import numpy as np

from blender_gen.families.cracks import crack_meshes
from blender_gen.families.inclusions import inclusion_meshes
from blender_gen.families.region import Region
from blender_gen.families.splats import splat_seams
from blender_gen.fields import SHAPES, gaussian_field
from blender_gen.phases import VOID
from blender_gen.recipe.coating import CoatingFrame, CoatingRecipe, Layer
from blender_gen.recipe.common import Roughness
from blender_gen.specimen import Body, Specimen, Stratum, View

# at pixels of usual size, see View.fine_um
MARGIN_UM = 2.0
THINNEST_UM = 1e-3  # layers never cross; where one would vanish it keeps this thickness


@dataclass(frozen=True)
class _Drawn:
    """A layer that is there in this specimen, with the numbers drawn for it."""

    layer: Layer
    thickness_um: float
    surface: tuple[tuple[Roughness, float, float], ...]  # (term, rms, correlation length)


def make_coating(recipe: CoatingRecipe, rng: np.random.Generator) -> Specimen:
    """Draw one specimen.

    Raises RejectedSpecimen if the draw cannot be built.
    """
    chances = rng.uniform(size=len(recipe.layers))
    there = [layer for layer, chance in zip(recipe.layers, chances, strict=True) if chance < layer.probability]
    drawn = [_draw(layer, rng) for layer in there]
    view = _draw_view(recipe.frame, drawn, rng)
    x, z = _grid(view)
    interfaces = _interfaces(drawn, view, x, z, rng)
    number = recipe.phase_names.index
    strata = tuple(
        Stratum(number(d.layer.name), outer, inner)
        for d, outer, inner in zip(drawn, interfaces, interfaces[1:], strict=False)
    )
    facts: dict[str, dict] = {"pore_lines": {}}
    solids: list[Body] = []
    voids: list[Body] = []
    cracks: list[Body] = []
    for d, stratum in zip(drawn, strata, strict=True):
        region = Region(view, x, stratum.outer_um[-1], stratum.inner_um[-1])
        meshes_of: dict[str, list] = {}
        if d.layer.splats is not None:
            meshes_of |= splat_seams(d.layer.splats, region, rng)
            for seam in d.layer.seams:
                kind = voids if seam.material == VOID else solids
                kind += _bodies(number(seam.name), stratum.phase, meshes_of.get(seam.name, []), clipped=True)
        for inclusion in d.layer.inclusions:
            meshes, line = inclusion_meshes(inclusion, region, meshes_of, rng)
            meshes_of.setdefault(inclusion.name, []).extend(meshes)
            kind = voids if inclusion.material == VOID else solids
            kind += _bodies(number(inclusion.name), stratum.phase, meshes, inclusion.clipped)
            if line is not None:
                facts["pore_lines"][inclusion.name] = {"host": d.layer.name, **line}
        for crack in d.layer.cracks:
            meshes = crack_meshes(crack, region, rng)
            cracks += _bodies(number(crack.name), stratum.phase, meshes, crack.clipped)
    bodies = (*solids, *cracks, *voids)  # a crack runs through precipitates, and a pore on its way is a pore
    return Specimen(
        recipe.phase_names, recipe.phase_materials, view, x, z, strata, bodies,
        hosts={number(name): number(host) for name, host in recipe.hosts.items()},
        cracks=frozenset(map(number, recipe.crack_names)), facts=facts,
    )  # fmt: skip


def _draw(layer: Layer, rng: np.random.Generator) -> _Drawn:
    thickness = layer.thickness_um.draw(rng) if layer.thickness_um is not None else np.inf
    surface = tuple((term, term.rms_um.draw(rng), term.correlation_um.draw(rng)) for term in layer.surface)
    return _Drawn(layer, thickness, surface)


def _draw_view(frame: CoatingFrame, drawn: list[_Drawn], rng: np.random.Generator) -> View:
    """Place the frame so that the middle of its layer is where it is wanted. Height 0 is the substrate's surface."""
    pixel_um = frame.pixel_size_um.draw(rng)
    position = [d.layer.name for d in drawn].index(frame.centre_on)
    middle = sum(d.thickness_um for d in drawn[position + 1 : -1]) + drawn[position].thickness_um / 2
    height_um = frame.height_px * pixel_um
    centre_y = middle + (frame.centre_at.draw(rng) - 0.5) * height_um
    return View((0.0, float(centre_y)), frame.tilt_deg.draw(rng), frame.width_px, frame.height_px, pixel_um)


def _grid(view: View) -> tuple[np.ndarray, np.ndarray]:
    half, _ = view.reach_um
    margin = view.fine_um(MARGIN_UM)
    count = int(np.ceil(2 * (half + margin) / view.pixel_size_um)) + 1
    x = np.linspace(-half - margin, half + margin, count)
    depth = 0.15 * min(view.size_um)
    return x, -depth * np.linspace(1, 0, 9) ** 1.5


def _interfaces(
    drawn: list[_Drawn], view: View, x: np.ndarray, z: np.ndarray, rng: np.random.Generator
) -> list[np.ndarray]:
    """Heights (nz, nx) of all boundaries from the frame's top to its bottom, one more than there are layers."""
    _, half = view.reach_um
    margin = view.fine_um(MARGIN_UM)
    top = np.full((len(z), len(x)), view.centre_um[1] + half + margin)
    bottom = np.full((len(z), len(x)), min(view.centre_um[1] - half, 0.0) - 40 * margin)
    heights = [bottom]
    for d in reversed(drawn[1:]):
        rough = _roughness(d, x, z, rng)
        if len(heights) == 1:
            heights.append(rough)  # the substrate's surface, about height 0
        else:
            heights.append(heights[-1] + np.maximum(d.thickness_um + rough, view.fine_um(THINNEST_UM)))
    highest = max(float(h.max()) for h in heights)
    heights.append(np.maximum(top, highest + margin))
    return heights[::-1]


def _roughness(d: _Drawn, x: np.ndarray, z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    total = np.zeros((len(z), len(x)))
    for term, rms, correlation in d.surface:
        field = gaussian_field(rng, correlation)
        total += rms * SHAPES[term.shape](field(x[None, :], z[:, None]))
    return total


def _bodies(phase: int, host: int, meshes: list, clipped: bool) -> list[Body]:
    return [Body(phase, host, mesh, clipped) for mesh in meshes]
