"""Maps and micrographs made ready to be shown: of bounded size, in grey, counted."""

import math

import numpy as np

from sem_train.spectra.contents import NOT_NAMED, UNNAMED, Share, ShownPhases
from sem_train.transforms import normalise


def block_means(values: np.ndarray, longest: int) -> np.ndarray:
    """A map (H, W) of at most `longest` pixels on its longer side, by means over blocks; smaller ones as they are."""
    factor = math.ceil(max(values.shape) / longest)
    values = np.asarray(values, dtype=float)
    if factor <= 1:
        return values
    rows, columns = (np.arange(0, n, factor) for n in values.shape)
    sums = np.add.reduceat(np.add.reduceat(values, rows, 0), columns, 1)
    heights, widths = (np.diff(np.append(np.arange(0, n, factor), n)) for n in values.shape)
    return sums / (heights[:, None] * widths)


def nearest(values: np.ndarray, longest: int, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Another size by the nearest pixel: of at most `longest` pixels on the longer side, or of `shape`."""
    if shape is None:
        factor = min(1.0, longest / max(values.shape[:2]))
        shape = max(1, round(values.shape[0] * factor)), max(1, round(values.shape[1] * factor))
    rows, columns = (
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(int), old - 1)
        for new, old in zip(shape, values.shape[:2], strict=True)
    )
    return values[np.ix_(rows, columns)]


def grey_picture(micrograph: np.ndarray) -> np.ndarray:
    """A micrograph (H, W) of any depth, or (H, W, 3) of 8 bits, as (H, W, 3) uint8 with a sensible contrast."""
    if micrograph.ndim == 3:
        return micrograph[..., :3].astype(np.uint8, copy=False)
    level = ((normalise(micrograph, "percentile").clip(-1, 1) + 1) * 127.5).round().astype(np.uint8)
    return level[..., None].repeat(3, axis=-1)


def pixel_shares(shown: ShownPhases) -> tuple[Share, ...]:
    """The share of all pixels that each phase has, those not named last; phases without a pixel are left out."""
    names = [*shown.names, NOT_NAMED]
    counts = np.bincount(np.where(shown.phases == UNNAMED, len(shown.names), shown.phases).ravel().astype(int),
                         minlength=len(names))  # fmt: skip
    return tuple(
        Share(name, float(n) / shown.phases.size, count=int(n)) for name, n in zip(names, counts, strict=True) if n
    )
