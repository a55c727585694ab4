"""What a particle's spectrum says of its elements: net intensities of their lines, and each one's share of them.

They are shares of intensity (k-ratios without their standards), not concentrations: nothing is corrected for
excitation, absorption or fluorescence, and oxygen and carbon count with the few of their X-rays that come out.

Background is what peaks stand on, clipped ever more widely (SNIP: Ryan et al. 1988, 10.1016/0168-583X(88)90063-8,
on the scale LLS). What is left is a sum of families of lines (K, L or M of an element, with the ratios that the
element's vacancies give), weighed by least squares that no family may be negative in. Absorption changes the ratios of
soft L lines; what that leaves of iron's L lines looks like fluorine, so fluorine beside iron, or sodium beside zinc, is
not told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import nnls

from semforge.spectra import EnergyAxis
from semforge.spectra.lines import lines_of

ELEMENTS = ("C", "O", "F", "Na", "Mg", "Al", "Si", "P", "S", "Cl", "K", "Ca", "Ti", "Cr", "Mn", "Fe", "Ni", "Cu", "Zn",
            "Ba", "Pb")  # fmt: skip
RESOLUTION_EV = 130.0  # full width at half maximum at Mn Kα, where nothing says
MN_KA_EV = 5895.0
PER_PAIR_EV = 8 * np.log(2) * 0.115 * 3.66  # Fano's factor times eV a pair of charges in silicon
SIGNIFICANT = 3.0  # standard uncertainties; less is not detected
# of all net counts; in spectra of millions of counts what peaks and background leave looks like less
LEAST_SHARE = 0.02
HIDDEN_WITHIN = 0.5  # of a line's width: nearer to L lines of an element that K lines show, a line cannot be told ...
HIDING_KEV = 0.5  # ... from here on; softer L lines are too weak to hide carbon or nitrogen
OVERVOLTAGE = 1.1  # a beam that excites a shell less gives no lines worth fitting
LOWEST_KEV = 0.2  # below lie the noise peak and what windows swallow
HIGHEST_KEV = 12.0  # K lines beyond are weak, their elements have an L family below


@dataclass(frozen=True)
class Intensity:
    """Net counts of one element in a spectrum."""

    element: str
    family: str  # K, L or M: the lines that were fitted
    net: float  # counts of the whole family
    standard: float  # uncertainty by counting
    share: float  # of the net counts of all elements detected; 0 where it is not detected

    @property
    def detected(self) -> bool:
        """Whether it stands out by three standard uncertainties, and by more than the fit is good for."""
        return self.share > 0


def intensities(
    counts: np.ndarray,
    axis: EnergyAxis,
    beam_kev: float | None = None,
    elements: Sequence[str] = ELEMENTS,
    resolution_ev: float = RESOLUTION_EV,
) -> tuple[Intensity, ...]:
    """Net counts of elements in a spectrum (C,), those not detected included; empty for a spectrum without counts."""
    counts = np.asarray(counts, dtype=np.float64)
    if not counts.sum() > 0:
        return ()
    families, templates = _families(axis, beam_kev, tuple(elements), resolution_ev)
    if not families:
        return ()
    used = axis.channels_between(LOWEST_KEV, min(beam_kev or np.inf, HIGHEST_KEV + 1))
    floor = background(counts, axis, resolution_ev)
    deviation = np.sqrt(np.maximum(_smooth(counts, 3), 1.0))[used]
    design = (templates[:, used] / deviation).T
    net, _ = nnls(design, (counts - floor)[used] / deviation)
    covariance = np.linalg.pinv(design.T @ design)
    # a family not fitted has the uncertainty that it would have had
    standard = np.sqrt(np.maximum(np.diag(covariance), 0)) * np.sqrt(2)  # peak and what it stands on
    # softer families are there to take their counts, an element is its hardest
    first = np.array([k == 0 or families[k - 1][0] != element for k, (element, _) in enumerate(families)])
    clear = first & (net > SIGNIFICANT * standard) & (net > LEAST_SHARE * net[first].sum())
    clear &= ~_hidden(families, axis.energies_kev[templates.argmax(axis=1)], clear, resolution_ev)
    total = float(net[clear].sum())
    return tuple(
        Intensity(e, f, float(n), float(u), float(n / total) if c else 0.0)
        for (e, f), n, u, c, own in zip(families, net, standard, clear, first, strict=True)
        if own
    )


def _hidden(
    families: Sequence[tuple[str, str]], peaks_kev: np.ndarray, clear: np.ndarray, resolution_ev: float
) -> np.ndarray:
    """Which families (F,) have their peak in that of the L lines of an element whose K lines are clear."""
    shown = {element for (element, family), seen in zip(families, clear, strict=True) if seen and family == "K"}
    of_shown = np.array([family == "L" and element in shown for element, family in families])
    hiding = peaks_kev[of_shown & (peaks_kev > HIDING_KEV)]
    reach = HIDDEN_WITHIN * np.asarray(width_ev(peaks_kev, resolution_ev)) / 1000
    near = (np.abs(peaks_kev[:, None] - hiding) < reach[:, None]).any(axis=1)
    return near & np.array([family == "K" for _, family in families])


def background(counts: np.ndarray, axis: EnergyAxis, resolution_ev: float = RESOLUTION_EV) -> np.ndarray:
    """What the peaks of a spectrum (C,) stand on, (C,)."""
    smooth = _smooth(counts, max(round(0.5 * resolution_ev / axis.width_ev), 1))
    level = np.log(np.log(np.sqrt(smooth + 1) + 1) + 1)
    widest = max(round(2.2 * resolution_ev / axis.width_ev), 2)
    for reach in range(widest, 0, -1):
        padded = np.pad(level, reach, mode="edge")
        level = np.minimum(level, (padded[: -2 * reach] + padded[2 * reach :]) / 2)
    return (np.exp(np.exp(level) - 1) - 1) ** 2 - 1


def width_ev(energy_kev: float | np.ndarray, resolution_ev: float = RESOLUTION_EV) -> float | np.ndarray:
    """Full width at half maximum in eV of a line at an energy, of a detector of that resolution at Mn Kα."""
    return np.sqrt(np.maximum(resolution_ev**2 + PER_PAIR_EV * (1000 * np.asarray(energy_kev) - MN_KA_EV), 30.0**2))


@lru_cache(maxsize=16)
def _families(
    axis: EnergyAxis, beam_kev: float | None, elements: tuple[str, ...], resolution_ev: float
) -> tuple[tuple[tuple[str, str], ...], np.ndarray]:
    """Of each element the family of lines that is fitted, and its counts a channel (F, C) for one count."""
    limit = min(axis.high_kev, HIGHEST_KEV, (beam_kev or np.inf) / OVERVOLTAGE)
    found, templates = [], []
    for element in elements:
        for family in "KLM":
            lines = [
                line for line in lines_of(element, None if beam_kev is None else beam_kev / OVERVOLTAGE)
                if line.shell[0] == family and LOWEST_KEV <= line.energy_kev <= axis.high_kev
            ]  # fmt: skip
            if lines and max(lines, key=lambda line: line.weight).energy_kev <= limit:
                weights = np.array([line.weight * _vacancies(line.shell) for line in lines])
                peaks = [_peak(axis, line.energy_kev, resolution_ev) for line in lines]
                templates.append((weights / weights.sum()) @ np.array(peaks))
                found.append((element, family))
    return tuple(found), np.array(templates)


def _vacancies(shell: str) -> float:
    """Vacancies of a subshell beside the others of its shell, roughly its electrons."""
    return {"K": 1.0, "L1": 0.5, "L2": 1.0, "L3": 2.0, "M4": 2.0, "M5": 3.0}.get(shell, 0.5)


def _peak(axis: EnergyAxis, energy_kev: float, resolution_ev: float) -> np.ndarray:
    sd = float(width_ev(energy_kev, resolution_ev)) / 2.3548
    away = (1000 * (axis.energies_kev - energy_kev)) / sd
    return np.exp(-0.5 * away**2) * axis.width_ev / (sd * np.sqrt(2 * np.pi))


def _smooth(counts: np.ndarray, width: int) -> np.ndarray:
    """Mean over `width` channels either side."""
    kernel = np.ones(2 * width + 1) / (2 * width + 1)
    return np.convolve(np.pad(counts, width, mode="edge"), kernel, mode="valid")
