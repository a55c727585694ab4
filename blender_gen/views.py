"""From geometry to passes: a polished section with its voids open, and bodies that lie on a substrate."""

from collections.abc import Sequence

import numpy as np
from manifold3d import triangulate
from scipy.ndimage import map_coordinates

from blender_gen.columns import facing_up, floors, thickness_um
from blender_gen.device import Device
from blender_gen.passes import Passes
from blender_gen.phases import VOID, void_mask
from blender_gen.scene import RenderError, first_hits
from blender_gen.section import Section
from blender_gen.solids import Triangles
from blender_gen.specimen import Specimen, View
from blender_gen.surfaces import Facets, bodies_as_facets, facets, height_and_normal, join, keep
from semforge.errors import RejectedSpecimen

LAYERS_UM, BODIES_UM = 0.5, 1.2  # cut faces are stacked in painter's order, in these parts of the stack
LEAST_STEP_UM = 3e-5  # steps must stay well above the rounding of a ray's length
CLEARANCE_UM = 1.0


def render_section(section: Section, device: Device = Device()) -> Passes:
    """What the beam sees of a polished section: the cut faces, and the floors of the pores and cracks that are open.

    Raises RejectedSpecimen if there are more bodies than can be stacked, RenderError if a pixel sees no cut face.
    """
    specimen = section.specimen
    faces = _cut_faces(section)
    hit = first_hits(section.view, {"section": faces.mesh}, LAYERS_UM + BODIES_UM + CLEARANCE_UM, device)["section"]
    if hit.min() < 0:
        raise RenderError("a pixel of the label map sees no declared phase")
    phase = faces.phase[hit].astype(np.uint8)
    height = np.zeros(phase.shape, dtype=np.float32)
    normal = np.zeros((*phase.shape, 3), dtype=np.float32)
    normal[..., 2] = 1
    wall = phase.copy()
    void = void_mask(phase, specimen.materials)
    if void.any():
        voids = _voids(specimen)
        floor = np.where(void, floors(section.view, voids), -1)
        seen = floor >= 0
        points = section.view.pixel_centres()[seen]
        z, outwards = height_and_normal(voids, floor[seen], points)
        height[seen] = z
        normal[seen] = _in_picture(-outwards, section.view)
        height[void] = np.minimum(height[void], 0)
        points = section.view.pixel_centres()[void]
        wall[void] = _layer_at(specimen, points, height[void])
    return Passes(phase, faces.instance[hit].astype(np.uint32), height, normal, wall, path_um={})


def render_surfaces(
    view: View,
    bodies: Sequence[tuple[int, Triangles]],
    substrate: Facets,
    paths: bool = False,
    device: Device = Device(),
) -> Passes:
    """What the beam sees of closed bodies over a substrate, straight from above.

    `bodies` are (phase id, closed mesh with outward normals); the instance of each is its position
    from 1. `substrate` must cover the frame; what it carries as instance should be 0. Heights are z.
    With `paths` the passes hold the beam's way through the bodies of each phase, (H, W) float32 in
    µm; where bodies of one phase overlap both count; the substrate does not.

    Raises RenderError if a pixel sees nothing.
    """
    solids = bodies_as_facets([(phase, number, mesh) for number, (phase, mesh) in enumerate(bodies, start=1)])
    scenery = join([substrate, solids])
    seen = np.flatnonzero(np.concatenate([np.ones(len(substrate.phase), dtype=bool), _may_be_seen(view, solids.mesh)]))
    start = float(scenery.mesh[0][:, 2].max()) + CLEARANCE_UM
    hit = first_hits(view, {"surface": keep(scenery, seen).mesh}, start, device)["surface"]
    if hit.min() < 0:
        raise RenderError("a pixel sees neither a body nor the substrate; the substrate must cover the frame")
    hit = seen[hit]
    z, normal = height_and_normal(scenery.mesh, hit.ravel(), view.pixel_centres().reshape(-1, 2))
    phase = scenery.phase[hit].astype(np.uint8)
    path_um = {}
    for number in sorted({phase for phase, _ in bodies}) if paths else ():
        path_um[number] = thickness_um(view, keep(solids, solids.phase == number).mesh).astype(np.float32)
    return Passes(
        phase=phase,
        instance=scenery.instance[hit].astype(np.uint32),
        height_um=z.reshape(phase.shape).astype(np.float32),
        normal=_in_picture(normal, view).reshape(*phase.shape, 3).astype(np.float32),
        wall=phase,
        path_um=path_um,
    )


