"""Point spectra by name: the likeliest classes, how strange the spectrum is, and the lines that decided."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from sem_train.spectra.model import SpectralModel
from sem_train.spectra.named import UNCLASSIFIED
from sem_train.spectra.network import spectra_input
from semforge.errors import naming
from semforge.spectra import Spectrum, read_spectrum, total_counts
from semforge.spectra.lines import Line, lines_of

BEST = 3
PATH_STEPS = 32  # of the integral along the way from the known mean to the spectrum
LINES = 6  # named, at most
ELEMENTS = (
    "C", "N", "O", "F", "Na", "Mg", "Al", "Si", "P", "S", "Cl", "K", "Ca", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni",
    "Cu", "Zn", "Br", "Sr", "Y", "Zr", "Nb", "Mo", "Ag", "Sn", "Ba", "La", "Ce", "Yb", "Ta", "W", "Pt", "Au", "Pb",
)  # fmt: skip
BAND_EV = 100.0


@dataclass(frozen=True)
class Decider:
    """A stretch of energies that spoke for the class, or against it."""

    low_kev: float
    high_kev: float
    weight: float  # of the evidence, 1 for the strongest; below 0 against the class
    line: str  # that lies there, else the energy
    missing: bool = False  # weaker than in the mean of all classes: that it is missing spoke for the class

    def describe(self) -> str:
        """For people: `Ca Kα`, or `no Fe Kα`."""
        return f"no {self.line}" if self.missing else self.line


@dataclass(frozen=True)
class NamedSpectrum:
    """One spectrum and what the network says of it."""

    path: Path
    spectrum: Spectrum
    best: tuple[tuple[str, float], ...]  # class and probability, the best first
    name: str | None  # None where it stays unclassified
    why: str  # empty for a named spectrum
    distance: float  # above 1: like none of the classes
    counts: float
    deciders: tuple[Decider, ...]
    note: str | None = None


def name_files(model: SpectralModel, paths: Sequence[Path]) -> list[NamedSpectrum]:
    """Name the spectra of files. Raises InputError for one that cannot be read or rebinned to the network's axis."""
    return [name_spectrum(model, Path(path), read_spectrum(path)) for path in paths]


def name_spectrum(model: SpectralModel, path: Path, spectrum: Spectrum) -> NamedSpectrum:
    """As `name_files`, of a spectrum at hand."""
    with naming(path):
        counts = model.on_axis(spectrum.counts, spectrum.axis, spectrum.beam_kev)[None]
    named = model.named(counts)
    order = np.argsort(-named.scores[0])[:BEST]
    best = tuple((model.classes[k], float(named.scores[0, k])) for k in order)
    distance, total = float(named.distance[0]), float(total_counts(counts[0], model.axis))
    empty = spectrum.empty or total < 1
    label = UNCLASSIFIED if empty else int(named.labels[0])
    return NamedSpectrum(
        path, spectrum, () if empty else best, None if label == UNCLASSIFIED else model.classes[label],
        _why(model, 0.0 if empty else total, distance, best) if label == UNCLASSIFIED else "", distance, total,
        () if empty else deciders(model, counts[0], int(order[0])), model.beam_note(spectrum.beam_kev),
    )  # fmt: skip


def deciders(model: SpectralModel, counts: np.ndarray, of: int) -> tuple[Decider, ...]:
    """Energies that made a spectrum (C,) of class `of` rather than any other, the strongest first.

    Integrated gradients (Sundararajan et al. 2017) of the logarithm of the odds, on the way from the mean of all
    classes' spectra to this one, summed over the width of a line.
    """
    start = spectra_input(model.means.mean(0) * max(counts.sum(), 1.0)).to(model.device)
    end = spectra_input(counts.astype(np.float64)).to(model.device)
    way = torch.linspace(0.5 / PATH_STEPS, 1 - 0.5 / PATH_STEPS, PATH_STEPS, device=model.device)[:, None]
    inputs = (start + way * (end - start)).detach().requires_grad_()
    with torch.enable_grad():
        logits = model.network(inputs)
        others = [k for k in range(len(model.classes)) if k != of]
        (logits[:, of] - torch.logsumexp(logits[:, others], -1)).sum().backward()
    difference = (end - start)[: model.axis.channels].detach().cpu().numpy()
    weight = inputs.grad.mean(0)[: model.axis.channels].cpu().numpy() * difference
    width = max(1, round(BAND_EV / model.axis.width_ev))
    firsts = np.arange(0, model.axis.channels, width)
    edges = model.axis.edges_kev
    lows, highs = edges[firsts], edges[np.append(firsts[1:], model.axis.channels)]
    sums, rises = np.add.reduceat(weight, firsts), np.add.reduceat(difference, firsts)
    return _strongest([
        Decider(float(low), float(high), float(total), line_between(low, high), bool(rise < 0))
        for low, high, total, rise in zip(lows, highs, sums, rises, strict=True)
    ])  # fmt: skip


def _strongest(bands: list[Decider]) -> tuple[Decider, ...]:
    """Neighbouring bands of one line together, the strongest first, its weight 1."""
    joined: list[Decider] = []
    for band in bands:
        last = joined[-1] if joined else None
        if last is not None and (last.line, last.missing) == (band.line, band.missing):
            joined[-1] = replace(last, high_kev=band.high_kev, weight=last.weight + band.weight)
        else:
            joined.append(band)
    most = max((abs(band.weight) for band in joined), default=0.0) or 1.0
    best = sorted(joined, key=lambda band: -abs(band.weight))[:LINES]
    return tuple(replace(band, weight=band.weight / most) for band in best)


def line_between(low_kev: float, high_kev: float) -> str:
    """The line of a usual element that is most probably meant by energies, else the energies themselves."""
    middle = (low_kev + high_kev) / 2
    near = [line for element in ELEMENTS for line in lines_of(element) if abs(line.energy_kev - middle) < 0.07]
    usual: list[Line] = [line for line in near if line.weight > 0.4 and line.shell in ("K", "L3", "M5")]
    if not usual:
        return f"{middle:.2f} keV"
    return min(usual, key=lambda line: (line.shell != "K", abs(line.energy_kev - middle))).name


def _why(model: SpectralModel, total: float, distance: float, best: tuple[tuple[str, float], ...]) -> str:
    reject = model.config.reject
    if total < 1:
        return "it is empty"
    if total < reject.fewest_counts:
        return f"it has {total:.0f} counts, expected {reject.fewest_counts} at least"
    if distance > 1:
        return f"it is like none of the classes: {distance:.1f} times the distance that known ones keep to"
    return f"its best class has probability {best[0][1]:.2f}, expected {reject.lowest_confidence:g} at least"
