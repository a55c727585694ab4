"""Spectra on another energy axis, where that loses nothing of what they say."""

import numpy as np

from semforge.errors import InputError
from semforge.spectra.axis import LOWEST_KEV, EnergyAxis

WIDER = 1.02  # channels may be this much wider than those asked for: lines are many channels broad
ALIGNED = 1e-6  # of a channel
TOGETHER = 64  # spectra at a time: their sums stay in the processor's cache


def require_rebinnable(have: EnergyAxis, want: EnergyAxis, beam_kev: float | None = None) -> None:
    """Raise InputError that says both axes if `have` has wider channels than `want`, or does not reach as far.

    Below 0.1 keV there are no lines, and above the beam energy there is nothing: neither has to be covered.
    """
    said = f"the spectrum has {have.describe()}, {want.describe()} are asked for"
    if have.width_ev > WIDER * want.width_ev:
        raise InputError(f"{said}: channels can be joined, not divided; take spectra with narrower channels")
    low = max(want.low_kev, LOWEST_KEV)
    high = want.high_kev if beam_kev is None else min(want.high_kev, beam_kev)
    slack = want.width_ev / 1000  # a range that is short of less than one channel is not short
    if have.low_kev > low + slack or have.high_kev < high - slack:
        raise InputError(
            f"{said}: it covers {have.low_kev:.4g} to {have.high_kev:.4g} keV, {low:.4g} to {high:.4g} keV are needed"
            "; take spectra of that range"
        )


def rebinned(counts: np.ndarray, have: EnergyAxis, want: EnergyAxis, beam_kev: float | None = None) -> np.ndarray:
    """Spectra (..., C) on `have` as spectra (..., C') on `want`; all counts in the energies of both are kept.

    A channel that lies in two of the new ones is shared between them by width. Whole numbers stay whole where new
    channels are made of whole old ones, to a millionth of an old one; else the result is float64. Raises InputError as
    `require_rebinnable`, and if `counts` do not fit `have`.
    """
    counts = np.asarray(counts)
    if counts.shape[-1:] != (have.channels,):
        raise InputError(f"spectra of shape {counts.shape} on {have.describe()}: they do not fit")
    if have == want:
        return counts
    require_rebinnable(have, want, beam_kev)
    edges = (1000 * want.edges_kev - 1000 * have.edges_kev[0]) / have.width_ev  # in channels of `have`
    edges = edges.clip(0, have.channels)
    whole = np.rint(edges)
    aligned = bool(np.abs(edges - whole).max() < ALIGNED)
    integers = aligned and np.issubdtype(counts.dtype, np.integer)
    found = np.empty((*counts.shape[:-1], want.channels), dtype=np.int64 if integers else np.float64)
    flat, out = counts.reshape(-1, have.channels), found.reshape(-1, want.channels)
    summed = np.zeros((min(len(flat), TOGETHER), have.channels + 1), dtype=found.dtype)
    first = np.minimum(edges, have.channels - 1).astype(np.int64)
    share = edges - first
    for start in range(0, len(flat), TOGETHER):
        part = flat[start : start + TOGETHER]
        sums = summed[: len(part)]
        np.cumsum(part, axis=-1, out=sums[:, 1:], dtype=sums.dtype)
        if aligned:
            below = sums[:, whole.astype(np.int64)]
        else:
            below = sums[:, first] * (1 - share) + sums[:, first + 1] * share
        np.subtract(below[:, 1:], below[:, :-1], out=out[start : start + len(part)])
    return found
