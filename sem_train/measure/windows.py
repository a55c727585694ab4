"""The rows that a mask takes: work on them alone is quicker and gives the same."""

import numpy as np


def rows_around(mask: np.ndarray, margin: int) -> slice:
    """Rows of a mask (H, W) bool that hold all of it, and `margin` empty ones above and below as far as there are."""
    filled = np.flatnonzero(mask.any(axis=1))
    if not len(filled):
        return slice(0, 0)
    return slice(max(0, int(filled[0]) - margin), min(len(mask), int(filled[-1]) + 1 + margin))
