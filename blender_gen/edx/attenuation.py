"""What X-rays lose in matter, from xraylib's tables."""

from functools import lru_cache

import numpy as np
import xraylib

from blender_gen.phases import Material
from semforge.spectra.lines import SOFTEST_KEV, atomic_number


def attenuation(material: Material, energies_kev: np.ndarray) -> np.ndarray:
    """Mass attenuation coefficients in cm2/g, by mass fractions; below 0.1 keV that of 0.1 keV."""
    key = tuple(np.asarray(energies_kev, dtype=float).ravel().tolist())
    total = sum(c * _of_element(element, key) for element, c in material.mass_fractions)
    return np.asarray(total).reshape(np.shape(energies_kev))


def transmission(material: Material, thickness_um: float, energies_kev: np.ndarray) -> np.ndarray:
    """Share of the photons that pass a layer at right angles."""
    return np.exp(-attenuation(material, energies_kev) * material.density_g_cm3 * thickness_um * 1e-4)


@lru_cache(maxsize=2048)
def _of_element(element: str, energies_kev: tuple[float, ...]) -> np.ndarray:
    z = atomic_number(element)
    values = np.array([xraylib.CS_Total(z, max(energy, SOFTEST_KEV)) for energy in energies_kev])
    values.flags.writeable = False
    return values
