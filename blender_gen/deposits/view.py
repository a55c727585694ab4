"""From a deposit to passes: the particles as Cycles sees them, over a ground that is known pixel by pixel."""

import numpy as np
from scipy.spatial import cKDTree

from blender_gen.columns import thickness_um
from blender_gen.deposits.deposit import Deposit, Ground, Particle
from blender_gen.deposits.pixel_noise import pixel_field
from blender_gen.device import Device
from blender_gen.passes import Passes
from blender_gen.solids import Triangles, merged
from blender_gen.specimen import View
from blender_gen.views import flat_substrate, render_surfaces
from semforge.errors import RejectedSpecimen

BELOW_UM = 1e-3  # of the plane that stands in for the ground while rendering, below everything


def render_deposit(deposit: Deposit, device: Device = Device()) -> Passes:
    """What the beam sees of a deposit.

    Instance and phase of background particles are those of the substrate. Raises RejectedSpecimen if
    a particle covers more or fewer pixels than its shadow.
    """
    view, ground = deposit.view, deposit.ground
    near = [n for n, body in enumerate(deposit.particles) if _reaches(body, view)]
    meshes = [deposit.particles[n].mesh for n in near]
    low = min([float(m[0][:, 2].min()) for m in meshes] + [float(ground.height_um.min())])
    scene = [(1, mesh) for mesh in meshes]
    seen = render_surfaces(view, scene, flat_substrate(view, 0, low - BELOW_UM), device=device)
    _check_outlines(deposit, near, seen.instance)
    body = np.concatenate([[-1], near]).astype(np.int64)[seen.instance]  # position in the deposit, -1 for ground
    body[seen.height_um <= ground.height_um] = -1
    top = body >= 0
    normal = np.where(top[..., None], seen.normal, _ground_normal(ground, view.pixel_size_um))
    rng = np.random.default_rng(deposit.noise_seed)
    normal, shade = _skins(deposit, body, normal, rng)
    phases = np.array([deposit.lots[p.lot].phase for p in deposit.particles] + [0], dtype=np.uint8)
    materials = np.array([p.material for p in deposit.particles] + [0], dtype=np.uint8)
    instances = np.append(deposit.instances, 0).astype(np.uint32)
    return Passes(
        phase=phases[body],
        instance=instances[body],
        height_um=np.where(top, seen.height_um, ground.height_um).astype(np.float32),
        normal=normal.astype(np.float32),
        wall=materials[body],
        path_um=_paths(deposit, near, meshes) if deposit.paths else {},
        shade=shade,
    )


def _reaches(body: Particle, view: View) -> bool:
    away = np.abs(np.array(body.place_um[:2])) - np.array(view.size_um) / 2
    return bool(np.all(away < body.reach_um))


def _ground_normal(ground: Ground, pixel_um: float) -> np.ndarray:
    down, right = np.gradient(ground.height_um, pixel_um)
    normal = np.stack([-right, down, np.ones_like(down)], axis=-1)
    return np.asarray(normal / np.linalg.norm(normal, axis=-1, keepdims=True))


def _paths(deposit: Deposit, near: list[int], meshes: list[Triangles]) -> dict[int, np.ndarray]:
    """Mass thickness in µm of each material; a core counts by its density over the shell's."""
    paths = {0: deposit.ground.film_um}
    bodies = [deposit.particles[n] for n in near]
    for material in sorted({body.material for body in bodies}):
        own = [(body, mesh) for body, mesh in zip(bodies, meshes, strict=True) if body.material == material]
        total = thickness_um(deposit.view, merged([mesh for _, mesh in own]))
        for density in sorted({body.core.density for body, _ in own if body.core is not None}):
            cores = [_core(b, m) for b, m in own if b.core is not None and b.core.density == density]
            total += (density - 1) * thickness_um(deposit.view, merged(cores))
        paths[material] = np.maximum(total, 0).astype(np.float32)
    return paths


def _core(body: Particle, mesh: Triangles) -> Triangles:
    assert body.core is not None
    vertices = mesh[0]
    middle = (vertices.max(axis=0) + vertices.min(axis=0)) / 2
    shift = np.array([*body.core.shift, 0]) * body.ecd_um
    return (vertices - middle) * body.core.size + middle + shift, mesh[1]


