"""Normals of a layer's midline: where its boundaries are, station by station.

The midline lies halfway between the two boundaries of the layer and is smoothed with a Gaussian
whose sigma is one mean layer thickness; that fixes the direction, not the boundaries. At evenly
spaced positions along the midline a normal is cast, and the first boundary outward and the first
boundary inward on it are found.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from sem_train.measure.layers.smoothing import smoothed
from sem_train.measure.windows import rows_around

EDGE_SIGMA_PX = 0.7  # turns the pixel staircase into an edge; keeps straight edges where they are
STEP_PX = 0.5  # between samples on a normal
MOST_NORMALS = 512
MARGIN = 4  # rows beside a layer that its smoothed edge reaches
SHORTEST_SMOOTHING_PX = 3.0  # below, the midline would follow the pixel staircase


@dataclass(frozen=True)
class Normals:
    """Normals of a layer's midline, in pixels of the upright map; (row, column) order."""

    along: np.ndarray  # (N,) float64, length of the midline up to each station, ascending
    points: np.ndarray  # (N, 2) float64, evenly spaced on the midline
    directions: np.ndarray  # (N, 2) float64, unit vectors from the outer to the inner side
    outer: np.ndarray  # (N,) signed distance of the outer boundary from the midline; NaN where not seen
    inner: np.ndarray  # (N,) the same for the inner boundary
    seen: np.ndarray  # (N,) length within the frame: the thickness, or less where the layer leaves; NaN if missing
    covered: np.ndarray  # (N,) bool: the layer exists here
    absent: np.ndarray  # (N,) bool: the layer is missing here, and the frame would show it
    several: np.ndarray  # (N,) bool: the normal meets the layer more than once

    @property
    def usable(self) -> np.ndarray:
        """(N,) bool: both boundaries lie inside the frame."""
        return self.covered & np.isfinite(self.outer) & np.isfinite(self.inner)

    @property
    def thickness_px(self) -> np.ndarray:
        """(N_usable,) distance between the two boundaries."""
        return (self.inner - self.outer)[self.usable]


def cast_normals(mask: np.ndarray) -> Normals | None:
    """Normals of the midline of a layer's envelope (H, W) bool, upright. None if it shows no midline."""
    rows = rows_around(mask, MARGIN)
    near = mask[rows]
    columns, middle, height_px = _middles(near)
    if len(columns) < 3:
        return None
    middle += rows.start
    slope = np.polyfit(columns, middle, 1)[0]
    mean_px = height_px.mean() / np.hypot(1.0, slope)
    sigma = max(mean_px, SHORTEST_SMOOTHING_PX) / np.hypot(1.0, slope)
    midline = _midline(columns, middle, sigma, mask.shape[1])
    stations = _stations(midline)
    inside_frame = _in_frame(stations[1], mask.shape)
    along, points, directions = (s[inside_frame] for s in stations)
    if len(points) == 0:
        return None
    edge = ndimage.gaussian_filter(near.astype(np.float32), EDGE_SIGMA_PX, mode="nearest", truncate=4.0)
    frame = _frame_ends(points, directions, mask.shape)
    window = max(mean_px, SHORTEST_SMOOTHING_PX)
    return _first_boundaries(edge, rows.start, frame, along, points, directions, _tallest(near) + 5.0, window)


def _middles(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns where both boundaries are in the frame, the row halfway there, and the height in pixels."""
    if mask.size == 0:
        return np.zeros(0, dtype=int), np.zeros(0), np.zeros(0)
    height, moment = np.stack([np.ones(len(mask)), np.arange(len(mask))]) @ mask.astype(np.float64)
    columns = np.flatnonzero((height > 0) & ~mask[0] & ~mask[-1])
    return columns, moment[columns] / height[columns], height[columns]


def _tallest(mask: np.ndarray) -> float:
    """Rows from the first to the last pixel of the mask (H, W) bool in a column, the most of any column."""
    top, bottom = mask.argmax(axis=0), len(mask) - mask[::-1].argmax(axis=0)
    return float((bottom - top)[mask.any(axis=0)].max())


def _midline(columns: np.ndarray, middle: np.ndarray, sigma: float, width: int) -> np.ndarray:
    """Row (width,) of the smoothed midline at each column, straight on beyond its ends and over gaps."""
    straight = np.polyfit(columns, middle, 1)
    x = np.arange(width, dtype=np.float64)
    off, known = np.zeros(width), np.zeros(width, dtype=bool)
    known[columns], off[columns] = True, middle - np.polyval(straight, columns)
    level = smoothed(off, known, sigma)
    known = np.isfinite(level)
    if not known.any():
        return np.polyval(straight, x)
    return np.polyval(straight, x) + np.interp(x, x[known], level[known])


def _stations(midline: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Evenly spaced positions (N,) along the midline, the points (N, 2) there and the unit normals (N, 2), inward."""
    x = np.arange(len(midline), dtype=np.float64)
    slope = np.gradient(midline)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(1.0, np.diff(midline)))])
    number = int(np.clip(along[-1], 2, MOST_NORMALS))
    stations = (np.arange(number) + 0.5) * along[-1] / number
    column = np.interp(stations, along, x)
    tilt = np.arctan(np.interp(column, x, slope))
    points = np.stack([np.interp(column, x, midline), column], axis=1)
    return stations, points, np.stack([np.cos(tilt), -np.sin(tilt)], axis=1)


