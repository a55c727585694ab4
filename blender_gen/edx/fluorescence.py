"""Characteristic lines that other characteristic lines excite: chromium by iron, iron by nickel.

Source: Reed 1965, Br. J. Appl. Phys. 16:913, for K lines that K lines excite; others are weaker and left out.
"""

from functools import cache

import numpy as np
import xraylib

from blender_gen.edx.attenuation import attenuation
from blender_gen.phases import Material
from semforge.spectra.lines import Line, atomic_number, atomic_weight, edge_kev, fluorescence_yield


def enhancement(material: Material, lines: tuple[Line, ...], beam_kev: float, way_out: float) -> np.ndarray:
    """By what each line's emitted photons are multiplied, 1 or more; `way_out` as in `emission.emitted`."""
    fractions = dict(material.mass_fractions)
    exciting = {line.element: line for line in lines if line.name.endswith("Kα")}
    losses = {e: float(attenuation(material, np.array([line.energy_kev]))[0]) for e, line in exciting.items()}
    factors = np.ones(len(lines))
    for number, line in enumerate(lines):
        edge = edge_kev(line.element, line.shell) or 0.0
        if line.shell != "K":
            continue
        for element, other in exciting.items():
            other_edge = edge_kev(element, "K") or 0.0
            if other.energy_kev <= edge or other_edge >= beam_kev:
                continue
            loss = losses[element]
            taken = float(attenuation(_pure(line.element), np.array([other.energy_kev]))[0])
            u = float(attenuation(material, np.array([line.energy_kev]))[0]) * way_out / loss
            v = 3.3e5 / ((beam_kev**1.65 - edge**1.65) * loss)
            made = ((beam_kev / other_edge - 1) / (beam_kev / edge - 1)) ** 1.67
            factors[number] += (
                0.5 * fractions[element] * _share_of_k(line.element) * fluorescence_yield(element, "K")
                * atomic_weight(line.element) / atomic_weight(element) * made * taken / loss
                * (np.log1p(u) / u + np.log1p(v) / v)
            )  # fmt: skip
    return factors


@cache
def _pure(element: str) -> Material:
    return Material(element, ((element, 1.0),), 1.0)


@cache
def _share_of_k(element: str) -> float:
    """Share of the photons above the K edge that the K shell absorbs."""
    jump = float(xraylib.JumpFactor(atomic_number(element), xraylib.K_SHELL))
    return (jump - 1) / jump