def _skins(
    deposit: Deposit, body: np.ndarray, normal: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Normals with the particles' fine relief, and the factor (H, W) of brightness, mottling and crystal domains."""
    pixel, shape = deposit.view.pixel_size_um, (deposit.view.height_px, deposit.view.width_px)
    lots = np.array([p.lot for p in deposit.particles] + [-1])[body]
    shade = np.array([p.brightness for p in deposit.particles] + [1.0], dtype=np.float32)[body]
    for number, lot in enumerate(deposit.lots):
        here = lots == number
        if not here.any():
            continue
        skin = lot.skin
        if skin.mottle > 0:
            shade[here] *= 1 + skin.mottle * pixel_field(rng, shape, skin.mottle_um / pixel)[here]
        if skin.sectors > 0:
            shade[here] *= 1 + skin.sectors * _domains(deposit, body, here, skin.sector_um / pixel, rng)
        if skin.bumps > 0:
            length = max(skin.bump_um / pixel, 1.5)
            height = pixel_field(rng, shape, length) * length / 2  # of a field of that length the rms slope is 2/length
            down, right = np.gradient(height)
            tilted = normal[here] + skin.bumps * np.stack([-right[here], down[here], np.zeros(here.sum())], axis=-1)
            tilted[:, 2] = np.maximum(tilted[:, 2], 0.02)
            normal[here] = tilted / np.linalg.norm(tilted, axis=-1, keepdims=True)
    return normal, np.clip(shade, 0.05, 8.0)


def _domains(
    deposit: Deposit, body: np.ndarray, here: np.ndarray, size_px: float, rng: np.random.Generator
) -> np.ndarray:
    """Deviation (n,) of unit variance at the pixels `here`: constant in each of the domains of a particle."""
    pixel = deposit.view.pixel_size_um
    rows, columns = np.nonzero(here)
    owner = body[here]
    seeds, owners = [], []
    for number in np.unique(owner):
        particle = deposit.particles[number]
        across = particle.ecd_um / pixel
        count = max(int(np.ceil((across / max(size_px, 1.0)) ** 2)), 1)
        column, row = deposit.view.to_picture(np.array(particle.place_um[:2]))
        seeds.append(np.array([row, column]) + rng.uniform(-0.55, 0.55, size=(count, 2)) * across)
        owners.append(np.full(count, number))
    apart = 10.0 * max(body.shape)  # domains belong to their own particle
    tree = cKDTree(np.column_stack([np.concatenate(seeds), apart * np.concatenate(owners)]))
    _, nearest = tree.query(np.column_stack([rows, columns, apart * owner]))
    return rng.standard_normal(tree.n)[nearest]


def _check_outlines(deposit: Deposit, near: list[int], instance: np.ndarray) -> None:
    """Compare the pixels of each particle, still without the ground, with its exact outline.

    No particle may show more pixels than its shadow has inside the frame; one that nothing else comes near and
    that lies wholly in the frame must show all of them. A boundary of n pixels can put n/2 on the wrong side.
    Raises RejectedSpecimen on more.
    """
    pixel = deposit.view.pixel_size_um
    counts = np.bincount(instance.ravel(), minlength=len(near) + 1)[1:]
    bodies = [deposit.particles[n] for n in near]
    places = np.array([body.place_um[:2] for body in bodies]).reshape(-1, 2)
    reach = np.array([body.reach_um for body in bodies])
    inside = np.all(np.abs(places) + reach[:, None] < np.array(deposit.view.size_um) / 2, axis=1)
    for k, body in enumerate(bodies):
        area, bound = body.projected_area_um2 / pixel**2, body.perimeter_um / pixel / 2 + 4
        away = np.hypot(*(places - places[k]).T) - reach - reach[k]
        away[k] = np.inf
        alone = inside[k] and away.min() > 0 and body.hang is None
        if counts[k] > area + bound or (alone and counts[k] < area - bound):
            raise RejectedSpecimen(f"a particle shows {counts[k]} pixels, its shadow has {area:.0f}")


def audit_deposit(deposit: Deposit, passes: Passes) -> None:
    """Every instance must be one particle, of its population's phase. Raises RejectedSpecimen if not."""
    phases = np.zeros(len(deposit.particles) + 1, dtype=np.uint8)
    for number, body in zip(deposit.instances, deposit.particles, strict=True):
        if number:
            phases[number] = deposit.lots[body.lot].phase
    if (phases[passes.instance] != passes.phase).any():
        raise RejectedSpecimen("label maps of phases and of particles disagree")
