"""What grinding, polishing and mounting leave on a section: the same in every image of a specimen."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import label

from blender_gen.recipe.imaging import Preparation


@dataclass(frozen=True)
class Prepared:
    """A section as it goes into the microscope."""

    filled: np.ndarray  # (H, W) bool: voids that resin has filled
    factor: np.ndarray  # (H, W): scratches, as a factor on the signal
    settings: dict[str, Any]  # what was drawn


def prepare(recipe: Preparation, void: np.ndarray, rng: np.random.Generator) -> Prepared:
    """Fill a share of the voids (H, W) bool with resin, connected ones together, and scratch the section."""
    share, count = recipe.filled_pores.draw(rng), round(recipe.scratches.draw(rng))
    depth = recipe.scratch_depth.draw(rng)
    parts, number = label(void, structure=np.ones((3, 3)))
    chosen = rng.uniform(size=number + 1) < share
    factor = 1 + _scratches(void.shape, count, depth, rng)
    return Prepared(void & chosen[parts], factor, {"filled_pores": share, "scratches": count, "scratch_depth": depth})


def _scratches(shape: tuple[int, ...], count: int, depth: float, rng: np.random.Generator) -> np.ndarray:
    """Polishing scratches: straight, about as wide as a pixel or two, dark with a bright lip or the reverse."""
    total = np.zeros(shape)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    for _ in range(count):
        angle, width = rng.uniform(0, np.pi), rng.uniform(0.5, 1.2)
        through = rng.uniform(0, 1, size=2) * shape
        distance = (rows - through[0]) * np.cos(angle) + (columns - through[1]) * np.sin(angle)
        along = (columns - through[1]) * np.cos(angle) - (rows - through[0]) * np.sin(angle)
        fade = np.exp(-((along / rng.uniform(0.2, 1.0) / shape[1]) ** 2))
        profile = np.exp(-((distance / width) ** 2)) - 0.5 * np.exp(-(((distance - 2 * width) / width) ** 2))
        total -= rng.choice([1, 1, -1]) * depth * fade * profile
    return total
