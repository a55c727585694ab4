"""A phase's expected spectrum: photons made, absorbed, detected."""

from functools import lru_cache

import numpy as np

from blender_gen.edx.attenuation import attenuation
from blender_gen.edx.background import bremsstrahlung
from blender_gen.edx.conditions import Conditions
from blender_gen.edx.depth_distribution import depth_distribution
from blender_gen.edx.emission import emitted, generated
from blender_gen.edx.response import (
    broadened,
    drawn_lines,
    efficiency,
    escape_share,
    with_escape,
    with_pile_up,
    ESCAPE_KEV,
)
from blender_gen.phases import Material, materials
from semforge.errors import InputError

ELECTRONS_A_NA_S = 6.241509e9


def phase(name: str) -> Material:
    """A material by name. Raises InputError that names the nearest ones."""
    import difflib

    table = materials()
    if name in table:
        return table[name]
    near = difflib.get_close_matches(name, table, n=3)
    hint = f"did you mean {', '.join(near)}?" if near else "see blender_gen/assets/materials.yaml"
    raise InputError(f"phase {name!r} is not a material; {hint}")


@lru_cache(maxsize=4096)
def phase_spectrum(material: Material, conditions: Conditions) -> np.ndarray:
    """Expected counts (C,) per nA s of a bulk specimen of one phase; read-only, cached.

    Raises InputError, naming the phase, if the beam excites no line of it.
    """
    axis, detector = conditions.axis, conditions.detector
    energies, counts = line_counts(material, conditions)
    spectrum = drawn_lines(axis, detector.resolution_ev, energies, counts)
    continuum = bremsstrahlung(material, conditions.beam_kev, conditions.take_off_deg, axis.energies_kev)
    continuum = (
        continuum
        * conditions.background
        * efficiency(detector, np.maximum(axis.energies_kev, 0.1))
        * _reach(conditions)
        * axis.width_ev
        * 1e-3
    )
    if detector.escape:
        share = escape_share(energies)
        spectrum += drawn_lines(axis, detector.resolution_ev, energies - ESCAPE_KEV, counts * share)
        spectrum -= drawn_lines(axis, detector.resolution_ev, energies, counts * share)
        continuum = with_escape(axis, continuum)
    spectrum += broadened(axis, detector.resolution_ev, continuum)
    if detector.pulse_pair_us and conditions.current_na:
        rates = spectrum * conditions.current_na
        spectrum = with_pile_up(axis, rates, detector.pulse_pair_us * 1e-6) / conditions.current_na
    spectrum = np.maximum(spectrum, 0.0)
    spectrum.flags.writeable = False
    return spectrum


def line_counts(material: Material, conditions: Conditions) -> tuple[np.ndarray, np.ndarray]:
    """Energies in keV and expected counts per nA s of all lines, before escape and pile-up."""
    made = generated(material, conditions.beam_kev)
    photons = emitted(material, conditions.beam_kev, conditions.take_off_deg)
    energies = made.energies_kev
    return energies, photons * efficiency(conditions.detector, energies) * _reach(conditions)


def film_share(material: Material, thickness_um: float, conditions: Conditions) -> float:
    """Share of the bulk's characteristic counts that a particle or film of a thickness gives, 0 to 1.

    The rest of the beam reaches what lies below. Raises InputError on a negative thickness.
    """
    if not thickness_um >= 0:
        raise InputError(f"{material.name}: found a thickness of {thickness_um:g} µm, expected 0 or more")
    made = generated(material, conditions.beam_kev)
    depths = depth_distribution(material, conditions.beam_kev, made.edges_kev, made.exponents)
    chi = attenuation(material, made.energies_kev) / np.sin(np.radians(conditions.take_off_deg))
    bulk, film = depths.emitted(chi), depths.emitted_to(material.density_g_cm3 * thickness_um * 1e-4, chi)
    _, counts = line_counts(material, conditions)
    return float(np.clip((counts * film / bulk).sum() / counts.sum(), 0.0, 1.0))


def xray_range_um(material: Material, conditions: Conditions) -> float:
    """Depth in µm from which the strongest line comes: Anderson & Hasler, 0.064 (E0^1.68 - Ec^1.68)/rho."""
    made = generated(material, conditions.beam_kev)
    _, counts = line_counts(material, conditions)
    edge = float(made.edges_kev[int(np.argmax(counts))])
    return 0.064 * (conditions.beam_kev**1.68 - edge**1.68) / material.density_g_cm3


def _reach(conditions: Conditions) -> float:
    return conditions.solid_angle_sr / (4 * np.pi) * ELECTRONS_A_NA_S
