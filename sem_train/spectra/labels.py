"""Which lines of a spectrum are named in a figure, and where their names stand without covering each other."""

from collections.abc import Iterable, Sequence

import numpy as np
from sklearn.isotonic import IsotonicRegression

from semforge.spectra import EnergyAxis
from semforge.spectra.axis import LOWEST_KEV
from semforge.spectra.lines import Line, edge_kev, likely_labels, lines_of

SEEN_SIGMA = 3.0  # net counts of a peak over their standard deviation, from which it is one
SEEN_SHARE = 0.1  # of the background below a peak, from which it is worth a name
FAINTEST = 1e-4  # of the highest channel
MN_KEV, SI_FANO_EV2 = 5.895, 2500.0  # of the detector's resolution: width² grows by 2.5 eV² for each eV
SUMMIT_WITHIN = 0.4  # widths that the top of a peak may lie off its line: calibrations differ ...
SOFT_KEV, SOFT_WITHIN = 0.4, 0.7  # ... more so where detectors lose part of the charge
OVERVOLTAGE = 1.8  # of the beam over the K edge, from which K lines are as strong as L lines or stronger
BETA_APART = 1.2  # widths that Kβ must lie off Kα to be named by itself


def width_kev(energy_kev: float, resolution_ev: float = 130.0) -> float:
    """Full width at half maximum of a line in keV, in a detector of that resolution at Mn Kα (Fiori and Newbury)."""
    squared = resolution_ev**2 + SI_FANO_EV2 * (energy_kev - MN_KEV)
    return float(np.sqrt(max(squared, 40.0**2)) / 1000)


def seen_lines(
    counts: np.ndarray, axis: EnergyAxis, elements: Iterable[str], beam_kev: float | None = None
) -> tuple[Line, ...]:
    """The lines worth naming: of each element the strongest of each family, and Kβ by itself, if there is a peak.

    An element none of whose families has a peak is left out, although somebody named it; so is one that shows L lines
    and no K lines where the beam excites these well. Sorted by energy.
    """
    beam = beam_kev or axis.high_kev
    candidates = {
        line.name: line for line in likely_labels(elements, beam, max(LOWEST_KEV, axis.low_kev), axis.high_kev)
    }
    for line in list(candidates.values()):
        if line.shell == "K":
            candidates |= {beta.name: beta for beta in lines_of(line.element, beam) if _is_apart(beta, line)}
    found = [line for line in candidates.values() if axis.covers(line.energy_kev) and is_peak(counts, axis, line)]
    families = {(line.element, line.shell[0]) for line in found if not line.name.endswith("Kβ")}
    kept = (
        line for line in found
        if ((line.element, "K") in families or not line.name.endswith("Kβ"))
        and ((line.element, "K") in families or line.shell == "K" or not _must_show_k(line.element, axis, beam))
    )  # fmt: skip
    return tuple(sorted(kept, key=lambda line: line.energy_kev))


def is_peak(counts: np.ndarray, axis: EnergyAxis, line: Line) -> bool:
    """Whether the counts have a maximum at a line, and rise there above the background beside it.

    What lies on the shoulder of another peak is none. Two lines that share a peak both are.
    """
    width = width_kev(line.energy_kev)
    at = lambda low, high: counts[axis.channels_between(line.energy_kev + low * width, line.energy_kev + high * width)]
    middle, left, right = at(-0.6, 0.6), at(-1.9, -1.2), at(1.2, 1.9)
    sides = [float(np.mean(side)) for side in (left, right) if len(side)]
    if not len(middle) or not sides or not _has_summit(counts, axis, line.energy_kev, width):
        return False
    # a neighbour on one side is no background: the lower side is, unless both are near each other
    below = min(sides) if max(sides) > 1.5 * min(sides) + 1 else float(np.mean(sides))
    net = float(middle.sum()) - below * len(middle)
    if net <= SEEN_SHARE * below * len(middle) or net <= FAINTEST * float(counts.max()):
        return False
    if not np.array_equal(middle, np.rint(middle)):
        return True  # expected counts do not scatter
    return net > SEEN_SIGMA * np.sqrt(max(float(middle.sum()) + below * len(middle), 1.0))


def spread(wanted: Sequence[float], apart: float, low: float, high: float) -> np.ndarray:
    """Places between `low` and `high`, in order and at least `apart` from each other, as near as can be to `wanted`.

    `wanted` rises. Raises ValueError if there is no room for so many.
    """
    steps = apart * np.arange(len(wanted))
    if len(wanted) and steps[-1] > high - low:
        raise ValueError(f"{len(wanted)} labels do not fit into {high - low}")
    if not len(wanted):
        return np.zeros(0)
    fit = IsotonicRegression(y_min=low, y_max=high - steps[-1])
    return fit.fit_transform(np.arange(len(wanted)), np.asarray(wanted) - steps) + steps


def _must_show_k(element: str, axis: EnergyAxis, beam_kev: float) -> bool:
    """Whether the beam excites an element's K lines so well that its L lines cannot be there alone."""
    edge = edge_kev(element, "K")
    alphas = [line.energy_kev for line in lines_of(element) if line.name.endswith("Kα")]
    return edge is not None and beam_kev > OVERVOLTAGE * edge and all(axis.covers(energy) for energy in alphas)


def _has_summit(counts: np.ndarray, axis: EnergyAxis, energy_kev: float, width: float) -> bool:
    """Whether counts, smoothed over half a line, have their highest value within reach near its middle."""
    channels = max(1, round(500 * width / axis.width_ev))
    within = (SOFT_WITHIN if energy_kev < SOFT_KEV else SUMMIT_WITHIN) * width
    beyond = within + 0.4 * width  # far enough to see that counts go on rising towards another peak
    reach = axis.channels_between(energy_kev - beyond, energy_kev + beyond)
    start, stop = max(reach.start - channels, 0), min(reach.stop + channels, axis.channels)
    smooth = np.convolve(np.asarray(counts[start:stop], dtype=float), np.ones(channels) / channels, mode="same")
    near = smooth[reach.start - start : reach.stop - start]
    summit = axis.energies_kev[reach][int(np.argmax(near))]
    return bool(abs(summit - energy_kev) <= within)


def _is_apart(beta: Line, alpha: Line) -> bool:
    far = beta.energy_kev - alpha.energy_kev > BETA_APART * width_kev(alpha.energy_kev)
    return far and beta.shell == "K" and beta.name.endswith("Kβ")
