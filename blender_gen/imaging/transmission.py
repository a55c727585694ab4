"""Electrons that have come through a thin specimen: bright field and annular dark field.

Scattering contrast alone: electrons deflected elastically beyond the aperture are lost to the bright field and
make the dark field. No Fresnel fringes, no diffraction contrast of crystals. Multiple scattering back into the
aperture is neglected, so very thick parts come out darker than they are. Sources: `Material.mass_thickness_um`;
Reimer & Kohl 2008, Transmission electron microscopy.
"""

import numpy as np
from scipy.fft import irfft2, rfft2

from blender_gen.imaging.conditions import Conditions
from blender_gen.imaging.emission import Emission
from blender_gen.imaging.target import Target
from blender_gen.phases import materials
from semforge.errors import InputError

FILM = "carbon"
EMPTY = 1e-6  # deflections an electron; less is a hole


def emission(target: Target, conditions: Conditions, rng: np.random.Generator) -> Emission:
    """Share of the beam in the bright field, exp(-sum t/L), or in the dark field, 1 - exp(-sum t/L).

    L is the thickness that lets 1/e pass without an elastic deflection beyond the aperture. Raises InputError if
    the specimen comes without path lengths.
    """
    d = conditions.detector
    lost = scattering(target, d.beam_kev, d.aperture_mrad)
    film = d.film_um / materials()[FILM].mass_thickness_um(d.beam_kev, d.aperture_mrad)
    lost = lost + film * film_thickness(lost.shape, d.film_mottle, d.film_mottle_um / target.pixel_size_um, rng)
    through = np.exp(-lost)
    if d.mode == "dark_field":
        return Emission((1 - through,))
    if d.speckle:  # phase contrast of an amorphous film, seen where the beam is bright and not in a hole
        grain = band_noise(lost.shape, d.speckle_um / target.pixel_size_um, rng) * (lost > EMPTY)
        through = np.clip(through * (1 + np.float32(d.speckle) * grain), 0, None)
    return Emission((through,))


def scattering(target: Target, beam_kev: float, aperture_mrad: float) -> np.ndarray:
    """Mean number of elastic deflections beyond the aperture on the way through the specimen (H, W)."""
    if not target.path_um:
        raise InputError("a transmission detector needs specimens that stand free; this family is a solid block")
    total = np.zeros(target.seen.shape, dtype=np.float32)
    for phase, path_um in target.path_um.items():
        total += path_um / np.float32(target.solids[phase].mass_thickness_um(beam_kev, aperture_mrad))
    return total * target.texture


def film_thickness(shape: tuple[int, ...], rms: float, correlation_px: float, rng: np.random.Generator) -> np.ndarray:
    """Thickness of a support film over its mean (H, W), a Gaussian random field."""
    if not rms:
        return np.ones(shape, dtype=np.float32)
    sigma = max(correlation_px, 0.5) / 2
    return np.clip(1 + np.float32(rms) * _filtered(shape, rng, lambda f: np.exp(-((2 * np.pi * sigma * f) ** 2))), 0, 4)


def band_noise(shape: tuple[int, ...], period_px: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of unit variance with most of its power around one period (H, W)."""
    frequency = 1 / max(period_px, 2.0)
    return _filtered(shape, rng, lambda f: (f / frequency) ** 2 * np.exp(-((f / frequency) ** 2)))


def _filtered(shape, rng, transfer) -> np.ndarray:  # type: ignore[no-untyped-def]
    white = rfft2(rng.standard_normal(shape, dtype=np.float32))
    f = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :])
    field = irfft2(white * transfer(f).astype(np.float32), s=shape)
    return (field - field.mean()) / max(float(field.std()), 1e-9)
