"""Materials and what electrons do in them.

Sources: backscatter coefficient of elements, Hunger & Küchler 1979 (phys. stat. sol. (a) 56,
K45); of compounds, mass-fraction mixing, Castaing 1960; electron range, Kanaya & Okayama
1972 (10.1088/0022-3727/5/1/308).
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import yaml

VOID = "void"  # the recipe's word for emptiness: a pore or an open crack


@dataclass(frozen=True)
class Material:
    """A chemical phase: mass fractions by element symbol (sum 1) and density."""

    name: str
    mass_fractions: tuple[tuple[str, float], ...]
    density_g_cm3: float

    @property
    def mean_atomic_number(self) -> float:
        """Mass-weighted mean Z."""
        return sum(c * _elements()[e][0] for e, c in self.mass_fractions)

    @property
    def mean_atomic_weight(self) -> float:
        """Mass-weighted mean atomic weight in g/mol."""
        return sum(c * _elements()[e][1] for e, c in self.mass_fractions)

    def backscatter_coefficient(self, beam_kev: float) -> float:
        """Backscattered electrons per beam electron at normal incidence, 0 to 1."""
        return sum(c * element_backscatter(_elements()[e][0], beam_kev) for e, c in self.mass_fractions)

    def range_um(self, beam_kev: float) -> float:
        """Kanaya-Okayama range R = 0.0276 A E^1.67 / (Z^0.89 rho) in µm."""
        return 0.0276 * self.mean_atomic_weight * beam_kev**1.67 / (self.mean_atomic_number**0.89 * self.density_g_cm3)


def element_backscatter(atomic_number: int, beam_kev: float) -> float:
    """Hunger & Küchler: eta = E^m C with m and C polynomials in Z. Valid for Z >= 5, tolerable for H."""
    log_z = math.log(atomic_number)
    exponent = 0.1382 - 0.9211 / math.sqrt(atomic_number)
    factor = 0.1904 - 0.2236 * log_z + 0.1292 * log_z**2 - 0.01491 * log_z**3
    return beam_kev**exponent * factor


def materials() -> dict[str, Material]:
    """All materials that a recipe may name."""
    return _materials()


def void_mask(phase: np.ndarray, phase_materials: Sequence[str]) -> np.ndarray:
    """Where a map of phase ids (H, W) shows emptiness: (H, W) bool."""
    return np.isin(phase, [i for i, name in enumerate(phase_materials) if name == VOID])


def parse_formula(formula: str) -> dict[str, float]:
    """Mass fractions of a formula such as 'Fe2Al5'.

    Raises ValueError on an unknown element or text that is no formula.
    """
    parts = re.findall(r"([A-Z][a-z]?)(\d*\.?\d*)", formula)
    if not parts or "".join(e + n for e, n in parts) != formula:
        raise ValueError(f"{formula!r} is not a chemical formula")
    masses: dict[str, float] = {}
    for element, count in parts:
        if element not in _elements():
            raise ValueError(f"{formula!r}: element {element!r} is not in elements.yaml")
        masses[element] = masses.get(element, 0.0) + float(count or 1) * _elements()[element][1]
    return _normalised(masses)


def _normalised(masses: dict[str, float]) -> dict[str, float]:
    total = sum(masses.values())
    return {element: mass / total for element, mass in masses.items()}


@cache
def _elements() -> dict[str, tuple[int, float]]:
    return {symbol: (int(z), float(a)) for symbol, (z, a) in _asset("elements.yaml").items()}


@cache
def _materials() -> dict[str, Material]:
    table = {}
    for name, entry in _asset("materials.yaml").items():
        fractions = parse_formula(entry["formula"]) if "formula" in entry else _normalised(entry["mass_percent"])
        table[name] = Material(name, tuple(fractions.items()), float(entry["density"]))
    return table


def _asset(name: str) -> dict:
    return yaml.safe_load((files("blender_gen") / "assets" / name).read_text(encoding="utf-8"))