def flat_substrate(view: View, phase: int, height_um: float = 0.0) -> Facets:
    """A plane that covers the frame."""
    margin = 2 * view.pixel_size_um
    centre, reach = np.array(view.centre_um), np.array(view.reach_um) + margin
    (left, bottom), (right, top) = centre - reach, centre + reach
    corners = [(left, bottom), (right, bottom), (right, top), (left, top)]
    vertices = np.column_stack([np.array(corners), np.full(4, height_um)])
    return facets(phase, 0, (vertices, np.array([[0, 1, 2], [0, 2, 3]], dtype=np.uint32)))


def height_field(phase: int, x_um: np.ndarray, y_um: np.ndarray, height_um: np.ndarray) -> Facets:
    """A substrate from heights (ny, nx) over the increasing `x_um` (nx,) and `y_um` (ny,)."""
    x, y = np.meshgrid(x_um, y_um)
    index = np.arange(x.size).reshape(x.shape)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    triangles = np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)]).astype(np.uint32)
    return facets(phase, 0, (np.stack([x, y, height_um], axis=-1).reshape(-1, 3), triangles))


def _cut_faces(section: Section) -> Facets:
    """All cut faces in painter's order, from z = 0 upwards: layers from the outside inwards, then bodies."""
    strata, outlines = section.specimen.strata, section.outlines
    if len(outlines) * LEAST_STEP_UM > BODIES_UM:
        raise RejectedSpecimen(f"{len(outlines)} bodies are more than the stack of cut faces can order; use a smaller "
                               "frame or ask for less of them")  # fmt: skip
    floor_um = section.view.centre_um[1] - section.view.reach_um[1] - CLEARANCE_UM
    faces = []
    for number, stratum in enumerate(strata, start=1):
        z_um = LAYERS_UM * number / len(strata)
        faces.append((stratum.phase, 0, _columns(section.specimen.x_um, stratum.outer_um[-1], floor_um, z_um)))
    for number, outline in enumerate(outlines, start=1):
        points = np.concatenate(outline.polygons)
        triangles = np.asarray(triangulate(list(outline.polygons)), dtype=np.uint32)
        z = np.full(len(points), LAYERS_UM + BODIES_UM * number / len(outlines))
        faces.append((outline.phase, outline.instance, (np.column_stack([points, z]), triangles)))
    return bodies_as_facets(faces)


def _columns(x: np.ndarray, top: np.ndarray, floor: float, z: float) -> Triangles:
    """All between a profile (nx,) and a floor, at height z, as upright columns: rays find the right one fast."""
    bottom = np.minimum(top, floor)
    vertices = np.column_stack([np.tile(x, 2), np.concatenate([bottom, top]), np.full(2 * len(x), z)])
    low = np.arange(len(x) - 1)
    a, b, c, d = low, low + 1, low + 1 + len(x), low + len(x)
    return vertices, np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)]).astype(np.uint32)


def _voids(specimen: Specimen) -> Triangles:
    """All pores and open cracks."""
    return bodies_as_facets([(b.phase, 0, b.mesh) for b in specimen.bodies if specimen.materials[b.phase] == VOID]).mesh


def _layer_at(specimen: Specimen, points: np.ndarray, z_um: np.ndarray) -> np.ndarray:
    """Phase of the layer at points (n, 2) of the section plane, `z_um` (n,) above it."""
    x = np.interp(points[:, 0], specimen.x_um, np.arange(len(specimen.x_um)))
    z = np.interp(z_um, specimen.z_um, np.arange(len(specimen.z_um)))
    phase = np.full(len(points), specimen.strata[-1].phase)
    for stratum in reversed(specimen.strata[:-1]):
        bottom = map_coordinates(stratum.inner_um, [z, x], order=1, mode="nearest")
        phase[points[:, 1] > bottom] = stratum.phase
    return phase


def _may_be_seen(view: View, mesh: Triangles) -> np.ndarray:
    """Triangles of closed bodies that a ray from above can meet first: (m,) bool."""
    x, y = mesh[0][:, 0] - view.centre_um[0], mesh[0][:, 1] - view.centre_um[1]
    across, up = view.reach_um
    sides = (x < -across) | (x > across) << 1 | (y < -up) << 2 | (y > up) << 3
    a, b, c = sides.astype(np.uint8)[mesh[1].T]
    return facing_up(mesh) & (a & b & c == 0)


def _in_picture(normals: np.ndarray, view: View) -> np.ndarray:
    """Normals (n, 3) of the specimen's axes in those of the picture."""
    return np.concatenate([normals[:, :2] @ view.axes.T, normals[:, 2:]], axis=1)
