"""What stands between a spot and the X-ray detector: particles, the walls of a pore.

The detector looks from one side, `take_off_deg` above the plane. Solid under the surface of the height map counts as
filled down to the ground.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from blender_gen.edx.attenuation import transmission
from blender_gen.phases import Material

# lengths in µm of the way through what stands there that are told apart; a longer way is the last
LENGTHS_UM = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2)


@dataclass(frozen=True)
class Shadow:
    """The X-rays' way from each pixel to the detector, through solid, beyond the spot's own surroundings."""

    length: np.ndarray  # (H, W) uint8: position in LENGTHS_UM
    solid: np.ndarray  # (H, W) uint8: of what most of it is; 0 where the way is free

    def kinds(self, where: np.ndarray | None = None) -> Iterator[tuple[int, int]]:
        """All pairs (solid, length) that there are, of the pixels `where` (H, W) bool if given; the free way first."""
        pairs = self.solid.astype(np.int64) * len(LENGTHS_UM) + self.length
        for pair in np.unique(pairs if where is None else pairs[where]):
            yield int(pair) // len(LENGTHS_UM), int(pair) % len(LENGTHS_UM)

    def pixels(self, kind: tuple[int, int]) -> np.ndarray:
        """Where (H, W) bool the way is of one kind."""
        return (self.solid == kind[0]) & (self.length == kind[1])


def passing(kind: tuple[int, int], solids: Sequence[Material], energies_kev: np.ndarray) -> np.ndarray | float:
    """Share of the X-rays (C,) that come through on a way of one kind."""
    solid, length = kind
    return transmission(solids[solid], LENGTHS_UM[length], energies_kev) if length else 1.0


def way_to_detector(
    height_um: np.ndarray, seen: np.ndarray, pixel_um: float, take_off_deg: float, azimuth_deg: float
) -> Shadow:
    """Follow the ray from each pixel towards the detector over a height map (H, W); `seen` are its solids."""
    length = np.zeros(height_um.shape, dtype=np.float32)
    solid = np.zeros(height_um.shape, dtype=np.uint8)
    rise = pixel_um * np.tan(np.radians(take_off_deg))  # of the ray from pixel to pixel
    a = np.radians(azimuth_deg)
    steps = int((float(height_um.max()) - float(height_um.min())) / rise)
    step_um = pixel_um / np.cos(np.radians(take_off_deg))
    most = np.zeros(height_um.shape, dtype=np.float32)  # how far below the surface the ray has been
    for step in range(1, min(steps, max(height_um.shape)) + 1):
        right, down = round(step * np.cos(a)), -round(step * np.sin(a))
        here, there = _overlap(height_um.shape, down, right)
        if here is None:
            break
        depth = height_um[there] - height_um[here] - np.float32(step * rise)
        # the first pixel's own slope is the surface that the spot lies on, absorption below it is in the spectrum
        inside = depth > (rise if step == 1 else 0)
        length[here] += inside * np.float32(step_um)
        deeper = inside & (depth > most[here])
        solid[here] = np.where(deeper, seen[there], solid[here])
        most[here] = np.where(deeper, depth, most[here])
    edges = np.sqrt(np.multiply(LENGTHS_UM[1:], np.concatenate([[0.05], LENGTHS_UM[1:-1]])))
    position = np.searchsorted(edges, length).astype(np.uint8)
    return Shadow(position, np.where(position > 0, solid, 0).astype(np.uint8))


def _overlap(
    shape: tuple[int, ...], down: int, right: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]] | tuple[None, None]:
    """The pixels whose neighbour `down` rows below and `right` columns to the right is in the picture, and those."""
    here, there = [], []
    for size, shift in zip(shape, (down, right), strict=True):
        if abs(shift) >= size:
            return None, None
        here.append(slice(max(-shift, 0), size - max(shift, 0)))
        there.append(slice(max(shift, 0), size + min(shift, 0)))
    return (here[0], here[1]), (there[0], there[1])