def _first_boundaries(
    edge: np.ndarray,
    first_row: int,
    frame: tuple[np.ndarray, np.ndarray],
    along: np.ndarray,
    points: np.ndarray,
    directions: np.ndarray,
    reach: float,
    window: float,
) -> Normals:
    """Follow each normal from the midline to the layer's edge on both sides, as far as `reach` and the `frame` go.

    `edge` (h, W) is the smoothed mask from `first_row` on. Where the midline itself lies beside the layer, the nearest
    piece within `window` pixels counts.
    """
    steps = int(np.ceil(reach / STEP_PX))
    distance = np.arange(-steps, steps + 1) * STEP_PX
    where = (points - [first_row, 0]).T[:, :, None] + directions.T[:, :, None] * distance
    level = ndimage.map_coordinates(edge, where, order=1, mode="nearest", prefilter=False) - 0.5
    visible = (distance >= frame[0][:, None]) & (distance <= frame[1][:, None])
    inside = (level >= 0) & visible
    index = np.arange(len(distance))
    start = np.where(inside, np.abs(index - steps), len(distance)).argmin(axis=1)
    covered = inside.any(axis=1) & (np.abs(start - steps) * STEP_PX <= window)
    near = np.abs(distance) <= window
    absent = ~covered & visible[:, near].all(axis=1)
    beyond = level < 0
    last_before = np.where(beyond & (index < start[:, None]), index, -1).max(axis=1)
    first_after = np.where(beyond & (index > start[:, None]), index, len(distance)).min(axis=1)
    outer = _crossing(level, visible, distance, last_before, last_before + 1)
    inner = _crossing(level, visible, distance, first_after - 1, first_after)
    pieces = (inside[:, 1:] & ~inside[:, :-1]).sum(axis=1) + inside[:, 0]
    nan = np.full(len(points), np.nan)
    outer, inner = np.where(covered, outer, nan), np.where(covered, inner, nan)
    seen = np.where(np.isfinite(inner), inner, frame[1]) - np.where(np.isfinite(outer), outer, frame[0])
    seen = np.where(covered, seen, nan)
    return Normals(along, points, directions, outer, inner, seen, covered, absent, covered & (pieces > 1))


def _crossing(
    level: np.ndarray, visible: np.ndarray, distance: np.ndarray, before: np.ndarray, after: np.ndarray
) -> np.ndarray:
    """Where `level` crosses zero between two neighbouring samples; NaN where either is not in the frame."""
    rows = np.arange(len(level))
    exists = (before >= 0) & (after < len(distance))
    b, a = np.maximum(before, 0), np.minimum(after, len(distance) - 1)
    exists &= visible[rows, b] & visible[rows, a]
    low, high = level[rows, b].astype(np.float64), level[rows, a].astype(np.float64)
    share = np.divide(low, low - high, out=np.full(len(low), 0.5), where=low != high)
    return np.where(exists, distance[b] + share * STEP_PX, np.nan)


def _frame_ends(points: np.ndarray, directions: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Signed distances (N,) at which lines through points in the frame enter it and leave it."""
    with np.errstate(divide="ignore"):
        ends = (np.array([[-0.5, -0.5], np.array(shape) - 0.5])[:, None] - points) / directions
    low, high = np.nan_to_num(ends.min(axis=0), nan=-np.inf), np.nan_to_num(ends.max(axis=0), nan=np.inf)
    return low.max(axis=1), high.min(axis=1)


def _in_frame(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Whether points (..., 2) lie on the pixels of a map; pixel centres are whole numbers."""
    return ((points >= -0.5) & (points <= np.array(shape) - 0.5)).all(axis=-1)
