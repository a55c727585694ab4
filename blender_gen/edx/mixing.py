"""From what the beam meets to parts of phases: which share of the beam's X-rays comes from which phase.

A pixel's X-rays come from a volume about as wide and as deep as the X-ray range of what the beam hits. Sideways that
volume is a Gaussian; downwards a polished section goes on as it looks, while under a particle that is thinner than
the range come other particles and the substrate. What stands between the spot and the detector takes its share: see
`shadow.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter

from blender_gen.edx.conditions import Conditions
from blender_gen.edx.shadow import Way, way_to_detector
from blender_gen.edx.spectrum import film_shares, xray_range_um
from blender_gen.imaging import Target
from blender_gen.phases import Material

SPREAD_RANGES = 0.23  # standard deviation sideways, in X-ray ranges: nine in ten X-rays come from within one range
LEAST_PX = 0.2  # less spread than this changes nothing that a pixel shows
SAME_SPREAD = 1.2  # spreads within this factor are one
THINNEST, THICKNESSES = 0.01, 25  # of the table of film shares, in X-ray ranges, and its length
REACH = 4.0  # standard deviations


@dataclass(frozen=True)
class Ground:
    """What bodies stand on."""

    solid: int  # number among the target's solids
    film: bool  # as thick as the target's `path_um` of that solid; else bulk


@dataclass(frozen=True)
class Seen:
    """What the X-rays of n pixels are made of, in the order in which the pixels were asked for.

    `shares` (n, P) float32 belong to the solids of a target, 0 or more; they sum to 1 unless part of the beam goes
    through the specimen into nothing.
    """

    shares: np.ndarray
    way: Way  # to the detector


@dataclass(frozen=True)
class Mixture:
    """A specimen under the beam, from which the mixture of any pixels can be had."""

    column: np.ndarray  # (H, W, P) float32: shares before X-rays are gathered from the side
    spread_px: tuple[float, ...]  # how far from the side, by solid
    target: Target
    take_off_deg: float
    azimuth_deg: float  # where the detector stands, anticlockwise from the picture's right

    def at(self, rows: np.ndarray, columns: np.ndarray) -> Seen:
        """The mixture of the pixels in `rows` (n,) and `columns` (n,)."""
        t = self.target
        shares = spread(self.column, t.seen, self.spread_px, rows, columns)
        way = way_to_detector(
            t.height_um, t.seen, t.pixel_size_um, self.take_off_deg, self.azimuth_deg, rows, columns
        )  # fmt: skip
        return Seen(shares, way)

    def everywhere(self) -> Seen:
        """The mixture of all pixels, row by row."""
        rows, columns = np.divmod(np.arange(self.target.seen.size), self.target.seen.shape[1])
        return self.at(rows, columns)


def mixture(target: Target, conditions: Conditions, azimuth_deg: float, ground: Ground | None) -> Mixture:
    """A target under the beam. One without `ground` is a section: what is seen goes on downwards."""
    column = section(target) if ground is None else under_the_beam(target, conditions, ground)
    present = set(np.unique(target.seen).tolist())
    reach_um = [xray_range_um(s, conditions) if k in present else 0.0 for k, s in enumerate(target.solids)]
    spread_px = tuple(SPREAD_RANGES * reach / target.pixel_size_um for reach in reach_um)
    return Mixture(column, spread_px, target, conditions.take_off_deg, azimuth_deg)


def section(target: Target) -> np.ndarray:
    """Shares (H, W, P) float32 of the solids where each pixel is wholly what it shows."""
    shares = np.zeros((*target.seen.shape, len(target.solids)), dtype=np.float32)
    np.put_along_axis(shares, target.seen[..., None].astype(np.int64), 1, axis=-1)
    return shares


def under_the_beam(target: Target, conditions: Conditions, ground: Ground) -> np.ndarray:
    """Shares (H, W, P) float32 of the solids that a beam meets which spreads downwards alone.

    The body that is seen lies on top; of those below it the thickest comes first. Without known ways through the
    bodies each is as thick as it is high.
    """
    flat = np.zeros((target.seen.size, len(target.solids)), dtype=np.float32)
    left = np.ones(target.seen.size, dtype=np.float32)  # of the beam, not yet used up
    seen = target.seen.ravel()
    ways = {solid: way.ravel() for solid, way in target.path_um.items() if solid != ground.solid}
    if not ways:
        height = np.clip(target.height_um.ravel(), 0, None)
        ways = {int(solid): height * (seen == solid) for solid in np.unique(seen[seen != ground.solid])}
    for on_top in (True, False):
        for solid in sorted(ways, key=lambda solid: -float(ways[solid].sum())):
            here = np.flatnonzero((ways[solid] > 0) & (seen != ground.solid) & ((seen == solid) == on_top))
            share = left[here] * share_of_film(target, conditions, solid, ways[solid][here])
            flat[here, solid] += share
            left[here] -= share
    if ground.film:
        left *= share_of_film(target, conditions, ground.solid, target.path_um[ground.solid].ravel())
    flat[:, ground.solid] += left
    return flat.reshape(*target.seen.shape, -1)


def share_of_film(target: Target, conditions: Conditions, solid: int, thickness_um: np.ndarray) -> np.ndarray:
    """Share of the bulk's X-rays that films of several thicknesses of a solid give, read off a table of them."""
    table_um, shares = _film_table(target.solids[solid], conditions)
    return np.interp(thickness_um, table_um, shares).astype(np.float32)


@lru_cache(maxsize=1024)
def _film_table(material: Material, conditions: Conditions) -> tuple[np.ndarray, np.ndarray]:
    """Thicknesses in µm, up to twice the X-ray range, and the shares of films of them."""
    reach = xray_range_um(material, conditions)
    table_um = np.concatenate([[0.0], np.geomspace(THINNEST * reach, 2 * reach, THICKNESSES)])
    return table_um, film_shares(material, table_um, conditions)


def spread(
    shares: np.ndarray, seen: np.ndarray, spread_px: Sequence[float], rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Shares (n, P) that the volumes under n pixels gather from shares (H, W, P), each by a Gaussian.

    It is as wide as the solid that is seen there says, `spread_px` by solid. Edges of the picture are mirrored.
    """
    result = shares[rows, columns]
    solid = seen[rows, columns]
    for width, solids in _groups([(spread_px[k], int(k)) for k in np.unique(solid)]):
        if width < LEAST_PX:
            continue
        chosen = np.flatnonzero(np.isin(solid, solids))
        y, x = rows[chosen], columns[chosen]
        tall, wide = (_around(places, REACH * width) for places in (y, x))
        near = shares[tall, wide]
        for part in np.flatnonzero(near.any(axis=(0, 1))):
            blurred = gaussian_filter(np.ascontiguousarray(near[..., part]), width, mode="mirror", truncate=REACH)
            result[chosen, part] = blurred[y - tall.start, x - wide.start]
    return np.maximum(result, 0)


def _groups(widths: list[tuple[float, int]]) -> list[tuple[float, list[int]]]:
    """Solids whose spreads are about the same, each group with its mean."""
    groups: list[list[tuple[float, int]]] = []
    for one in sorted(widths):
        if groups and one[0] <= SAME_SPREAD * groups[-1][0][0]:
            groups[-1].append(one)
        else:
            groups.append([one])
    return [(float(np.mean([w for w, _ in group])), [k for _, k in group]) for group in groups]


def _around(places: np.ndarray, margin: float) -> slice:
    return slice(max(int(places.min() - margin) - 1, 0), int(places.max() + margin) + 2)
