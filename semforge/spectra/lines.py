"""Characteristic X-ray lines of the elements: energies, relative intensities, edges and yields, from xraylib.

Sources: xraylib (Schoonjans et al. 2011, 10.1016/j.sab.2011.09.011) and what it collects: energies of lines, radiative
rates, fluorescence yields, Coster-Kronig probabilities and edges.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import xraylib

from semforge.errors import InputError

SHELLS = ("K", "L1", "L2", "L3", "M1", "M2", "M3", "M4", "M5")
SOFTEST_KEV = 0.1  # what lies below no window lets through, and no table holds
RAREST = 1e-4  # radiative share of a shell's vacancies below which a line is left out
# Siegbahn's names of the transitions that matter; the others carry their IUPAC names
_SIEGBAHN = {
    "KL2": "Kα", "KL3": "Kα", "KM2": "Kβ", "KM3": "Kβ", "KM4": "Kβ", "KM5": "Kβ", "KN2": "Kβ", "KN3": "Kβ",
    "KO": "Kβ",
    "L3M5": "Lα", "L3M4": "Lα", "L2M4": "Lβ1", "L3N5": "Lβ2", "L3N4": "Lβ2", "L1M3": "Lβ3", "L1M2": "Lβ4",
    "L2N4": "Lγ1",
    "L3M1": "Ll", "L2M1": "Lη", "M5N7": "Mα", "M5N6": "Mα", "M4N6": "Mβ", "M3N5": "Mγ", "M5N3": "Mζ", "M4N2": "Mζ",
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One line as a detector of 100 eV sees it: what no such detector separates (Kα1, Kα2) is one."""

    element: str
    name: str  # "Fe Kα"
    energy_kev: float  # mean over the transitions in it
    weight: float  # share of the photons that a vacancy of its shell gives, 0 to 1
    shell: str  # where the vacancy was: K, L1 to L3, M1 to M5


def atomic_number(element: str) -> int:
    """Z of an element's symbol. Raises InputError if it is none."""
    try:
        return int(xraylib.SymbolToAtomicNumber(element))
    except ValueError as error:
        raise InputError(f"{element!r} is not a chemical element, expected a symbol such as Fe") from error


@cache
def atomic_weight(element: str) -> float:
    """Standard atomic weight in g/mol."""
    return float(xraylib.AtomicWeight(atomic_number(element)))


@cache
def edge_kev(element: str, shell: str) -> float | None:
    """Binding energy of a shell in keV, None where the element has no such shell."""
    return _value(xraylib.EdgeEnergy, atomic_number(element), getattr(xraylib, f"{shell}_SHELL"))


@cache
def fluorescence_yield(element: str, shell: str) -> float:
    """Photons per vacancy of a shell, Coster-Kronig transitions left out; 0 where not known."""
    return _value(xraylib.FluorYield, atomic_number(element), getattr(xraylib, f"{shell}_SHELL")) or 0.0


@cache
def coster_kronig(element: str, transition: str) -> float:
    """Probability that a vacancy moves to another subshell ("L23": from L2 to L3); 0 where not known."""
    number = getattr(xraylib, f"F{transition}_TRANS")
    return _value(xraylib.CosKronTransProb, atomic_number(element), number) or 0.0


def lines_of(element: str, beam_kev: float | None = None) -> tuple[Line, ...]:
    """Lines of an element from 0.1 keV on, by energy; with a beam, those alone whose edges lie below it.

    Raises InputError if there is no such element.
    """
    lines = _all_lines(element)
    if beam_kev is None:
        return lines
    return tuple(line for line in lines if (edge_kev(element, line.shell) or 0.0) < beam_kev)


def likely_labels(
    elements: Iterable[str], beam_kev: float, first_kev: float = SOFTEST_KEV, last_kev: float | None = None
) -> tuple[Line, ...]:
    """What a plot names: of each element the strongest line of each family (K, L, M) that the beam excites well.

    Of K, L and M of an element the softer ones are left out where a harder one shows all of it: L below calcium, M
    beside L that the beam excites twofold. Sorted by energy.
    """
    last_kev = last_kev or beam_kev
    labels: list[Line] = []
    for element in elements:
        families: dict[str, Line] = {}
        for line in lines_of(element, beam_kev / 1.2):
            if first_kev <= line.energy_kev <= last_kev:
                kept = families.get(line.shell[0])
                if kept is None or _strength(line) > _strength(kept):
                    families[line.shell[0]] = line
        if "K" in families and atomic_number(element) < 22:
            families = {"K": families["K"]}
        if "L" in families and families["L"].energy_kev > 1.5:
            families.pop("M" if _overvoltage(families["L"], beam_kev) >= 2 or "M" not in families else "L", None)
        labels += families.values()
    return tuple(sorted(labels, key=lambda line: line.energy_kev))


def _overvoltage(line: Line, beam_kev: float) -> float:
    return beam_kev / (edge_kev(line.element, line.shell) or beam_kev)


def _strength(line: Line) -> float:
    return line.weight * fluorescence_yield(line.element, line.shell) * (2 if line.shell[-1] in "K35" else 1)


@cache
def _all_lines(element: str) -> tuple[Line, ...]:
    z = atomic_number(element)
    merged: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for transition, number in _TRANSITIONS.items():
        shell = transition[:1] if transition[0] == "K" else transition[:2]
        rate, energy = _value(xraylib.RadRate, z, number), _value(xraylib.LineEnergy, z, number)
        if rate and energy and rate > RAREST and energy >= SOFTEST_KEV and edge_kev(element, shell):
            merged.setdefault((shell, _SIEGBAHN.get(transition, transition)), []).append((energy, rate))
    lines = [
        Line(element, f"{element} {name}", sum(e * r for e, r in parts) / sum(r for _, r in parts),
             sum(r for _, r in parts), shell)
        for (shell, name), parts in merged.items()
    ]  # fmt: skip
    return tuple(sorted(lines, key=lambda line: line.energy_kev))


def _value(function, *arguments) -> float | None:  # type: ignore[no-untyped-def]
    """What xraylib knows; it raises ValueError for what an element does not have."""
    try:
        return float(function(*arguments)) or None
    except ValueError:
        return None


def _transitions() -> dict[str, int]:
    """Transitions to the K, L and M shells, by name: KL3, L3M5, M5N7."""
    names = (name.removesuffix("_LINE") for name in dir(xraylib) if name.endswith("_LINE"))
    wanted = ((n, n[:1] if n[0] == "K" else n[:2]) for n in names)
    return {
        n: getattr(xraylib, f"{n}_LINE")
        for n, shell in wanted
        if shell in SHELLS and n[len(shell) :][:1] in tuple("LMNO") and n[len(shell) :][:1] != shell[:1]
        and (len(n) > len(shell) + 1 or n == "KO")
    }  # fmt: skip


_TRANSITIONS = _transitions()
