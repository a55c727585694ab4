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
from blender_gen.edx.shadow import Shadow, way_to_detector
from blender_gen.edx.spectrum import film_share, xray_range_um
from blender_gen.imaging import Target
from blender_gen.phases import Material

SPREAD_RANGES = 0.23  # standard deviation sideways, in X-ray ranges: nine in ten X-rays come from within one range
LEAST_PX = 0.2  # less spread than this changes nothing that a pixel shows
SAME_SPREAD = 1.2  # spreads within this factor are one
THINNEST, THICKNESSES = 0.01, 25  # of the table of film shares, in X-ray ranges, and its length
REACH = 4.0  # standard deviations


@dataclass(frozen=True)
class Mixture:
    """What the X-rays of each pixel are made of.

    `shares` (H, W, P) float32 belong to the solids of a target, 0 or more; they sum to 1 unless part of the beam goes
    through the specimen into nothing.
    """

    shares: np.ndarray
    shadow: Shadow  # what lies between the pixel and the detector


@dataclass(frozen=True)
class Ground:
    """What bodies stand on."""

    solid: int  # number among the target's solids
    film: bool  # as thick as the target's `path_um` of that solid; else bulk


def mixture(target: Target, conditions: Conditions, azimuth_deg: float, ground: Ground | None) -> Mixture:
    """Shares of the target's solids in the X-rays of each pixel.

    A specimen without `ground` is a section: what is seen goes on downwards. `azimuth_deg` is where the detector
    stands, anticlockwise from the picture's right.
    """
    column = section(target) if ground is None else under_the_beam(target, conditions, ground)
    spread_px = [SPREAD_RANGES * reach / target.pixel_size_um for reach in _ranges(target, conditions)]
    shadow = way_to_detector(target.height_um, target.seen, target.pixel_size_um, conditions.take_off_deg, azimuth_deg)
    return Mixture(spread(column, target.seen, spread_px), shadow)


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
    return table_um, np.array([film_share(material, float(one), conditions) for one in table_um])


def spread(shares: np.ndarray, seen: np.ndarray, spread_px: Sequence[float]) -> np.ndarray:
    """Shares (H, W, P) as the volume under each pixel gathers them: by a Gaussian that is as wide as the solid says
    that the beam hits there, `spread_px` by solid. Edges of the picture are mirrored.
    """
    result = shares.copy()
    for width, solids in _groups([(spread_px[k], int(k)) for k in np.unique(seen)]):
        if width < LEAST_PX:
            continue
        here = np.isin(seen, solids)
        rows, columns = (_extent(here.any(axis=axis), REACH * width) for axis in (1, 0))
        near = shares[rows, columns]
        chosen = here[rows, columns]
        for part in np.flatnonzero(near.any(axis=(0, 1))):
            around = gaussian_filter(np.ascontiguousarray(near[..., part]), width, mode="mirror", truncate=REACH)
            result[rows, columns, part][chosen] = around[chosen]
    return np.maximum(result, 0)


def _ranges(target: Target, conditions: Conditions) -> list[float]:
    present = set(np.unique(target.seen).tolist())
    return [xray_range_um(s, conditions) if k in present else 0.0 for k, s in enumerate(target.solids)]


def _groups(widths: list[tuple[float, int]]) -> list[tuple[float, list[int]]]:
    """Solids whose spreads are about the same, each group with its mean."""
    groups: list[list[tuple[float, int]]] = []
    for one in sorted(widths):
        if groups and one[0] <= SAME_SPREAD * groups[-1][0][0]:
            groups[-1].append(one)
        else:
            groups.append([one])
    return [(float(np.mean([w for w, _ in group])), [k for _, k in group]) for group in groups]


def _extent(filled: np.ndarray, margin: float) -> slice:
    places = np.flatnonzero(filled)
    return slice(max(int(places[0] - margin) - 1, 0), int(places[-1] + margin) + 2)
