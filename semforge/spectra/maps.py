"""Element maps: counts in a window around a line, less the background beside it if wanted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from semforge.errors import InputError
from semforge.spectra.axis import EnergyAxis
from semforge.spectra.lines import Line, atomic_number, edge_kev, fluorescence_yield, lines_of

WELL_EXCITED = 1.5  # beam energy over the edge, from which a harder line is preferred to a softer one
WIDTH = 1.2  # of a window, in widths of the line at half its height
BESIDE = 0.6  # of each of the two windows of the background, likewise
SOFTEST_KEV = 0.15


@dataclass(frozen=True)
class Window:
    """The channels of one element's map."""

    line: Line
    low_kev: float
    high_kev: float

    def record(self) -> dict[str, object]:
        """As plain values."""
        return {"element": self.line.element, "line": self.line.name, "low_kev": self.low_kev,
                "high_kev": self.high_kev}  # fmt: skip


def mapped_line(element: str, beam_kev: float, axis: EnergyAxis) -> Line | None:
    """The line that an element is mapped by: the strongest of the hardest family that the beam excites well.

    None if the beam excites no line on the axis. Raises InputError if there is no such element.
    """
    atomic_number(element)
    families: dict[str, Line] = {}
    for line in lines_of(element, beam_kev):
        if line.energy_kev >= SOFTEST_KEV and axis.covers(line.energy_kev):
            strongest = families.get(line.shell[0])
            if strongest is None or _photons(line) > _photons(strongest):
                families[line.shell[0]] = line
    well = [line for line in families.values() if (edge_kev(element, line.shell) or 0) * WELL_EXCITED < beam_kev]
    return max(well or families.values(), key=lambda line: line.energy_kev, default=None)


def _photons(line: Line) -> float:
    """Of a line, relative to the others of its family: as many vacancies as the subshell has electrons."""
    electrons = {"K": 2, "L1": 2, "L2": 2, "L3": 4, "M1": 2, "M2": 2, "M3": 4, "M4": 4, "M5": 6}
    return line.weight * fluorescence_yield(line.element, line.shell) * electrons[line.shell]


def mappable(elements: Iterable[str], beam_kev: float, axis: EnergyAxis) -> tuple[str, ...]:
    """Those of the elements that have a line on the axis at that beam, by atomic number."""
    known = [element for element in dict.fromkeys(elements) if lines_of(element, beam_kev)]
    return tuple(sorted((e for e in known if mapped_line(e, beam_kev, axis) is not None), key=atomic_number))


def windows(elements: Sequence[str], beam_kev: float, axis: EnergyAxis, resolution_ev: float) -> tuple[Window, ...]:
    """A window for each element. Raises InputError for one without a line on the axis at that beam."""
    found = []
    for element in elements:
        line = mapped_line(element, beam_kev, axis)
        if line is None:
            raise InputError(f"elements: {element} has no line below {beam_kev:g} keV on {axis.describe()}; leave it "
                             "out or raise beam_kev")  # fmt: skip
        half = WIDTH / 2 * width_kev(line.energy_kev, resolution_ev)
        found.append(Window(line, line.energy_kev - half, line.energy_kev + half))
    return tuple(found)


def width_kev(energy_kev: float, resolution_ev: float) -> float:
    """Full width at half maximum of a line in keV: sqrt(W^2 + 2.5 (E - 5895)) eV (Fiori & Newbury 1978)."""
    return float(np.sqrt(max(resolution_ev**2 + 2.5 * (1000 * energy_kev - 5895), 30.0**2))) / 1000


def element_maps(counts: np.ndarray, chosen: Sequence[Window], axis: EnergyAxis, net: bool = False) -> np.ndarray:
    """Counts (E, H, W) uint32 in windows of spectra (H, W, C); with `net` above the background, int32.

    The background of a window is the mean of the channels on both sides of it, where there are any.
    """
    maps = np.empty((len(chosen), *counts.shape[:2]), dtype=np.int64)
    for number, window in enumerate(chosen):
        inside = axis.channels_between(window.low_kev, window.high_kev)
        maps[number] = counts[..., inside].sum(axis=-1, dtype=np.int64)
        if net:
            beside = BESIDE / WIDTH * (window.high_kev - window.low_kev)
            sides = [axis.channels_between(window.low_kev - beside, window.low_kev),
                     axis.channels_between(window.high_kev, window.high_kev + beside)]  # fmt: skip
            channels = np.concatenate([np.arange(axis.channels)[side] for side in sides])
            channels = channels[(channels < inside.start) | (channels >= inside.stop)]
            if len(channels):
                level = counts[..., channels].sum(axis=-1, dtype=np.int64) * (
                    (inside.stop - inside.start) / len(channels)
                )
                maps[number] -= np.rint(level).astype(np.int64)
    return maps.astype(np.int32 if net else np.uint32)
