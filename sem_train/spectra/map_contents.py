"""What a map's page shows beside the map: the spectrum of each phase, and maps of the elements in them."""

import math
from collections.abc import Sequence

import numpy as np

from sem_train.classification.composition import RESOLUTION_EV, intensities
from sem_train.spectra.contents import NOT_NAMED, ShownElements, ShownSpectrum
from sem_train.spectra.named import UNCLASSIFIED
from sem_train.spectra.scenes import SpectralImage, binned
from semforge.spectra import EnergyAxis
from semforge.spectra.maps import mappable, windows

MAP_PX = 400  # longer side of an element map at most: it is shown small
MOST_MAPS = 8
TOGETHER = 3  # maps laid over each other


class PhaseSpectra:
    """Spectra of an image added up by what its pixels are named, a part after the other."""

    def __init__(self, classes: Sequence[str], axis: EnergyAxis):
        self.classes, self.axis = tuple(classes), axis
        self.counts = np.zeros((len(classes) + 1, axis.channels))  # what has no name comes last
        self.squares = np.zeros(len(classes) + 1, dtype=np.int64)  # that each is the sum of

    def add(self, counts: np.ndarray, labels: np.ndarray) -> None:
        """Counts (h, w, C) on the image's own axis, and their labels (h · w,)."""
        flat = counts.reshape(-1, counts.shape[-1])
        for label in np.unique(labels):
            inside = labels == label
            self.counts[label] += flat[inside].sum(0, dtype=np.float64)
            self.squares[label] += int(inside.sum())

    def elements(self, beam_kev: float | None) -> tuple[str, ...]:
        """What is found in the spectrum of any phase."""
        found = [e for counts in self.counts[self.squares > 0] for e in elements_in(counts, self.axis, beam_kev)]
        return tuple(dict.fromkeys(found))

    def shown(self, beam_kev: float | None, binning: int = 1) -> tuple[ShownSpectrum, ...]:
        """The spectrum of each phase that there is, the most frequent first, and last of what has no name."""
        order = [*np.argsort(-self.squares[:UNCLASSIFIED], kind="stable"), UNCLASSIFIED]
        what = "pixels" if binning == 1 else f"squares of {binning} × {binning} pixels"
        return tuple(
            ShownSpectrum(
                self.classes[k] if k != UNCLASSIFIED else NOT_NAMED, self.counts[k], self.axis, beam_kev,
                elements_in(self.counts[k], self.axis, beam_kev),
                f"sum of {self.squares[k]:,} {what}, {self.counts[k].sum():,.0f} counts",
            )
            for k in order if self.squares[k] and self.counts[k].any()
        )  # fmt: skip


def elements_in(counts: np.ndarray, axis: EnergyAxis, beam_kev: float | None) -> tuple[str, ...]:
    """The elements that a spectrum (C,) shows, by their lines."""
    return tuple(one.element for one in intensities(counts, axis, beam_kev) if one.detected)


def element_maps(image: SpectralImage, elements: Sequence[str]) -> ShownElements | None:
    """Maps of those of the elements that differ most from place to place, made small; None if none has a line.

    That is the variance of their counts over its mean, which counting alone makes the same for all. An element whose
    line lies in the window of one that differs more would be a map of that one, and is left out. The image is read once
    more, part by part.
    """
    beam_kev = image.beam_kev or image.axis.high_kev
    chosen = windows(mappable(elements, beam_kev, image.axis), beam_kev, image.axis, RESOLUTION_EV)
    if not chosen:
        return None
    size = math.ceil(max(image.shape) / MAP_PX)
    maps = np.zeros((len(chosen), *(-(-n // size) for n in image.shape)))
    for rows, columns, counts in image.blocks(size):
        where = slice(rows.start // size, -(-rows.stop // size)), slice(columns.start // size, -(-columns.stop // size))
        for number, window in enumerate(chosen):
            inside = counts[..., image.axis.channels_between(window.low_kev, window.high_kev)]
            maps[number][where] = binned(inside.sum(-1, dtype=np.float64)[..., None], size)[..., 0]
    spread = maps.var(axis=(1, 2)) / np.maximum(maps.mean(axis=(1, 2)), 1e-9)
    order: list[int] = []
    for k in np.argsort(-spread, kind="stable"):
        taken = any(chosen[i].low_kev <= chosen[k].line.energy_kev <= chosen[i].high_kev for i in order)
        if spread[k] > 0 and not taken:
            order.append(int(k))
    if not order:
        return None
    named = {chosen[k].line.name: maps[k] for k in order[:MOST_MAPS]}
    note = "Counts in a window around the line, background included" + (
        f", of squares of {size} × {size} pixels." if size > 1 else "."
    )
    pixel_um = None if image.pixel_size_um is None else image.pixel_size_um * size
    together = tuple(named)[:TOGETHER] if len(named) > 1 else ()
    return ShownElements(named, pixel_um, together, note)
