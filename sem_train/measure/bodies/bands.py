"""Large maps in bands of rows, so that what is made of a band does not fill the memory."""

from collections.abc import Iterator

import numpy as np

BAND_PX = 2**22  # pixels worked on at once


def bands(array: np.ndarray) -> Iterator[slice]:
    """Rows of an array (H, W), in order."""
    step = max(1, BAND_PX // max(1, array.shape[1]))
    return (slice(start, min(start + step, len(array))) for start in range(0, len(array), step))
