"""The surface of a substrate, pixel by pixel: roughness, pits and bubbles of a tape, holes of a membrane or film."""

import numpy as np

from blender_gen.deposits.deposit import Ground
from blender_gen.deposits.pixel_noise import pixel_field
from blender_gen.fields import SHAPES as RELIEFS
from blender_gen.recipe.particles import Holes, Pits, Substrate
from blender_gen.specimen import View

MOST_HOLES = 20_000
RIM = 0.12  # of a hole's radius, over which its edge falls


def make_ground(substrate: Substrate, view: View, rng: np.random.Generator) -> Ground:
    """Draw the surface of a substrate; its mean level outside holes is about 0."""
    shape = (view.height_px, view.width_px)
    height = np.zeros(shape, dtype=np.float32)
    for term in substrate.roughness:
        rms, correlation = term.rms_um.draw(rng), term.correlation_um.draw(rng)
        if rms > 0:
            height += rms * RELIEFS[term.shape](pixel_field(rng, shape, correlation / view.pixel_size_um))
    if substrate.pits is not None:
        height += _pits(substrate.pits, view, rng)
    hole = np.zeros(shape, dtype=bool)
    if substrate.holes is not None:
        depth = substrate.holes.depth_um.draw(rng)
        inside = _holes(substrate.holes, view, rng)
        height -= depth * np.clip(inside / RIM, 0, 1).astype(np.float32)
        hole = inside > 0
    thickness = substrate.thickness_um.draw(rng)
    film = np.where(hole | (thickness <= 0), 0, np.maximum(thickness + height, 0)).astype(np.float32)
    return Ground(np.zeros_like(height) if thickness > 0 else height, hole, film)


def _pits(pits: Pits, view: View, rng: np.random.Generator) -> np.ndarray:
    """Paraboloids that are as deep as a share of their diameter; where they overlap the deepest counts."""
    diameter, depth = pits.diameter_um.draw(rng), pits.depth.draw(rng)
    centres = _scattered(diameter, pits.coverage.draw(rng), view, rng)
    radii = diameter / 2 * np.exp(rng.normal(scale=0.3, size=len(centres)))
    return (2 * depth * diameter / 2 * -_depth_inside(centres, radii, view, power=2)).astype(np.float32)


def _holes(holes: Holes, view: View, rng: np.random.Generator) -> np.ndarray:
    """How far each pixel lies inside a hole, over the hole's radius: 0 outside, 1 in the centre."""
    diameter, coverage = holes.diameter_um.draw(rng), holes.coverage.draw(rng)
    if rng.uniform() < holes.regular:
        pitch = diameter * np.sqrt(np.pi / 4 / max(coverage, 1e-3))
        reach = np.hypot(*view.size_um) / 2 + diameter
        steps = np.arange(-np.ceil(reach / pitch), np.ceil(reach / pitch) + 1) * pitch
        grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2) + rng.uniform(-pitch, pitch, 2)
        turn = rng.uniform(0, np.pi / 2)
        c, s = np.cos(turn), np.sin(turn)
        centres = grid @ np.array([[c, s], [-s, c]])
    else:
        centres = _scattered(diameter, coverage, view, rng)
    radii = diameter / 2 * rng.uniform(0.94, 1.06, size=len(centres))
    return _depth_inside(centres, radii, view)


def _scattered(diameter: float, coverage: float, view: View, rng: np.random.Generator) -> np.ndarray:
    """Random centres (n, 2) of discs of a diameter that together cover a share of the frame; they may overlap."""
    size = np.array(view.size_um) + 2 * diameter
    mean = -np.log(1 - min(coverage, 0.95)) * size.prod() / (np.pi / 4 * diameter**2)
    return rng.uniform(-size / 2, size / 2, size=(min(rng.poisson(mean), MOST_HOLES), 2))


def _depth_inside(centres: np.ndarray, radii: np.ndarray, view: View, power: int = 1) -> np.ndarray:
    """1 - (distance/radius)^power inside each disc, 0 outside, the largest where discs overlap: (H, W)."""
    result = np.zeros((view.height_px, view.width_px), dtype=np.float32)
    places, sizes = view.to_picture(centres), radii / view.pixel_size_um
    for (column, row), radius in zip(places, sizes, strict=True):
        x0, x1 = max(int(column - radius), 0), min(int(column + radius) + 2, view.width_px)
        y0, y1 = max(int(row - radius), 0), min(int(row + radius) + 2, view.height_px)
        if x0 >= x1 or y0 >= y1:
            continue
        y, x = np.ogrid[y0:y1, x0:x1]
        inside = 1 - (np.hypot(x - column, y - row) / radius) ** power
        np.maximum(result[y0:y1, x0:x1], inside, out=result[y0:y1, x0:x1])
    return result
