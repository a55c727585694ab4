"""A phase's expected spectrum: photons made, absorbed, detected."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from blender_gen.edx.attenuation import attenuation
from blender_gen.edx.background import bremsstrahlung
from blender_gen.edx.coat import passed, photons_of
from blender_gen.edx.conditions import Conditions
from blender_gen.edx.depth_distribution import depth_distribution
from blender_gen.edx.emission import emitted, generated
from blender_gen.edx.response import (
    ESCAPE_KEV,
    broadened,
    counted,
    drawn_lines,
    efficiency,
    escape_share,
    with_escape,
    with_lost_charge,
    with_pile_up,
)
from blender_gen.phases import Material
from semforge.errors import InputError

ELECTRONS_A_NA_S = 6.241509e9
SOFT_KEV = 5.0


@lru_cache(maxsize=1024)
def phase_spectrum(material: Material, conditions: Conditions) -> np.ndarray:
    """Expected counts (C,) per nA s of a bulk specimen of one phase; read-only, cached.

    Raises InputError, naming the phase, if the beam excites no line of it.
    """
    spectrum = piled_up(alone(material, conditions), conditions)
    spectrum.flags.writeable = False
    return spectrum


def alone(material: Material, conditions: Conditions) -> np.ndarray:
    """As `phase_spectrum`, before photons pile up: what is to be mixed with other phases."""
    return detected(*line_counts(material, conditions), continuum_counts(material, conditions), conditions)


def line_counts(material: Material, conditions: Conditions) -> tuple[np.ndarray, np.ndarray]:
    """Energies in keV and expected counts per nA s of all lines, the coat's too, before escape and pile-up."""
    energies, counts = specimen_line_counts(material, conditions)
    coat = conditions.coat_material
    if coat is None:
        return energies, counts
    of_coat = generated(coat, conditions.beam_kev).energies_kev
    photons = photons_of(coat, conditions.coat_nm, material, conditions.beam_kev, conditions.way_out)
    made = photons * efficiency(conditions.detector, of_coat) * _reach(conditions)
    return np.concatenate([energies, of_coat]), np.concatenate([counts, made])


def specimen_line_counts(material: Material, conditions: Conditions) -> tuple[np.ndarray, np.ndarray]:
    """As `line_counts`, of the lines of `generated(material)` alone, seen through the coat."""
    energies = generated(material, conditions.beam_kev).energies_kev
    photons = emitted(material, conditions.beam_kev, conditions.way_out)
    coat = conditions.coat_material
    if coat is not None:
        photons = photons * passed(coat, conditions.coat_nm, conditions.way_out, energies)
    return energies, photons * efficiency(conditions.detector, energies) * _reach(conditions)


def continuum_counts(material: Material, conditions: Conditions) -> np.ndarray:
    """Expected bremsstrahlung (C,) per nA s and channel, before the detector's width."""
    energies = conditions.axis.energies_kev
    photons = bremsstrahlung(material, conditions.beam_kev, conditions.way_out, energies, conditions.continuum)
    coat = conditions.coat_material
    if coat is not None:
        photons = photons * passed(coat, conditions.coat_nm, conditions.way_out, energies)
    per_channel = _reach(conditions) * conditions.background * conditions.axis.width_ev * 1e-3
    return photons * efficiency(conditions.detector, energies) * per_channel


def detected(energies_kev: np.ndarray, counts: np.ndarray, continuum: np.ndarray, conditions: Conditions) -> np.ndarray:
    """What the detector makes of lines and continuum, all per nA s: (C,)."""
    axis, detector = conditions.axis, conditions.detector
    if detector.escape:
        share = escape_share(energies_kev)
        energies_kev = np.concatenate([energies_kev, energies_kev - ESCAPE_KEV])
        counts = np.concatenate([counts * (1 - share), counts * share])
        continuum = with_escape(axis, continuum)
    by_channel = continuum
    if detector.tail:
        energies_kev, counts, lost = with_lost_charge(axis, detector.tail, energies_kev, counts)
        soft = slice(0, max(axis.channel_of(SOFT_KEV), 0))  # harder photons are absorbed below that layer
        _, kept, dull = with_lost_charge(axis, detector.tail, np.maximum(axis.energies_kev[soft], 0.1), continuum[soft])
        by_channel = np.concatenate([kept, continuum[soft.stop :]]) + dull + lost
    spectrum = drawn_lines(axis, detector, energies_kev, counts)
    spectrum += broadened(axis, detector, by_channel)
    if detector.strobe:
        spectrum += drawn_lines(axis, detector, np.zeros(1), np.array([detector.strobe]))
    return np.maximum(spectrum, 0.0) * counted(detector, axis)


def piled_up(spectrum: np.ndarray, conditions: Conditions) -> np.ndarray:
    """A spectrum per nA s at the rate of the conditions' current, with photons that come together counted as one."""
    if not (conditions.detector.pulse_pair_us and conditions.current_na):
        return spectrum
    rates = spectrum * conditions.current_na
    return with_pile_up(conditions.axis, rates, conditions.detector) / conditions.current_na


def film_share(material: Material, thickness_um: float, conditions: Conditions) -> float:
    """Share of the bulk's characteristic counts that a particle or film of a thickness gives, 0 to 1.

    Lines of the coat do not count: it is as thick on a thin film as on the bulk. The rest of the beam reaches what
    lies below. Raises InputError on a negative thickness.
    """
    return float(film_shares(material, (thickness_um,), conditions)[0])


def film_shares(material: Material, thicknesses_um: Sequence[float] | np.ndarray, conditions: Conditions) -> np.ndarray:
    """As `film_share`, of several thicknesses (n,) at once."""
    if not min(thicknesses_um) >= 0:
        raise InputError(f"{material.name}: found a thickness of {min(thicknesses_um):g} µm, expected 0 or more")
    made = generated(material, conditions.beam_kev)
    depths = depth_distribution(material, conditions.beam_kev, made.edges_kev, made.exponents)
    chi = attenuation(material, made.energies_kev) * conditions.way_out
    _, counts = specimen_line_counts(material, conditions)
    weights = counts / depths.emitted(chi) / counts.sum()
    films = [depths.emitted_to(material.density_g_cm3 * float(one) * 1e-4, chi) for one in thicknesses_um]
    return np.clip([(weights * film).sum() for film in films], 0.0, 1.0)


def xray_range_um(material: Material, conditions: Conditions) -> float:
    """Depth in µm from which the strongest line comes: Anderson & Hasler, 0.064 (E0^1.68 - Ec^1.68)/rho."""
    made = generated(material, conditions.beam_kev)
    _, counts = specimen_line_counts(material, conditions)
    edge = float(made.edges_kev[int(np.argmax(counts))])
    return 0.064 * (conditions.beam_kev**1.68 - edge**1.68) / material.density_g_cm3


def _reach(conditions: Conditions) -> float:
    return conditions.solid_angle_sr / (4 * np.pi) * ELECTRONS_A_NA_S
