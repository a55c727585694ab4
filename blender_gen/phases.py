"""Materials and what electrons do in them.

Sources: backscatter coefficient of elements, Hunger & Küchler 1979 (phys. stat. sol. (a) 56,
K45); of compounds, mass-fraction mixing, Castaing 1960; electron range, Kanaya & Okayama
1972 (10.1088/0022-3727/5/1/308); secondary yield, Lin & Joy 2005 (10.1002/sia.2107); scattering
cross-section, Langmore & Smith 1992, Ultramicroscopy 46:349.
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
# largest secondary yield and the beam energy in keV where it lies, for a material of which they are not known:
# those of iron for a conductor, those of silica for an insulator; published values scatter by a factor of two
SECONDARY = {False: (1.3, 0.4), True: (2.5, 0.42)}
HARDNESS_GPA = 5.0  # of a material of which it is not known
AVOGADRO = 6.02214e23
REST_KEV = 511.0
BOHR_NM = 0.0529


@dataclass(frozen=True)
class Material:
    """A chemical phase: mass fractions by element symbol (sum 1) and density."""

    name: str
    mass_fractions: tuple[tuple[str, float], ...]
    density_g_cm3: float
    secondary_max: float = SECONDARY[False][0]  # largest secondary yield
    secondary_kev: float = SECONDARY[False][1]  # beam energy at which it is reached
    insulator: bool = False
    hardness_gpa: float = HARDNESS_GPA

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

    def secondary_yield(self, beam_kev: float) -> float:
        """Secondary electrons per beam electron at normal incidence, those of backscattered electrons included.

        Lin & Joy: delta = delta_m 1.28 (E/E_m)^-0.67 [1 - exp(-1.614 (E/E_m)^1.67)].
        """
        u = beam_kev / self.secondary_kev
        return self.secondary_max * 1.28 * u**-0.67 * (1 - math.exp(-1.614 * u**1.67))

    def mass_thickness_um(self, beam_kev: float, aperture_mrad: float) -> float:
        """Thickness in µm that lets 1/e of the electrons pass without an elastic deflection beyond an angle.

        Elastic cross-section of an atom (Langmore & Smith 1992) 1.4e-6 Z^1.5/beta^2 [1 - 0.26 Z/(137 beta)] nm^2;
        the share beyond the angle a (Lenz 1954) 1/[1 + (a/a0)^2], a0 = wavelength Z^(1/3)/(2 pi a_H).
        """
        rate_per_um = sum(
            c / _elements()[e][1] * elastic_cross_section_nm2(_elements()[e][0], beam_kev, aperture_mrad)
            for e, c in self.mass_fractions
        )  # mol/g nm^2
        return 1 / (rate_per_um * AVOGADRO * self.density_g_cm3 * 1e-14 * 1e-4)


def elastic_cross_section_nm2(atomic_number: int, beam_kev: float, beyond_mrad: float) -> float:
    """Cross-section of an atom for elastic scattering by more than an angle; see `Material.mass_thickness_um`."""
    beta2 = 1 - (1 + beam_kev / REST_KEV) ** -2
    total = 1.4e-6 * atomic_number**1.5 / beta2 * (1 - 0.26 * atomic_number / (137 * math.sqrt(beta2)))
    wavelength_nm = 1.226426 / math.sqrt(beam_kev * 1e3 * (1 + beam_kev / (2 * REST_KEV)))
    screening_rad = wavelength_nm * atomic_number ** (1 / 3) / (2 * math.pi * BOHR_NM)
    return total / (1 + (beyond_mrad * 1e-3 / screening_rad) ** 2)


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
        insulator = bool(entry.get("insulator", False))
        largest, kev = entry.get("secondary", SECONDARY[insulator])
        table[name] = Material(
            name, tuple(fractions.items()), float(entry["density"]), float(largest), float(kev), insulator,
            float(entry.get("hardness", HARDNESS_GPA)),
        )  # fmt: skip
    return table


def _asset(name: str) -> dict:
    return yaml.safe_load((files("blender_gen") / "assets" / name).read_text(encoding="utf-8"))
