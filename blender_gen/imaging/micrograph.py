"""A prepared specimen and conditions in, a micrograph out: the chain of the microscope in its order.

Geometry before noise, electronics after it: yields and topography, probe and interaction volume, charging and
shading, the path of the scan, counting noise, amplifier and grey levels, lettering and publication.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from blender_gen.imaging import beam, bse, charging, scan, se, shading, transmission
from blender_gen.imaging.conditions import Conditions
from blender_gen.imaging.emission import Emission
from blender_gen.imaging.greys import quantised, to_greys
from blender_gen.imaging.noise import counts
from blender_gen.imaging.publication import published
from blender_gen.imaging.target import Target

BANDWIDTH_RATIO = 1.06  # of the axes of the electronic blur


@dataclass(frozen=True)
class Micrograph:
    """One picture and how it was taken."""

    image: np.ndarray  # (H, W) uint8 or uint16
    record: dict[str, Any]  # plain values


def take(target: Target, conditions: Conditions, rng: np.random.Generator) -> Micrograph:
    """Take one micrograph. The label maps of the specimen hold for it, whatever the conditions."""
    d, a = conditions.detector, conditions.artefacts
    seen = emission(target, conditions, rng)
    signals = list(seen.channels) + ([seen.gain] if seen.gain is not None else [])
    signals = beam.focused(
        signals, target.height_um, probe_px(target, conditions), d.astigmatism, conditions.astigmatism_deg,
        d.convergence_mrad, d.focus_height, target.pixel_size_um,
    )  # fmt: skip
    channels, gain = signals[: len(seen.channels)], signals[len(seen.channels) :]
    if d.kind != "transmission":
        brightness = charging.charged(np.ones(target.seen.shape, dtype=np.float32), target, a, rng)
        channels = [channel * brightness for channel in channels]
    factor = shading.shaded(target.seen.shape, a, rng)
    channels = [channel * factor for channel in channels]
    charge = charging.line_charge(target) if a.charging_shift_px else None
    path = scan.path(target.seen.shape, conditions, charge, np.random.default_rng(conditions.scan_seed))
    channels = [scan.sampled(channel, path) for channel in channels]
    gains = [scan.sampled(one, path) for one in gain]

    dose = conditions.electrons_per_pixel * d.collection
    detected = [counts(channel * np.float32(dose), seen.noise_factor, rng) / np.float32(dose) for channel in channels]
    expected, signal = (_picture(seen, one, gains) for one in (channels, detected))
    if a.bandwidth_px:  # noise is correlated, a little more along the scan than across it
        signal = beam.blur(signal, a.bandwidth_px, BANDWIDTH_RATIO)
    if a.banding:
        signal = signal * (1 + np.float32(a.banding) * rng.standard_normal((len(signal), 1), dtype=np.float32))
    grey, marks = published(to_greys(signal, expected, conditions, rng), target.pixel_size_um, conditions, rng)
    record = {**conditions.record(), "preparation": target.preparation, "farthest_px": path.farthest_px, **marks}
    return Micrograph(quantised(grey, conditions.greys.bits), record)


def emission(target: Target, conditions: Conditions, rng: np.random.Generator) -> Emission:
    """What the detector of the conditions receives, before blur, artefacts and noise."""
    kind = conditions.detector.kind
    if kind == "transmission":
        return transmission.emission(target, conditions, rng)
    return {"bse": bse.emission, "se": se.emission}[kind](target, conditions)


def probe_px(target: Target, conditions: Conditions) -> float:
    """Standard deviation of the probe in pixels; backscattered electrons widen it by the core of their profile."""
    if conditions.detector.kind == "bse":
        return beam.core_px(conditions.detector.probe_um, target.pixel_size_um)
    return float(conditions.detector.probe_um / target.pixel_size_um)


def _picture(seen: Emission, channels: list[np.ndarray], gains: list[np.ndarray]) -> np.ndarray:
    if gains:
        channels = [channel * gains[0] for channel in channels]
    return seen.combine(channels)
