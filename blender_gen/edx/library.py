"""Many spectra of each phase: the composition of a grain, its facet, its coat, the detector, all drawn from ranges."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated

import numpy as np
from pydantic import Field

from blender_gen.distributions import Number, between, positive
from blender_gen.edx.conditions import Conditions, Continuum, Detector, Window
from blender_gen.edx.minerals import minerals, phase, specimen
from blender_gen.edx.spectrum import alone, piled_up
from blender_gen.phases import Material
from semforge.settings import Settings
from semforge.spectra import EnergyAxis, Spectrum, SpectrumLibrary

LOWEST_DEG = 8.0  # of the detector above a facet; under flatter ones no spectrum is taken


class Coat(Settings):
    """A conducting film that some of the specimens wear."""

    material: str | None = None  # of materials.yaml; none is a bare specimen
    nm: Annotated[Number, between(0, 400)] = Field(0.0, validate_default=True)
    weight: float = Field(1.0, gt=0)  # how often, beside the other coats


class LibrarySettings(Settings):
    """Which phases, and what differs from spectrum to spectrum; distributions are drawn once a variant."""

    phases: tuple[str, ...] | None = Field(None, min_length=1)  # all minerals of minerals.yaml without it
    variants: int = Field(100, ge=1, le=100_000)
    channels: int = Field(4096, ge=64, le=8192)
    channel_ev: float = Field(10.0, ge=1, le=100)
    offset_ev: float = Field(0.0, ge=-1000, le=1000)
    beam_kev: Annotated[Number, between(1, 40)] = Field(15.0, validate_default=True)
    current_na: Annotated[Number, positive(1e3)] = Field(1.0, validate_default=True)
    take_off_deg: Annotated[Number, between(10, 80)] = Field(36.0, validate_default=True)
    tilt_deg: Annotated[Number, between(-75, 75)] = Field(0.0, validate_default=True)  # of a facet to the detector
    solid_angle_sr: Annotated[Number, positive(3)] = Field(0.02, validate_default=True)
    coats: tuple[Coat, ...] = Field((Coat(),), min_length=1)
    background: Annotated[Number, between(0, 5)] = Field(1.6, validate_default=True)
    continuum: Continuum = "kramers"
    windows: tuple[Window, ...] = Field(("silicon_nitride",), min_length=1)
    ice_um: Annotated[Number, between(0, 10)] = Field(0.0, validate_default=True)
    resolution_ev: Annotated[Number, between(100, 250)] = Field(130.0, validate_default=True)
    soft_ev: Annotated[Number, between(0, 100)] = Field(0.0, validate_default=True)
    wings: Annotated[Number, between(0, 0.5)] = Field(0.0, validate_default=True)
    droop_ev: Annotated[Number, between(0, 60)] = Field(0.0, validate_default=True)
    tail: Annotated[Number, between(0, 0.5)] = Field(0.0, validate_default=True)
    pulse_pair_us: Annotated[Number, between(0, 20)] = Field(0.0, validate_default=True)
    threshold_kev: Annotated[Number, between(0, 2)] = Field(0.0, validate_default=True)
    gain_error: Annotated[Number, between(-0.02, 0.02)] = Field(0.0, validate_default=True)
    offset_error_ev: Annotated[Number, between(-50, 50)] = Field(0.0, validate_default=True)
    # how often another phase takes part, and with which share of the electrons
    neighbour_chance: float = Field(0.0, ge=0, le=1)
    neighbour_share: Annotated[Number, between(0, 1)] = Field(0.0, validate_default=True)

    @property
    def axis(self) -> EnergyAxis:
        """The energy axis that is written; a badly calibrated detector is off it."""
        return EnergyAxis(self.channels, self.channel_ev, self.offset_ev)

    @property
    def names(self) -> tuple[str, ...]:
        """The phases."""
        return tuple(minerals()) if self.phases is None else self.phases


def draw_conditions(settings: LibrarySettings, rng: np.random.Generator) -> Conditions:
    """One set of conditions. Raises InputError for a coat that is no material."""
    weights = np.array([coat.weight for coat in settings.coats])
    coat = settings.coats[int(rng.choice(len(weights), p=weights / weights.sum()))]
    gain = settings.gain_error.draw(rng)
    axis = EnergyAxis(
        settings.channels, settings.channel_ev * (1 - gain), settings.offset_ev - settings.offset_error_ev.draw(rng)
    )
    take_off = settings.take_off_deg.draw(rng)
    detector = Detector(
        resolution_ev=settings.resolution_ev.draw(rng), soft_ev=settings.soft_ev.draw(rng),
        wings=settings.wings.draw(rng), droop_ev=settings.droop_ev.draw(rng),
        window=settings.windows[int(rng.integers(len(settings.windows)))], ice_um=settings.ice_um.draw(rng),
        tail=settings.tail.draw(rng), pulse_pair_us=settings.pulse_pair_us.draw(rng),
        threshold_kev=settings.threshold_kev.draw(rng),
    )  # fmt: skip
    return Conditions(
        beam_kev=settings.beam_kev.draw(rng), axis=axis, take_off_deg=take_off,
        tilt_deg=max(settings.tilt_deg.draw(rng), LOWEST_DEG - take_off),
        solid_angle_sr=settings.solid_angle_sr.draw(rng), detector=detector, coat=coat.material,
        coat_nm=coat.nm.draw(rng) if coat.material else 0.0, background=settings.background.draw(rng),
        continuum=settings.continuum,
        current_na=settings.current_na.draw(rng),
    )  # fmt: skip


def make_library(settings: LibrarySettings, seed: int) -> SpectrumLibrary:
    """Expected counts per nA s of phases under drawn conditions, the same ones for all phases.

    A mineral's composition differs from variant to variant. Raises InputError for an unknown phase and for one of which
    the beam excites no line.
    """
    for name in settings.names:
        phase(name)
    spectra = np.zeros((len(settings.names), settings.variants, settings.channels), dtype=np.float32)
    conditions = []
    for variant in range(settings.variants):
        drawn = draw_conditions(settings, np.random.default_rng([seed, variant]))
        conditions.append(asdict(drawn))
        for row, name in enumerate(settings.names):
            rng = np.random.default_rng([seed, variant, row + 1])
            spectra[row, variant] = _one(specimen(name, rng), settings, drawn, rng)
    return SpectrumLibrary(settings.names, spectra, settings.axis, tuple(conditions))


def measured(library: SpectrumLibrary, live_s: float, seed: int) -> Iterator[tuple[str, Spectrum]]:
    """Each spectrum of a library as a detector would count it in a live time: name of a file, Poisson counts."""
    rng = np.random.default_rng(seed)
    for row, name in enumerate(library.names):
        for variant, conditions in enumerate(library.conditions):
            expected = library.spectra[row, variant].astype(float) * conditions["current_na"] * live_s
            yield f"{name}_{variant:04d}", Spectrum(
                counts=rng.poisson(expected), axis=library.axis, beam_kev=conditions["beam_kev"], live_s=live_s,
                take_off_deg=conditions["take_off_deg"], title=f"{name}, simulated",
                metadata={"phase": name, "current_na": f"{conditions['current_na']:.4g}"},
            )  # fmt: skip


def _one(material: Material, settings: LibrarySettings, conditions: Conditions, rng: np.random.Generator) -> np.ndarray:
    spectrum = alone(material, conditions)
    if rng.random() < settings.neighbour_chance:
        others: Sequence[str] = [name for name in settings.names if name != material.name] or settings.names
        other = alone(specimen(others[int(rng.integers(len(others)))], rng), conditions)
        share = settings.neighbour_share.draw(rng)
        spectrum = (1 - share) * spectrum + share * other
    return piled_up(spectrum, conditions)
