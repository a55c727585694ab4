"""The mean of lengths of which some are known as lower bounds only."""

import numpy as np


def censored_mean(lengths: np.ndarray, complete: np.ndarray) -> float | None:
    """Kaplan–Meier mean of lengths (N,), of which those not `complete` (N,) bool are at least as long as given.

    To leave incomplete lengths out would favour short ones, which fit into a frame more often; here each counts as
    the complete ones that are longer do on average. Those longer than every complete one count as they are, so the
    mean is then a lower bound. None if no length is complete.

    Kaplan & Meier, J. Am. Stat. Assoc. 53 (1958) 457; the treatment of the longest after Efron (1967).
    """
    if not complete.any():
        return None
    # of equal lengths the complete ones come first: an incomplete one is longer
    order = np.lexsort((~complete, lengths))
    lengths, complete = lengths[order], complete[order]
    at_risk = np.arange(len(lengths), 0, -1)
    survival = np.cumprod(np.where(complete, 1 - 1 / at_risk, 1.0))
    before = np.concatenate([[1.0], survival[:-1]])
    steps = np.diff(lengths, prepend=0.0)
    return float(before @ steps)
