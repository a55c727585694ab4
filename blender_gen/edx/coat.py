"""The conducting film on a specimen: its own lines, and what it takes from the specimen's."""

import numpy as np

from blender_gen.edx.attenuation import transmission
from blender_gen.edx.depth_distribution import depth_distribution
from blender_gen.edx.emission import film_photons, generated
from blender_gen.phases import Material


def passed(coat: Material, coat_nm: float, way_out: float, energies_kev: np.ndarray) -> np.ndarray:
    """Share of the specimen's photons that leave through the film towards the detector."""
    return transmission(coat, coat_nm * 1e-3 * way_out, energies_kev)


def photons_of(coat: Material, coat_nm: float, below: Material, beam_kev: float, way_out: float) -> np.ndarray:
    """Photons a beam electron of each line of the film (`generated(coat)`) that leave it.

    The film is thin beside the electrons' range: what comes back from below ionises it too, phi(0) times.
    """
    made = generated(coat, beam_kev)
    phi0 = depth_distribution(below, beam_kev, made.edges_kev, made.exponents).phi0
    half_way = passed(coat, coat_nm / 2, way_out, made.energies_kev)
    return film_photons(coat, beam_kev, coat.density_g_cm3 * coat_nm * 1e-7) * phi0 * half_way
