"""What stands between a spot and the X-ray detector: particles, the walls of a pore.

The detector looks from one side, `take_off_deg` above the plane. Solid under the surface of the height map counts as
filled down to the ground.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blender_gen.edx.attenuation import transmission
from blender_gen.phases import Material

# lengths in µm of the way through what stands there that are told apart; a longer way is the last
LENGTHS_UM = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2)


@dataclass(frozen=True)
class Way:
    """The X-rays' way from n pixels to the detector, through solid, beyond the surface that they leave."""

    length: np.ndarray  # (n,) uint8: position in LENGTHS_UM
    solid: np.ndarray  # (n,) uint8: of what it is where it lies deepest; 0 where the way is free

    def kinds(self) -> list[tuple[tuple[int, int], np.ndarray]]:
        """All pairs (solid, length) that there are, each with the pixels (m,) whose way it is."""
        pairs = self.solid.astype(np.int64) * len(LENGTHS_UM) + self.length
        return [(divmod(int(pair), len(LENGTHS_UM)), np.flatnonzero(pairs == pair)) for pair in np.unique(pairs)]


def passing(kind: tuple[int, int], solids: Sequence[Material], energies_kev: np.ndarray) -> np.ndarray:
    """Share of the X-rays (C,) that come through on a way of one kind."""
    solid, length = kind
    if not length:
        return np.ones(len(energies_kev))
    return transmission(solids[solid], LENGTHS_UM[length], energies_kev)


def way_to_detector(
    height_um: np.ndarray, seen: np.ndarray, pixel_um: float, take_off_deg: float, azimuth_deg: float,
    rows: np.ndarray, columns: np.ndarray,
) -> Way:  # fmt: skip
    """Follow the rays from n pixels towards the detector over a height map (H, W); `seen` are its solids.

    The slope that a spot itself lies on is no obstacle: what X-rays lose below the surface is in their spectrum.
    """
    rise = pixel_um * np.tan(np.radians(take_off_deg))  # of the ray from pixel to pixel
    step_um = pixel_um / np.cos(np.radians(take_off_deg))
    a = np.radians(azimuth_deg)
    start = height_um[rows, columns].astype(np.float64)
    highest = _highest_ahead(height_um, rows, columns, (-np.sin(a), np.cos(a)), float(start.min()), rise)
    length, most = np.zeros(len(rows)), np.zeros(len(rows))  # most: how far below the surface the ray has been
    solid = np.zeros(len(rows), dtype=np.uint8)
    left = np.flatnonzero(start + rise < highest)  # rays that something may still stand in the way of
    for step in range(1, sum(height_um.shape)):
        y, x = rows[left] - round(step * np.sin(a)), columns[left] + round(step * np.cos(a))
        inside = (y >= 0) & (y < height_um.shape[0]) & (x >= 0) & (x < height_um.shape[1])
        inside &= start[left] + step * rise < highest
        left, y, x = left[inside], y[inside], x[inside]
        if not len(left):
            break
        depth = height_um[y, x] - (start[left] + step * rise)
        hit = depth > (rise if step == 1 else 0)
        length[left[hit]] += step_um
        deeper = depth > np.maximum(most[left], rise if step == 1 else 0)
        solid[left[deeper]] = seen[y[deeper], x[deeper]]
        most[left[deeper]] = depth[deeper]
    position = np.searchsorted(_BETWEEN, length).astype(np.uint8)
    return Way(position, np.where(position > 0, solid, 0).astype(np.uint8))


def _highest_ahead(
    height_um: np.ndarray, rows: np.ndarray, columns: np.ndarray, direction: tuple[float, float], start_um: float,
    rise: float,
) -> float:  # fmt: skip
    """The highest point that any of the rays can come to, which climb by `rise` a pixel from `start_um` or higher."""
    highest = float(height_um.max())
    for _ in range(2):  # the lower the highest point, the shorter the way to above it
        reach = (highest - start_um) / rise + 1
        ahead = []
        for places, towards, size in zip((rows, columns), direction, height_um.shape, strict=True):
            first, last = (
                int(places.min() + min(reach * towards, 0)) - 1,
                int(places.max() + max(reach * towards, 0)) + 2,
            )
            ahead.append(slice(max(first, 0), min(max(last, 0), size)))
        highest = float(height_um[ahead[0], ahead[1]].max())
    return highest


_BETWEEN = np.sqrt(np.multiply(LENGTHS_UM[1:], (LENGTHS_UM[1] / 2, *LENGTHS_UM[1:-1])))  # two lengths are told apart
