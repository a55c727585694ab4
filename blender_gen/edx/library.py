"""Many spectra of each phase: the composition of a grain, its facet, its coat, the detector, all drawn from ranges."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from blender_gen.edx.conditions import Conditions, Detector
from blender_gen.edx.minerals import phase, specimen
from blender_gen.edx.spectrum import alone, piled_up
from blender_gen.phases import Material
from semforge.errors import InputError
from semforge.settings import Settings
from semforge.spectra import EnergyAxis, SpectrumLibrary

Range = tuple[float, float]


class Spread(Settings):
    """What differs from spectrum to spectrum, each drawn uniformly from a range."""

    beam_kev: Range = (15.0, 15.0)
    take_off_deg: Range = (34.0, 40.0)
    tilt_deg: Range = (-22.0, 45.0)  # of a grain's facet; three in ten lie flat
    resolution_ev: Range = (122.0, 135.0)
    windows: tuple[str, ...] = ("silicon_nitride", "polymer")
    coats: tuple[str, ...] = ("carbon", "carbon", "carbon", "Au", "AuPd", "none")
    carbon_nm: Range = (5.0, 120.0)  # contamination and the tape below included
    metal_nm: Range = (2.0, 12.0)
    tail: Range = (0.0, 0.08)
    ice_um: Range = (0.0, 0.0)
    background: Range = (1.2, 2.2)
    current_na: Range = (0.0, 8.0)
    pulse_pair_us: Range = (0.05, 0.3)
    shift_ev: Range = (-8.0, 8.0)  # of the energy scale
    gain: Range = (0.998, 1.002)
    neighbour: float = 0.3  # share of the spectra in which another phase takes part
    neighbour_share: Range = (0.0, 0.15)


def draw_conditions(spread: Spread, axis: EnergyAxis, rng: np.random.Generator) -> Conditions:
    """One set of conditions. The axis of the conditions is off by the drawn error of the energy scale."""

    def one(between: Range) -> float:
        return float(rng.uniform(*between))

    coat = str(rng.choice(spread.coats))
    take_off = one(spread.take_off_deg)
    tilt = 0.0 if rng.random() < 0.3 else one(spread.tilt_deg)
    gain = one(spread.gain)
    off_axis = EnergyAxis(axis.channels, axis.width_ev * gain, axis.offset_ev * gain + one(spread.shift_ev))
    detector = Detector(
        resolution_ev=one(spread.resolution_ev), window=str(rng.choice(spread.windows)), ice_um=one(spread.ice_um),
        tail=one(spread.tail), pulse_pair_us=one(spread.pulse_pair_us), threshold_kev=float(rng.uniform(0.03, 0.12)),
    )  # fmt: skip
    return Conditions(
        beam_kev=one(spread.beam_kev), axis=off_axis, take_off_deg=take_off, tilt_deg=max(tilt, 8.0 - take_off),
        detector=detector, coat=None if coat == "none" else coat,
        coat_nm=0.0 if coat == "none" else one(spread.carbon_nm if coat == "carbon" else spread.metal_nm),
        background=one(spread.background), current_na=one(spread.current_na),
    )  # fmt: skip


def make_library(
    names: Sequence[str], variants: int, axis: EnergyAxis, spread: Spread, seed: int, neighbours: Sequence[str] = ()
) -> SpectrumLibrary:
    """Spectra of phases under `variants` drawn conditions, the same ones for all phases; per nA s.

    A mineral's composition differs from variant to variant. Raises InputError for an unknown phase and for one of which
    the beam excites no line.
    """
    if not names:
        raise InputError("no phases: name at least one of blender_gen/assets/materials.yaml")
    for name in (*names, *neighbours):
        phase(name)
    spectra = np.zeros((len(names), variants, axis.channels), dtype=np.float32)
    conditions: list[dict[str, Any]] = []
    neighbours = neighbours or names
    for variant in range(variants):
        rng = np.random.default_rng([seed, variant])
        drawn = draw_conditions(spread, axis, rng)
        conditions.append(_record(drawn))
        for row, name in enumerate(names):
            own = np.random.default_rng([seed, variant, row + 1])
            spectra[row, variant] = _mixed(specimen(name, own), spread, drawn, own, neighbours)
    return SpectrumLibrary(tuple(names), spectra, axis, tuple(conditions))


def _mixed(
    material: Material, spread: Spread, conditions: Conditions, rng: np.random.Generator, neighbours: Sequence[str]
) -> np.ndarray:
    spectrum = alone(material, conditions)
    if rng.random() < spread.neighbour:
        other = specimen(str(rng.choice(list(neighbours))), rng)
        share = rng.uniform(*spread.neighbour_share)
        spectrum = (1 - share) * spectrum + share * alone(other, conditions)
    return piled_up(spectrum, conditions)


def _record(conditions: Conditions) -> dict[str, Any]:
    """Plain values."""
    return asdict(replace(conditions))
