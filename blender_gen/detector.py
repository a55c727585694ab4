"""Passes and materials in, a backscattered-electron micrograph out.

The chain follows the microscope: yields of the materials, topography in open pores, the profile
of boundaries (probe and interaction volume), preparation and charging, then Poisson noise at the
dose, then electronics and grey levels. Pure NumPy; one specimen can be imaged as often as wanted.

Sources: yields, `blender_gen.phases`; tilt, Arnal 1969, normalised to the yield at normal
incidence; the energy of backscattered electrons and the boundary profile are fits to
single-scattering Monte Carlo at 20 kV.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import gaussian_filter

from blender_gen import artefacts
from blender_gen.artefacts import ArtefactSettings
from blender_gen.passes import Passes
from blender_gen.phases import VOID, Material, materials, void_mask
from blender_gen.recipe.imaging import Imaging

ELECTRONS_PER_NA_US = 6241.5  # 1 nA for 1 µs over the elementary charge
STEEPEST_DEG = 80.0  # the tilt law holds up to here
CORE_UM = 0.03  # width of the sharp core of a boundary, added to the probe
TAIL_RANGES = 0.25  # width of its tail in electron ranges
FAINTEST_SKY = 0.02  # share of electrons that find their way out of the deepest pore
RESIN = "epoxy"
# mean Z; mean energy of backscattered electrons over beam energy
MEAN_ENERGY = ((6, 13, 18.9, 26, 47, 79), (0.59, 0.64, 0.68, 0.71, 0.76, 0.80))


@dataclass(frozen=True)
class Conditions:
    """How one micrograph is taken: every value drawn, in the units of the recipe."""

    beam_kev: float
    beam_current_na: float
    dwell_us: float
    collection: float
    threshold_kev: float
    probe_um: float
    astigmatism: float
    astigmatism_deg: float
    boundary_contrast: float
    read_noise: float
    dark: float
    bright: float
    gamma: float
    bits: int
    artefacts: ArtefactSettings

    @property
    def electrons_per_pixel(self) -> float:
        """Beam electrons that hit one pixel."""
        return ELECTRONS_PER_NA_US * self.beam_current_na * self.dwell_us

    def record(self) -> dict[str, Any]:
        """As plain values, to be stored with the sample."""
        return {**asdict(self), "electrons_per_pixel": self.electrons_per_pixel}


def draw_conditions(imaging: Imaging, rng: np.random.Generator) -> Conditions:
    """Draw the conditions of one micrograph."""
    d, g = imaging.detector, imaging.greys
    return Conditions(
        beam_kev=d.beam_kev.draw(rng), beam_current_na=d.beam_current_na.draw(rng), dwell_us=d.dwell_us.draw(rng),
        collection=d.collection.draw(rng), threshold_kev=d.threshold_kev.draw(rng), probe_um=d.probe_um.draw(rng),
        astigmatism=d.astigmatism.draw(rng), astigmatism_deg=float(rng.uniform(0, 180)),
        boundary_contrast=d.boundary_contrast.draw(rng), read_noise=d.read_noise.draw(rng),
        dark=g.dark.draw(rng), bright=g.bright.draw(rng), gamma=g.gamma.draw(rng), bits=g.bits,
        artefacts=artefacts.draw(imaging.artefacts, rng),
    )  # fmt: skip


def image(
    passes: Passes, sky: np.ndarray, phase_materials: tuple[str, ...], texture: np.ndarray, filled: np.ndarray,
    pixel_size_um: float, conditions: Conditions, rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """Take one micrograph: (H, W) uint8 or uint16.

    `sky` (H, W) is the visible share of the sky; `texture` (H, W) multiplies the yield (grain contrast,
    mottling, scratches); `filled` (H, W) bool tells which voids hold resin.
    """
    seen = surface(passes, sky, phase_materials, texture, filled, conditions)
    range_um = _mean_range_um(passes.wall, phase_materials, conditions.beam_kev)
    yields = boundary_profile(seen.yields, np.log(seen.density_g_cm3), range_um, pixel_size_um, conditions)
    energy = gaussian_filter(seen.energy, _probe_px(conditions, pixel_size_um), mode="nearest")
    yields = artefacts.before_noise(yields, seen.resin, conditions.artefacts, rng)
    shifts = artefacts.line_shifts(len(yields), conditions.artefacts, rng)
    yields, energy = artefacts.shift_lines(yields, shifts), artefacts.shift_lines(energy, shifts)
    counts = shot_noise(yields, conditions, rng)
    signal = counts * energy / (conditions.electrons_per_pixel * conditions.collection)
    return to_greys(artefacts.after_noise(signal, conditions.artefacts, rng), yields * energy, conditions, rng)


@dataclass(frozen=True)
class Surface:
    """What the beam meets, each (H, W)."""

    yields: np.ndarray  # backscattered electrons a beam electron
    density_g_cm3: np.ndarray
    energy: np.ndarray  # mean signal of a backscattered electron, 1 for one of beam energy
    resin: np.ndarray  # bool


def surface(
    passes: Passes,
    sky: np.ndarray,
    phase_materials: tuple[str, ...],
    texture: np.ndarray,
    filled: np.ndarray,
    conditions: Conditions,
) -> Surface:
    """Yields and materials at the surface.

    A void is either filled with resin, flat, or open: then the beam hits its wall, at an angle,
    and only the share of electrons that sees the sky comes out.
    """
    kev, resin = conditions.beam_kev, materials()[RESIN]
    solid = [materials()[RESIN if name == VOID else name] for name in phase_materials]
    void = void_mask(passes.phase, phase_materials)
    filled, open_void = void & filled, void & ~filled
    seen = np.where(void, passes.wall, passes.phase)

    yields = np.array([m.backscatter_coefficient(kev) for m in solid])[seen] * texture
    mean_z = np.array([m.mean_atomic_number for m in solid])[seen]
    cosine = np.clip(passes.normal[..., 2], np.cos(np.radians(STEEPEST_DEG)), 1)
    tilted = yields * tilt_factor(cosine, mean_z) * (FAINTEST_SKY + (1 - FAINTEST_SKY) * sky)
    yields = np.where(open_void, np.minimum(tilted, 0.95), yields)
    yields[filled] = resin.backscatter_coefficient(kev)

    density = np.array([m.density_g_cm3 for m in solid])[seen]
    density[void] = resin.density_g_cm3
    energy = np.array([relative_energy(m, conditions) for m in solid])[seen]
    energy[filled] = relative_energy(resin, conditions)
    is_resin = np.array([m.name == RESIN for m in solid])[seen]
    return Surface(yields, np.maximum(density, resin.density_g_cm3), energy, (is_resin & ~open_void) | filled)


def tilt_factor(cosine: np.ndarray, mean_z: np.ndarray) -> np.ndarray:
    """Yield at a tilted surface over that at normal incidence: [2/(1+cos)]^(9/sqrt(Z))."""
    return (2 / (1 + cosine)) ** (9 / np.sqrt(mean_z))


def relative_energy(material: Material, conditions: Conditions) -> float:
    """Mean signal of one backscattered electron in a solid-state detector, 1 for an electron of beam energy."""
    mean_kev = float(np.interp(material.mean_atomic_number, *MEAN_ENERGY)) * conditions.beam_kev
    above = max(mean_kev - conditions.threshold_kev, 0.05 * conditions.beam_kev)
    return float(above / (conditions.beam_kev - conditions.threshold_kev))


def boundary_profile(
    yields: np.ndarray, log_density: np.ndarray, range_um: float, pixel_size_um: float, conditions: Conditions
) -> np.ndarray:
    """Boundaries as the beam sees them: a sharp core, a dip on the light side and a rim on the heavy side.

    The core is as wide as the probe, dip and rim as the electron range:
    eta = (G_core * eta) [1 + a (G_core - G_tail) * ln(density)].
    """
    core = _probe_px(conditions, pixel_size_um)
    sharp = elliptical_blur(yields, core, conditions.astigmatism, conditions.astigmatism_deg)
    if conditions.boundary_contrast == 0:
        return sharp
    tail = TAIL_RANGES * range_um / pixel_size_um
    narrow = gaussian_filter(log_density, core, mode="nearest")
    wide = gaussian_filter(log_density, max(tail, core), mode="nearest")
    return sharp * (1 + conditions.boundary_contrast * (narrow - wide))


def shot_noise(yields: np.ndarray, conditions: Conditions, rng: np.random.Generator) -> np.ndarray:
    """Detected electrons a pixel: Poisson with mean dose x yield x collection."""
    mean = conditions.electrons_per_pixel * conditions.collection * np.maximum(yields, 0)
    return rng.poisson(mean).astype(np.float64)


def to_greys(
    signal: np.ndarray, noise_free: np.ndarray, conditions: Conditions, rng: np.random.Generator
) -> np.ndarray:
    """Brightness, contrast, read noise, gamma and quantisation.

    The operator is taken to set `dark` and `bright` on the 1st and 99th percentile of the picture without noise.
    """
    low, high = np.percentile(noise_free, [1, 99])
    scale = (conditions.bright - conditions.dark) / max(high - low, 1e-9)
    grey = conditions.dark + (signal - low) * scale
    grey += rng.normal(scale=conditions.read_noise, size=grey.shape) if conditions.read_noise else 0
    grey = np.clip(grey, 0, 1) ** conditions.gamma
    top = 2**conditions.bits - 1
    return np.rint(grey * top).astype(np.uint8 if conditions.bits == 8 else np.uint16)


def elliptical_blur(values: np.ndarray, sigma_px: float, ratio: float, angle_deg: float) -> np.ndarray:
    """Gaussian blur whose axes have a given ratio at the same area; edges are mirrored."""
    if ratio <= 1.001:
        return gaussian_filter(values, sigma_px, mode="nearest")
    pad = int(4 * sigma_px * ratio) + 1
    padded = np.pad(values, pad, mode="symmetric")
    shape = [next_fast_len(n, real=True) for n in padded.shape]
    padded = np.pad(padded, [(0, n - m) for n, m in zip(shape, padded.shape, strict=True)], mode="edge")
    fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
    a = np.radians(angle_deg)
    along, across = fx * np.cos(a) + fy * np.sin(a), fy * np.cos(a) - fx * np.sin(a)
    major, minor = sigma_px * np.sqrt(ratio), sigma_px / np.sqrt(ratio)
    transfer = np.exp(-2 * np.pi**2 * ((major * along) ** 2 + (minor * across) ** 2))
    blurred = irfft2(rfft2(padded) * transfer, s=shape)
    return blurred[pad : pad + values.shape[0], pad : pad + values.shape[1]]


def _probe_px(conditions: Conditions, pixel_size_um: float) -> float:
    return float(np.hypot(conditions.probe_um, CORE_UM) / pixel_size_um)


def _mean_range_um(wall: np.ndarray, phase_materials: tuple[str, ...], beam_kev: float) -> float:
    """Electron range, averaged over the solids in the picture; resin would swamp it."""
    counts = np.bincount(wall.ravel(), minlength=len(phase_materials))
    pairs = [
        (materials()[name].range_um(beam_kev), count)
        for name, count in zip(phase_materials, counts, strict=True)
        if name not in (VOID, RESIN) and count
    ]
    if not pairs:
        return materials()[RESIN].range_um(beam_kev)
    return float(np.average([r for r, _ in pairs], weights=[int(c) for _, c in pairs]))
