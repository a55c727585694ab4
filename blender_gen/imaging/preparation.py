"""What grinding, polishing, milling and mounting leave on a specimen: the same in every image of it.

None of it changes a label: a pull-out is no pore, metal smeared over a pore leaves the pore.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d, label, zoom
from scipy.signal import lfilter

from blender_gen.imaging.conditions import Drawn, draw
from blender_gen.passes import Passes
from blender_gen.phases import Material
from blender_gen.recipe.imaging import Preparation

PULL_OUT_DEPTH = 0.8  # of a pit, in diameters


@dataclass(frozen=True)
class Prepared:
    """A specimen as it goes into the microscope, each (H, W)."""

    seen: np.ndarray  # uint8: what the beam hits; phase ids, and one more for resin in a void
    open_void: np.ndarray  # bool: voids that nothing fills or covers
    filled: np.ndarray  # bool: voids that resin has filled
    height_um: np.ndarray  # float32
    normal: np.ndarray  # float32 (H, W, 3)
    factor: np.ndarray  # float32: scratches and curtains, as a factor on the signal
    settings: dict[str, Any]  # what was drawn


def prepare(
    recipe: Preparation, passes: Passes, void: np.ndarray, solids: Sequence[Material], pixel_size_um: float,
    rng: np.random.Generator,
) -> Prepared:  # fmt: skip
    """Fill a share of the voids (H, W) bool with resin, connected ones together; polish, mill and scratch.

    `solids` has the material of each phase id (a void's does not matter) and, last, the resin that fills voids.
    """
    drawn = draw(recipe, rng)
    drawn = drawn.changed(scratches=round(drawn.scratches), pull_outs=round(drawn.pull_outs))
    parts, number = label(void, structure=np.ones((3, 3)))
    filled = void & (rng.uniform(size=number + 1) < drawn.filled_pores)[parts]
    seen = np.where(filled, len(solids) - 1, passes.wall).astype(np.uint8)
    open_void = void & ~filled
    if drawn.smear_um:
        seen, covered = _smeared(seen, open_void, drawn.smear_um / pixel_size_um, rng)
        open_void = open_void & ~covered
    closed = void & ~open_void
    height = np.where(closed, 0, passes.height_um).astype(np.float32)
    normal = np.where(closed[..., None], np.array([0, 0, 1], np.float32), passes.normal)
    if drawn.relief_um:
        lowered = _relief(seen, solids, drawn, pixel_size_um)
        height, normal = height + lowered, _tilted(normal, lowered, ~open_void, pixel_size_um)
    if drawn.pull_outs:
        pits = _pull_outs(void, drawn, pixel_size_um, rng)
        height, normal = height + pits, _tilted(normal, pits, ~open_void & (pits < 0), pixel_size_um)
    factor = 1 + _scratches(void.shape, drawn.scratches, drawn.scratch_depth, rng)
    if drawn.curtaining:
        factor += drawn.curtaining * _curtains(open_void, drawn.curtain_um / pixel_size_um, rng)
    return Prepared(seen, open_void, filled, height, normal, factor.astype(np.float32), dict(drawn))


def _relief(seen: np.ndarray, solids: Sequence[Material], drawn: Drawn, pixel_um: float) -> np.ndarray:
    """Polishing takes more of soft phases: how far below the hardest each lies, in µm, 0 or less."""
    hardness = np.array([solid.hardness_gpa for solid in solids])[np.unique(seen)]
    softest, hardest = hardness.min(), hardness.max()
    depth = [(hardest - s.hardness_gpa) / max(hardest - softest, 1e-9) * drawn.relief_um for s in solids]
    lowered = -np.take(np.array(depth, dtype=np.float32), seen)
    return gaussian_filter(lowered, drawn.relief_edge_um / pixel_um, mode="nearest")


def _pull_outs(void: np.ndarray, drawn: Drawn, pixel_um: float, rng: np.random.Generator) -> np.ndarray:
    """Pits where grains were torn out, angular with steep walls: depth in µm, 0 or less."""
    depth = np.zeros(void.shape, dtype=np.float32)
    height, width = void.shape
    for _ in range(drawn.pull_outs):
        radius = drawn.pull_out_um / pixel_um / 2 * rng.lognormal(sigma=0.4)
        row, column = rng.uniform(0, height), rng.uniform(0, width)
        sides = int(rng.integers(4, 8))
        facing = (np.arange(sides) + rng.uniform(-0.3, 0.3, size=sides)) * 2 * np.pi / sides
        distance = radius * rng.uniform(0.6, 1.2, size=sides)
        reach = int(3 * radius) + 1
        top, left = max(int(row) - reach, 0), max(int(column) - reach, 0)
        part = depth[top : int(row) + reach + 1, left : int(column) + reach + 1]
        y, x = np.mgrid[top : top + part.shape[0], left : left + part.shape[1]] - np.array([row, column])[:, None, None]
        planes = zip(facing, distance, strict=True)
        outwards = np.max([(x * np.cos(a) + y * np.sin(a)) / d for a, d in planes], axis=0)  # 1 on the outline
        part[...] = np.minimum(part, -2 * radius * pixel_um * PULL_OUT_DEPTH * np.clip(1 - outwards**4, 0, 1))
    return depth


def _tilted(normal: np.ndarray, lowered_um: np.ndarray, where: np.ndarray, pixel_um: float) -> np.ndarray:
    """Normals after a height change (H, W) has been added to a surface; only `where` it can be told from heights."""
    down, right = np.gradient(lowered_um, pixel_um)
    slope_x = -normal[..., 0] / np.maximum(normal[..., 2], 1e-3) + right
    slope_y = -normal[..., 1] / np.maximum(normal[..., 2], 1e-3) - down
    tilted = np.stack([-slope_x, -slope_y, np.ones_like(slope_x)], axis=-1)
    tilted /= np.linalg.norm(tilted, axis=-1, keepdims=True)
    changed = where & ((right != 0) | (down != 0))
    return np.where(changed[..., None], tilted, normal).astype(np.float32)


def _smeared(
    seen: np.ndarray, open_void: np.ndarray, reach_px: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Solid drawn over the edge of open voids along the polishing direction, unevenly far, up to twice `reach_px`."""
    angle = rng.uniform(0, 2 * np.pi)
    coarse = rng.uniform(0, 2, size=[max(n // 8, 2) for n in seen.shape])
    reach = reach_px * zoom(coarse, [n / m for n, m in zip(seen.shape, coarse.shape, strict=True)], order=1)
    smeared, covered = seen.copy(), np.zeros_like(open_void)
    rows, columns = np.nonzero(open_void)
    for step in range(1, int(2 * reach_px) + 2):
        r = np.clip(rows - round(step * np.sin(angle)), 0, seen.shape[0] - 1)
        c = np.clip(columns - round(step * np.cos(angle)), 0, seen.shape[1] - 1)
        reached = (reach[rows, columns] >= step) & ~open_void[r, c] & ~covered[rows, columns]
        smeared[rows[reached], columns[reached]] = seen[r[reached], c[reached]]
        covered[rows[reached], columns[reached]] = True
    return smeared, covered


def _curtains(open_void: np.ndarray, length_px: float, rng: np.random.Generator) -> np.ndarray:
    """Stripes along the columns, (H, W), rms about 1: faint everywhere, started anew below each pore."""
    height, width = open_void.shape
    everywhere = gaussian_filter1d(rng.normal(size=width), 1.2, mode="wrap")
    starts = np.zeros(open_void.shape, dtype=np.float32)
    starts[1:] = open_void[:-1] & ~open_void[1:]
    per_column = gaussian_filter1d(rng.normal(size=(height // 16 + 1, width)), 1.2, axis=1, mode="wrap")
    starts *= per_column[np.arange(height) // 16]
    below = lfilter([1.0], [1.0, -np.exp(-1 / length_px)], starts, axis=0)
    stripes = 0.5 * everywhere + 1.4 * np.where(open_void, 0, below)
    return (stripes * 1.5).astype(np.float32)


def _scratches(shape: tuple[int, ...], count: int, depth: float, rng: np.random.Generator) -> np.ndarray:
    """Polishing scratches: straight, about as wide as a pixel or two, dark with a bright lip or the reverse."""
    total = np.zeros(shape)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    for _ in range(count):
        angle, width = rng.uniform(0, np.pi), rng.uniform(0.5, 1.2)
        through = rng.uniform(0, 1, size=2) * shape
        distance = (rows - through[0]) * np.cos(angle) + (columns - through[1]) * np.sin(angle)
        along = (columns - through[1]) * np.cos(angle) - (rows - through[0]) * np.sin(angle)
        fade = np.exp(-((along / rng.uniform(0.2, 1.0) / shape[1]) ** 2))
        profile = np.exp(-((distance / width) ** 2)) - 0.5 * np.exp(-(((distance - 2 * width) / width) ** 2))
        total -= rng.choice([1, 1, -1]) * depth * fade * profile
    return total
