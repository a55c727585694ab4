"""Bremsstrahlung: Kramers' law, absorbed on its way out.

Source: Kramers 1923; constant as in Goldstein et al. 2018, Scanning Electron Microscopy and X-Ray Microanalysis.
"""

import numpy as np

from blender_gen.edx.attenuation import attenuation
from blender_gen.edx.depth_distribution import depth_distribution
from blender_gen.phases import Material
from semforge.spectra.lines import SOFTEST_KEV

KRAMERS = 2.2e-6  # photons a beam electron and keV, into all directions


def bremsstrahlung(material: Material, beam_kev: float, way_out: float, energies_kev: np.ndarray) -> np.ndarray:
    """Photons a beam electron and keV that leave towards the detector, as if into all directions.

    None from the beam's energy on. `way_out` as in `emission.emitted`.
    """
    result = np.zeros_like(energies_kev)
    inside = (energies_kev >= SOFTEST_KEV) & (energies_kev < beam_kev * 0.9999)
    energies = energies_kev[inside]
    if energies.size == 0:
        return result
    depths = depth_distribution(material, beam_kev, energies, np.full(energies.shape, 0.86))
    chi = attenuation(material, energies) * way_out
    left = depths.emitted(chi) / depths.emitted(np.zeros(1))
    result[inside] = KRAMERS * material.mean_atomic_number * (beam_kev - energies) / energies * left
    return result
