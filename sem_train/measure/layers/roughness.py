"""Roughness and waviness of a layer's interfaces, from their course in the section.

The primary profile P of an interface is its height above its mean line (least squares), measured across that line. A
Gaussian filter (ISO 16610-21, half of the amplitude passes at the cutoff) splits it: what is longer than the cutoff is
waviness W, the rest roughness R. Parameters are named as in ISO 21920-2:2021. They come from a section, not from a
stylus: an overhang counts with its outermost point, and what is finer than `FINEST_PX` is smoothed away with the
staircase of the pixels.
"""

from dataclasses import dataclass

import numpy as np

from sem_train.measure.layers.smoothing import smoothed
from sem_train.measure.windows import rows_around

SIGMA_OF_CUTOFF = np.sqrt(np.log(2) / 2) / np.pi  # 0.187, sigma of the ISO Gaussian over its cutoff
MARGIN = 8  # rows beside an interface that its smoothed edge reaches
EDGE_SIGMA_PX = 0.7  # as for thickness: turns the pixel staircase into an edge
FINEST_PX = EDGE_SIGMA_PX / SIGMA_OF_CUTOFF  # 3.7, wavelength of which that smoothing passes half
SHORTEST_CUTOFF_PX = 20.0  # about five times FINEST_PX: a narrower band is no roughness
RESOLVED_RQ_PX = 0.5  # less is the staircase of the pixels


@dataclass(frozen=True)
class Interface:
    """One interface of a layer. Lengths in the field's unit; parameters of ISO 21920-2 for a section profile."""

    pq: float  # root mean square height of the primary profile
    ra: float  # arithmetic mean height of the roughness profile
    rq: float  # its root mean square height
    rz: float | None  # mean over sections of one cutoff: highest peak to deepest valley; None if shorter than one
    wa: float  # arithmetic mean height of the waviness profile
    wq: float  # its root mean square height
    cutoff: float  # wavelength that parts roughness from waviness
    length: float  # of the interface's mean line where it is in the frame
    resolved: bool  # rq >= RESOLVED_RQ_PX pixels


def measure_interfaces(
    mask: np.ndarray, mean_px: float | None, cutoff_px: float | None, pixel: float, across: float
) -> dict[str, Interface]:
    """Measure the "outer" and the "inner" interface of an envelope (H, W) bool, upright; those too short are left out.

    `mean_px` is the layer's mean thickness, the cutoff if none is given, though at least `SHORTEST_CUTOFF_PX`: what is
    longer than the layer is thick moves both interfaces alike. `pixel` is the edge of a pixel in the unit wanted,
    `across` what a pixel stands for across the layer.
    """
    if cutoff_px is None:
        if mean_px is None:
            return {}
        cutoff_px = max(mean_px, SHORTEST_CUTOFF_PX)
    if cutoff_px < SHORTEST_CUTOFF_PX:
        return {}
    # from below, the map upside down: heights count outward from the layer
    near = mask[rows_around(mask, MARGIN)]
    found = {"outer": trace(near), "inner": trace(near[::-1])}
    measured = {side: _measure(rows, cutoff_px, pixel, across) for side, rows in found.items()}
    return {side: interface for side, interface in measured.items() if interface is not None}


def trace(mask: np.ndarray) -> np.ndarray:
    """Row (W,) of the outer boundary at each column, to a part of a pixel; NaN where it is not in the frame."""
    filled = mask.any(axis=0)
    first = mask.argmax(axis=0)
    seen = filled & (first > 0)
    window = _around(mask, first)
    # where the smoothed edge first reaches one half, going inward
    above, below = window[:-1] - 0.5, window[1:] - 0.5
    crosses = (above < 0) & (below >= 0)
    step = crosses.argmax(axis=0)
    columns = np.arange(mask.shape[1])
    low, high = above[step, columns], below[step, columns]
    edge = first - len(window) // 2 + step + np.divide(-low, high - low, out=np.full(len(low), 0.5), where=high != low)
    return np.where(seen, np.where(crosses.any(axis=0), edge, first - 0.5), np.nan)


def _around(mask: np.ndarray, rows: np.ndarray, reach: int = 4) -> np.ndarray:
    """The mask smoothed by `EDGE_SIGMA_PX` at (2 * reach + 1, W) pixels above and below a row of each column."""
    radius = 3
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / EDGE_SIGMA_PX) ** 2)
    kernel /= kernel.sum()
    tall = np.arange(-reach - radius, reach + radius + 1)[:, None, None]
    wide = np.arange(-radius, radius + 1)[None, :, None]
    row = np.clip(rows + tall, 0, mask.shape[0] - 1)
    column = np.clip(np.arange(mask.shape[1]) + wide, 0, mask.shape[1] - 1)
    across = np.einsum("tws,w->ts", mask[row, column].astype(np.float64), kernel)
    return np.stack([kernel @ across[i : i + len(kernel)] for i in range(2 * reach + 1)])


def _measure(rows: np.ndarray, cutoff_px: float, pixel: float, across: float) -> Interface | None:
    known = np.isfinite(rows)
    columns = np.arange(len(rows), dtype=np.float64)
    if np.count_nonzero(known) < 2:
        return None
    line = np.polyfit(columns[known], rows[known], 1)
    slant = np.hypot(1.0, line[0])  # steps along the mean line are that much longer than columns
    primary = (np.polyval(line, columns) - rows) / slant
    waviness = smoothed(primary, known, SIGMA_OF_CUTOFF * cutoff_px / slant)
    roughness = primary - waviness
    valid = np.isfinite(roughness)
    length_px = float(np.count_nonzero(valid) * slant)
    if length_px < cutoff_px:
        return None
    p, r, w = (profile[valid] * across for profile in (primary, roughness, waviness))
    return Interface(
        pq=_rms(p), ra=float(np.abs(r).mean()), rq=_rms(r), rz=_rz(roughness * across, round(cutoff_px / slant)),
        wa=float(np.abs(w).mean()), wq=_rms(w), cutoff=cutoff_px * pixel, length=length_px * pixel,
        resolved=bool(_rms(r) >= RESOLVED_RQ_PX * across),
    )  # fmt: skip


def _rz(roughness: np.ndarray, section: int) -> float | None:
    """Mean of peak to valley (N,) over the sections that are seen whole."""
    number = len(roughness) // section
    sections = roughness[: number * section].reshape(number, section)
    whole = sections[np.isfinite(sections).all(axis=1)]
    return float(np.ptp(whole, axis=1).mean()) if len(whole) else None


def _rms(profile: np.ndarray) -> float:
    return float(np.sqrt(np.mean(profile**2)))
