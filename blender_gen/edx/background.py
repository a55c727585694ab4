"""Bremsstrahlung, absorbed on its way out: Kramers' law, or tabulated cross-sections along the electron's way.

Sources: Kramers 1923 with the constant of Goldstein et al. 2018, Scanning Electron Microscopy and X-Ray Microanalysis;
cross-sections, `bremsstrahlung_table`.
"""

from functools import cache, lru_cache

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from blender_gen.edx.attenuation import attenuation
from blender_gen.edx.bremsstrahlung_table import ATOMIC_NUMBERS, CROSS_SECTIONS, ELECTRON_KEV, PHOTON_SHARE
from blender_gen.edx.depth_distribution import depth_distribution
from blender_gen.edx.emission import NODES, WEIGHTS, backscatter_factor, stopping_power
from blender_gen.phases import AVOGADRO, REST_KEV, Material
from semforge.spectra.lines import SOFTEST_KEV, atomic_number, atomic_weight

KRAMERS = 2.2e-6  # photons a beam electron and keV, into all directions
MILLIBARN_CM2 = 1e-27
PLACES = 40  # photon energies at which the cross-sections are integrated


def bremsstrahlung(
    material: Material, beam_kev: float, way_out: float, energies_kev: np.ndarray, continuum: str = "kramers"
) -> np.ndarray:
    """Photons a beam electron and keV that leave towards the detector, as if into all directions.

    None from the beam's energy on. `way_out` as in `emission.emitted`; `continuum` is kramers or seltzer_berger.
    """
    result = np.zeros_like(energies_kev)
    inside = (energies_kev >= SOFTEST_KEV) & (energies_kev < beam_kev * 0.9999)
    energies = energies_kev[inside]
    if energies.size == 0:
        return result
    depths = depth_distribution(material, beam_kev, energies, np.full(energies.shape, 0.86))
    chi = attenuation(material, energies) * way_out
    left = depths.emitted(chi) / depths.emitted(np.zeros(1))
    made = KRAMERS * material.mean_atomic_number * (beam_kev - energies) / energies
    if continuum == "seltzer_berger":
        made = made * np.interp(np.log(energies), *over_kramers(material, beam_kev))
    result[inside] = made * left
    return result


@lru_cache(maxsize=1024)
def over_kramers(material: Material, beam_kev: float) -> tuple[np.ndarray, np.ndarray]:
    """Photons of a thick target, backscattered electrons gone, over those of Kramers' law, by ln of the energy in keV.

    Sum over elements of N_A (c/A) times the integral of the cross-section over the stopping power, times R.
    """
    photons = np.geomspace(SOFTEST_KEV, 0.999 * beam_kev, PLACES)
    half = (beam_kev - photons) / 2
    electrons = photons[:, None] + half[:, None] * (NODES + 1)
    beta2 = 1 - (1 + electrons / REST_KEV) ** -2
    way = half[:, None] * WEIGHTS / (stopping_power(material, electrons) * beta2 * photons[:, None])
    share = photons[:, None] / electrons
    made = np.zeros(PLACES)
    for element, fraction in material.mass_fractions:
        z = atomic_number(element)
        sections = _table(z)((share, np.log(np.clip(electrons, ELECTRON_KEV[0], ELECTRON_KEV[-1]))))
        made += AVOGADRO * fraction / atomic_weight(element) * z**2 * MILLIBARN_CM2 * (sections * way).sum(axis=1)
    left = np.array([backscatter_factor(material, beam_kev, photon) for photon in photons])
    return np.log(photons), made * left / (KRAMERS * material.mean_atomic_number * (beam_kev - photons) / photons)


@cache
def _table(atomic_number: int) -> RegularGridInterpolator:
    """Cross-sections of an element by k/T and ln T; those of oxygen and gold for what lies beyond."""
    place = np.interp(np.log(atomic_number), np.log(ATOMIC_NUMBERS), np.arange(len(ATOMIC_NUMBERS)))
    low = min(int(place), len(ATOMIC_NUMBERS) - 2)
    share = place - low
    values = (1 - share) * CROSS_SECTIONS[low] + share * CROSS_SECTIONS[low + 1]
    return RegularGridInterpolator((PHOTON_SHARE, np.log(ELECTRON_KEV)), values)
