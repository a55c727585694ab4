"""Counts of expected spectra: Poisson noise, last and exact.

A picture of spectra is mostly zeros at the doses that maps are taken with. So photons are drawn, not channels: a
Poisson number for each phase of each pixel, then a channel for each photon. Channels that hold many counts are drawn
one by one instead. Both give independent Poisson counts in every channel of every pixel, since a Poisson number of
photons that each choose a channel are Poisson numbers in the channels.
"""

import numpy as np
from numpy.typing import DTypeLike

TABLE = 1 << 16  # entries of a phase's table of channels: a photon's channel is one entry, picked at random
CROWDED = 12.0  # mean counts in a channel above which drawing the channel is faster than drawing its photons
BLOCK = 1 << 18  # counts that are put together at a time, few enough to stay in a processor's cache
UNSEEN = 12.0  # standard deviations above the mean that no count ever reaches


def noisy(expected: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Counts uint32 around expected ones of any shape. Raises ValueError if one is negative or not finite."""
    _check(expected)
    return rng.poisson(expected).astype(np.uint32)


def simulate_image(
    shares: np.ndarray, expected: np.ndarray, rng: np.random.Generator, dtype: DTypeLike = np.uint16
) -> np.ndarray:
    """Counts (H, W, C) of a picture whose pixels are mixtures.

    `shares` (H, W, P) are the parts of P phases in each pixel, 0 or more, of any sum; `expected` (P, C) the counts
    that a pixel of each phase alone would have on average. Counts depend on the generator alone, not on threads.

    Raises ValueError if shares or expectations are negative or not finite, do not fit together, or if a count does
    not fit `dtype`.
    """
    height, width, phases = shares.shape
    if expected.ndim != 2 or len(expected) != phases:
        raise ValueError(f"shares of {phases} phases do not fit expected counts of shape {expected.shape}")
    _check(expected)
    _check(shares)
    channels = expected.shape[1]
    parts = shares.reshape(-1, phases)
    # no matrix products: they sum in another order on another number of threads
    mean = np.einsum("p,pc->c", parts.mean(axis=0, dtype=np.float64), expected)
    crowded = np.flatnonzero(mean > CROWDED)
    single = expected.astype(np.float64)
    single[:, crowded] = 0
    photons = _Photons(single)
    room = np.iinfo(dtype).max
    most = float(parts.max(initial=0)) * phases * float(expected.sum(axis=1).max(initial=0))
    counts = np.empty((len(parts), channels), dtype=dtype)
    step = max(BLOCK // channels, 1)
    for start in range(0, len(parts), step):
        part = parts[start : start + step]
        block = photons.drawn(part, rng).reshape(len(part), channels)
        if len(crowded):
            block[:, crowded] = rng.poisson(np.einsum("np,pc->nc", part, expected[:, crowded], dtype=np.float64))
        if most + UNSEEN * np.sqrt(most) > room and block.max(initial=0) > room:
            raise ValueError(f"a channel of a pixel has {block.max()} counts, {np.dtype(dtype).name} holds {room}")
        counts[start : start + step] = block
    return counts.reshape(height, width, channels)


class _Photons:
    """Draws the channels of photons of several phases, with the exact probabilities.

    Most of the probability of each phase lies in a table of equal entries; what their number cannot express is drawn
    from the distribution itself.
    """

    def __init__(self, expected: np.ndarray):
        self._channels = expected.shape[1]
        totals = expected.sum(axis=1)
        probability = expected / np.where(totals > 0, totals, 1)[:, None]
        entries = np.floor(probability * TABLE).astype(np.int64)
        self._size = int(entries.sum(axis=1)[totals > 0].min(initial=TABLE))  # the same for all: shorten the others
        for row in entries:
            surplus = row.sum() - self._size
            while surplus > 0:
                largest = int(row.argmax())
                taken = min(surplus, max(int(row[largest]) // 2, 1))
                row[largest] -= taken
                surplus -= taken
        every = np.arange(self._channels, dtype=np.int32)
        empty = np.zeros(self._size, dtype=np.int32)
        self._table = np.concatenate([np.repeat(every, row) if row.any() else empty for row in entries])
        rest = np.clip(probability - entries / TABLE, 0, None)
        self._in_table = totals * (self._size / TABLE)
        self._outside = totals * np.where(totals > 0, rest.sum(axis=1), 0)
        # the phases' distributions one after the other, each a unit long
        cumulated = np.cumsum(rest, axis=1)
        last = np.where(cumulated[:, -1:] > 0, cumulated[:, -1:], 1)
        self._distribution = (cumulated / last + np.arange(len(expected))[:, None]).ravel()

    def drawn(self, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Counts (n · C,) int64 of n pixels with shares (n, P) of the phases."""
        pixel, phase = np.nonzero(shares)
        share = shares[pixel, phase].astype(np.float64)
        first = pixel * self._channels
        number = rng.poisson(share * self._in_table[phase])
        entry = rng.integers(0, self._size, size=int(number.sum()), dtype=np.uint32)
        entry += np.repeat((phase * self._size).astype(np.uint32), number)
        places = self._table.take(entry) + np.repeat(first, number)
        counts = np.bincount(places, minlength=len(shares) * self._channels)
        number = rng.poisson(share * self._outside[phase])
        of = np.repeat(phase, number)
        channel = np.searchsorted(self._distribution, of + rng.uniform(size=len(of)), side="right")
        channel = np.minimum(channel - of * self._channels, self._channels - 1)
        np.add.at(counts, channel + np.repeat(first, number), 1)
        return counts


def _check(values: np.ndarray) -> None:
    if not np.isfinite(values).all() or values.min(initial=0) < 0:
        raise ValueError("expected counts and shares must be finite and not negative")
