"""Characteristic photons: how many a beam electron makes, and how many leave towards the detector.

Sources: ionisation, Bethe with the constants of Powell 1976; stopping power, Joy & Luo 1989; what backscattered
electrons take with them, Love & Scott 1978 (10.1088/0022-3727/11/10/002); yields and rates, xraylib; depths, see
`depth_distribution`.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from blender_gen.edx.attenuation import attenuation
from blender_gen.edx.depth_distribution import depth_distribution, exponent_of
from blender_gen.edx.fluorescence import enhancement
from blender_gen.phases import AVOGADRO, Material
from semforge.errors import InputError
from semforge.spectra.lines import (
    SHELLS,
    Line,
    atomic_number,
    atomic_weight,
    coster_kronig,
    edge_kev,
    fluorescence_yield,
    lines_of,
)

ELECTRONS = {"K": 2, "L1": 2, "L2": 2, "L3": 4, "M1": 2, "M2": 2, "M3": 4, "M4": 4, "M5": 6}
BETHE = {"K": 0.9, "L": 0.75, "M": 0.6}  # b_s; within 15 %
CROSS_SECTION = 6.51e-20  # cm2 keV2
NODES, WEIGHTS = np.polynomial.legendre.leggauss(24)  # of the integral along the electron's way


@dataclass(frozen=True)
class Generated:
    """Lines of a material under a beam, and what is made of each."""

    lines: tuple[Line, ...]
    photons: np.ndarray  # a beam electron, into all directions, none absorbed
    edges_kev: np.ndarray  # of the shells of the lines
    exponents: np.ndarray

    @property
    def energies_kev(self) -> np.ndarray:
        return np.array([line.energy_kev for line in self.lines])


def stopping_power(material: Material, energies_kev: np.ndarray) -> np.ndarray:
    """Joy & Luo: energy loss in keV cm2/g, positive."""
    total = np.zeros_like(np.asarray(energies_kev, dtype=float))
    for element, c in material.mass_fractions:
        z = atomic_number(element)
        potential = 11.5e-3 * z if z < 13 else (9.76 * z + 58.5 * z**-0.19) * 1e-3
        total += c * z / atomic_weight(element) * np.log(1.166 * (energies_kev + 0.85 * potential) / potential)
    return 78500 / energies_kev * total


def ionisations(material: Material, element: str, shell: str, beam_kev: float) -> float:
    """Vacancies of a shell that a beam electron makes if none comes back: (N_A c/A) times the integral of Q/S."""
    edge = edge_kev(element, shell)
    if edge is None or edge >= beam_kev:
        return 0.0
    half = np.log(beam_kev / edge) / 2
    energies = edge * np.exp(half * (NODES + 1))  # even steps in ln E: the cross-section rises there
    q = _cross_section(shell, edge, energies)
    fraction = dict(material.mass_fractions).get(element, 0.0)
    along = (q / stopping_power(material, energies) * energies * WEIGHTS).sum() * half
    return float(AVOGADRO * fraction / atomic_weight(element) * along)


def film_photons(material: Material, beam_kev: float, mass_g_cm2: float) -> np.ndarray:
    """Photons a beam electron of each line of `generated` in a free film of a mass thickness in g/cm2."""
    made = generated(material, beam_kev)
    fractions = dict(material.mass_fractions)
    photons = []
    for line, edge in zip(made.lines, made.edges_kev, strict=True):
        q = _cross_section(line.shell, edge, beam_kev)
        atoms = AVOGADRO * fractions[line.element] / atomic_weight(line.element) * mass_g_cm2
        photons.append(atoms * q * fluorescence_yield(line.element, line.shell) * line.weight)
    return np.array(photons)


def _cross_section(shell: str, edge: float, energies: np.ndarray | float) -> np.ndarray:
    """Bethe: ionisation cross-section of a shell in cm2."""
    return CROSS_SECTION * ELECTRONS[shell] * BETHE[shell[0]] * np.log(energies / edge) / (energies * edge)


def backscatter_factor(material: Material, beam_kev: float, edge: float) -> float:
    """Love & Scott: share of the ionisations that are left when backscattered electrons have gone, 0 to 1."""
    eta = material.backscatter_coefficient(beam_kev)
    over = beam_kev / edge
    u = np.log(over)
    i = 0.33148 * u + 0.05596 * u**2 - 0.06339 * u**3 + 0.00947 * u**4
    g = (2.87898 * u - 1.51307 * u**2 + 0.81312 * u**3 - 0.08241 * u**4) / over
    return float(1 - eta * max(i + eta * g, 0.0) ** 1.67)


def vacancies(material: Material, element: str, beam_kev: float) -> dict[str, float]:
    """Vacancies by shell a beam electron, after backscatter loss and Coster-Kronig transitions."""
    made = {}
    for shell in SHELLS:
        count = ionisations(material, element, shell, beam_kev)
        if count:
            made[shell] = count * backscatter_factor(material, beam_kev, edge_kev(element, shell) or 0.0)
    for family, number in (("L", 3), ("M", 5)):
        for giver in range(1, number):
            for taker in range(giver + 1, number + 1):
                moved = coster_kronig(element, f"{family}{giver}{taker}")
                if moved and f"{family}{giver}" in made and f"{family}{taker}" in made:
                    made[f"{family}{taker}"] += moved * made[f"{family}{giver}"]
    return made


@lru_cache(maxsize=1024)
def generated(material: Material, beam_kev: float) -> Generated:
    """All lines that the beam excites in a material. Raises InputError, naming it, if there is none."""
    lines, photons = [], []
    for element, _ in material.mass_fractions:
        made = vacancies(material, element, beam_kev)
        for line in lines_of(element, beam_kev):
            if line.shell in made:
                lines.append(line)
                photons.append(made[line.shell] * fluorescence_yield(element, line.shell) * line.weight)
    if not lines:
        elements = ", ".join(element for element, _ in material.mass_fractions)
        raise InputError(
            f"{material.name}: none of its elements ({elements}) has a line that {beam_kev:g} keV excites; "
            "raise the beam energy"
        )
    edges = np.array([edge_kev(line.element, line.shell) for line in lines])
    exponents = np.array([exponent_of(line.shell, line.element) for line in lines])
    return Generated(tuple(lines), np.array(photons), edges, exponents)


def emitted(material: Material, beam_kev: float, way_out: float) -> np.ndarray:
    """Photons a beam electron of each line of `generated` that are not absorbed on the way to the detector.

    `way_out` is the length of that way over the depth: 1/sin(take-off) for a flat specimen.
    """
    made = generated(material, beam_kev)
    depths = depth_distribution(material, beam_kev, made.edges_kev, made.exponents)
    chi = attenuation(material, made.energies_kev) * way_out
    primary = made.photons * depths.emitted(chi) / depths.emitted(np.zeros(1))
    return primary * enhancement(material, made.lines, beam_kev, way_out)
