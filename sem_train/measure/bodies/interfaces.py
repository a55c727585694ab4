"""How far objects lie from the two interfaces of their layer."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sem_train.measure.layers.normals import Normals

BINS = 10  # of the layer's mean thickness
AT_ONCE = 2_000_000  # distances held in memory


@dataclass(frozen=True)
class Histogram:
    """How many objects fall between neighbouring edges."""

    edges: tuple[float, ...]  # in the field's unit, one more than counts
    counts: tuple[int, ...]
    mean: float | None  # of the distances themselves; None without


def distance_px(points: np.ndarray, normals: Normals, side: Literal["outer", "inner"]) -> np.ndarray:
    """Shortest way (N,) in pixels from points (N, 2) to an interface, as the normals' boundary points draw it.

    NaN where the nearest piece may lie outside the frame, or beyond the end of the layer.
    """
    way = normals.outer if side == "outer" else normals.inner
    line = normals.points + normals.directions * way[:, None]
    known = np.isfinite(way)
    joined = known[1:] & known[:-1]
    start, step = line[:-1][joined], np.diff(line, axis=0)[joined]
    if len(start) == 0 or len(points) == 0:
        return np.full(len(points), np.nan)
    # an open end goes straight on for one step: normals stand half a step from the frame
    low = np.where(np.concatenate([[True], ~joined[:-1]])[joined], -1.0, 0.0)
    high = np.where(np.concatenate([~joined[1:], [True]])[joined], 2.0, 1.0)
    length2 = np.maximum((step**2).sum(axis=1), 1e-12)
    found = []
    for some in np.array_split(points, max(1, len(points) * len(start) // AT_ONCE)):
        off = some[:, None] - start
        along = np.clip((off * step).sum(axis=-1) / length2, low, high)
        squared = ((off - along[..., None] * step) ** 2).sum(axis=-1)
        nearest = squared.argmin(axis=1)
        each = np.arange(len(some))
        at = along[each, nearest]
        lost = ((at == -1.0) & (low[nearest] < 0)) | ((at == 2.0) & (high[nearest] > 1))
        found.append(np.where(lost, np.nan, np.sqrt(squared[each, nearest])))
    return np.concatenate(found)


def histogram(distances: np.ndarray, thickness: float) -> Histogram:
    """Count distances (N,) in bins of a tenth of the layer's mean thickness, from 0 on; NaN is left out."""
    known = distances[np.isfinite(distances)]
    width = thickness / BINS
    number = max(BINS, int(np.ceil(known.max() / width * (1 + 1e-12)))) if len(known) else BINS
    edges = np.arange(number + 1) * width
    counts = np.bincount(np.minimum((known / width).astype(int), number - 1), minlength=number)
    return Histogram(tuple(edges.tolist()), tuple(counts.tolist()), float(known.mean()) if len(known) else None)
