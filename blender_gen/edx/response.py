"""What the detector makes of photons: efficiency, width, escape, pile-up.

Sources: width, Fiori & Newbury 1978; escape, Reed & Ware 1972.
"""

from functools import lru_cache

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import gaussian_filter1d
from scipy.special import ndtr

from blender_gen.edx.attenuation import attenuation, transmission
from blender_gen.edx.conditions import Detector
from blender_gen.phases import Material, parse_formula
from semforge.spectra.axis import EnergyAxis
from semforge.spectra.lines import fluorescence_yield

FWHM = 2.3548200450309493  # of a Gaussian, in standard deviations
MN_KEV = 5.895
FANO_EV = 2.5  # widening in eV2 an eV of energy: 5.545 times Fano factor times 3.65 eV a pair
ESCAPE_KEV = 1.740  # Si Kα
SILICON_EDGE_KEV = 1.839
JUMP_SHARE = 0.92  # share of the photons above the edge that silicon's K shell absorbs
OXYGEN_KEV = 0.525
SOFT_KEV = 0.8  # how hard photons are that still lose charge at random
WING_WIDTHS = 2.7
DROOP_KEV = 0.6  # how hard photons are whose peaks lie too low
BINS = 40  # of the share of charge that is lost
THRESHOLD_SIGMA_KEV = 0.02
REACH = 6.0  # standard deviations of a peak that are drawn

SILICON = Material("silicon", (("Si", 1.0),), 2.33)
ICE = Material("ice", tuple(parse_formula("H2O").items()), 0.92)
POLYMER = Material("window", tuple(parse_formula("C10H12O5").items()), 1.4)
NITRIDE = Material("window", tuple(parse_formula("Si3N4").items()), 3.1)
ALUMINIUM = Material("aluminium", (("Al", 1.0),), 2.70)
# window: layers and their thickness in µm
LAYERS: dict[str, tuple[tuple[Material, float], ...]] = {
    "polymer": ((POLYMER, 0.3),),
    "silicon_nitride": ((NITRIDE, 0.04), (ALUMINIUM, 0.03)),
    "none": (),
}


def efficiency(detector: Detector, energies_kev: np.ndarray) -> np.ndarray:
    """Share of the photons on the detector that are counted, 0 to 1."""
    energies = np.asarray(energies_kev, dtype=float)
    passed = np.ones_like(energies)
    for material, thickness_um in LAYERS[detector.window]:
        passed = passed * transmission(material, thickness_um, energies)
    if detector.dead_layer_nm:
        passed = passed * transmission(SILICON, detector.dead_layer_nm * 1e-3, energies)
    if detector.ice_um:
        passed = passed * transmission(ICE, detector.ice_um, energies)
    return passed * (1 - transmission(SILICON, detector.silicon_um, energies))


def fwhm_ev(resolution_ev: float, energies_kev: np.ndarray | float, soft_ev: float = 0.0) -> np.ndarray:
    """Full width at half maximum in eV; `resolution_ev` is that at Mn Kα.

    Charge that is lost at random below the entrance contact widens soft peaks, by `soft_ev` at 0 keV, in squares.
    """
    energies = np.asarray(energies_kev, dtype=float)
    squared = resolution_ev**2 + FANO_EV * (energies - MN_KEV) * 1e3
    return np.sqrt(np.maximum(squared, 30.0**2) + soft_ev**2 * np.exp(-((energies / SOFT_KEV) ** 2)))


def escape_share(energies_kev: np.ndarray) -> np.ndarray:
    """Share of the photons whose silicon photon leaves the crystal through its face."""
    energies = np.asarray(energies_kev, dtype=float)
    own = float(attenuation(SILICON, np.array([ESCAPE_KEV]))[0])
    coming = attenuation(SILICON, energies)
    share = 0.5 * fluorescence_yield("Si", "K") * JUMP_SHARE * (1 - own / coming * np.log1p(coming / own))
    return np.where(energies > SILICON_EDGE_KEV, share, 0.0)


def drawn_lines(axis: EnergyAxis, detector: Detector, energies_kev: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Gaussian peaks of given counts, integrated over each channel: (C,)."""
    spectrum = np.zeros(axis.channels)
    width = axis.width_ev * 1e-3
    first = axis.offset_ev * 1e-3 - width / 2  # lower side of channel 0
    centres = energies_kev - detector.droop_ev * 1e-3 * np.exp(-np.asarray(energies_kev) / DROOP_KEV)
    sigmas = fwhm_ev(detector.resolution_ev, energies_kev, detector.soft_ev) * 1e-3 / FWHM
    if detector.wings:
        centres, sigmas = np.tile(centres, 2), np.concatenate([sigmas, WING_WIDTHS * sigmas])
        counts = np.concatenate([counts * (1 - detector.wings), counts * detector.wings])
    for energy, count, sigma in zip(centres, counts, sigmas, strict=True):
        low = max(int((energy - REACH * sigma - first) / width), 0)
        high = min(int((energy + REACH * sigma - first) / width) + 1, axis.channels)
        if low < high and count > 0:
            sides = first + width * np.arange(low, high + 1)
            spectrum[low:high] += count * np.diff(ndtr((sides - energy) / sigma))
    return spectrum


def broadened(axis: EnergyAxis, detector: Detector, counts: np.ndarray) -> np.ndarray:
    """Counts a channel as the detector's width spreads them; none is lost, what lies at an end stays there.

    On a scale that grows by one a standard deviation the width is the same everywhere, so one Gaussian does for all.
    """
    scale = _widths_from_zero(axis, detector.resolution_ev, detector.soft_ev)
    steps = np.linspace(scale[0], scale[-1], 2 * axis.channels)
    summed = np.concatenate([[0.0], np.cumsum(counts)])
    even = np.diff(np.interp(steps, scale, summed))
    spread = gaussian_filter1d(even, 1 / (steps[1] - steps[0]), mode="nearest", truncate=REACH)
    return np.diff(np.interp(scale, steps, np.concatenate([[0.0], np.cumsum(spread)])))


@lru_cache(maxsize=64)
def _widths_from_zero(axis: EnergyAxis, resolution_ev: float, soft_ev: float) -> np.ndarray:
    """How many standard deviations lie below each edge of the channels."""
    per_kev = FWHM / (fwhm_ev(resolution_ev, axis.energies_kev, soft_ev) * 1e-3)
    return np.concatenate([[0.0], np.cumsum(per_kev * axis.width_ev * 1e-3)])


def with_escape(axis: EnergyAxis, counts: np.ndarray) -> np.ndarray:
    """Photons by channel after a share has moved 1.74 keV down; none is lost but those that leave the axis."""
    share = escape_share(axis.energies_kev) * counts
    steps = round(ESCAPE_KEV * 1e3 / axis.width_ev)
    moved = np.zeros_like(counts)
    moved[:-steps] = share[steps:]
    return counts - share + moved


def with_lost_charge(
    axis: EnergyAxis, tail: float, energies_kev: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Photons of which some lose charge below the entrance contact: energies and counts of what is left of the peaks,
    and the rest by channel.

    A photon that is absorbed at depth z keeps 1 - exp(-z/t) of its charge (Popp et al. 2000, Scholze & Procop 2009).
    So the lost share x is distributed as L x^(L-1), L = mu t: steep at 0 for hard photons, flat for soft ones. `tail`
    is L at O Kα. What loses less than a `BINS`th stays in the peak, which shifts.
    """
    strength = tail * lost_charge(energies_kev)
    lost = np.arange(BINS + 1) / BINS
    beyond = np.diff(lost ** strength[:, None], axis=1)  # share of the photons by share of charge lost
    kept = energies_kev * (1 - strength / (1 + strength) / BINS)
    rest = energies_kev[:, None] * (1 - (lost[1:-1] + lost[2:]) / 2)
    channels = np.rint((rest * 1e3 - axis.offset_ev) / axis.width_ev).astype(int)
    inside = (channels >= 0) & (channels < axis.channels)
    moved = (counts[:, None] * beyond[:, 1:])[inside]
    return kept, counts * beyond[:, 0], np.bincount(channels[inside], moved, axis.channels)


def lost_charge(energies_kev: np.ndarray) -> np.ndarray:
    """Silicon's attenuation beside that at O Kα."""
    return attenuation(SILICON, energies_kev) / float(attenuation(SILICON, np.array([OXYGEN_KEV]))[0])


def counted(detector: Detector, axis: EnergyAxis) -> np.ndarray:
    """Share of the pulses of each channel that the lower threshold lets pass."""
    if not detector.threshold_kev:
        return np.ones(axis.channels)
    return ndtr((axis.energies_kev - detector.threshold_kev) / THRESHOLD_SIGMA_KEV)


def with_pile_up(axis: EnergyAxis, rates: np.ndarray, detector: Detector) -> np.ndarray:
    """Counts a second and channel, of which two that come too close to each other count as one of both energies.

    First order: photons that come in threes are left out. Energy is conserved but for what leaves the axis.
    """
    pair_s = detector.pulse_pair_us * 1e-6
    soft_s = pair_s if detector.soft_pair_us is None else detector.soft_pair_us * 1e-6
    hard = np.where(axis.energies_kev >= detector.fast_threshold_kev, rates, 0.0)
    soft = rates - hard
    length = next_fast_len(2 * axis.channels, real=True)
    hard_waves, soft_waves = rfft(hard, length), rfft(soft, length)
    together = irfft(pair_s * hard_waves**2 + soft_s * soft_waves * (2 * hard_waves + soft_waves), length)
    shift = round(axis.offset_ev / axis.width_ev)  # channel i + j + shift holds the sum
    sums = np.zeros_like(rates)
    start = max(shift, 0)
    piece = together[max(-shift, 0) : max(-shift, 0) + len(rates) - start]
    sums[start : start + len(piece)] = np.maximum(piece, 0.0)
    lost = 2 * (hard * (pair_s * hard.sum() + soft_s * soft.sum()) + soft * soft_s * rates.sum())
    return np.maximum(rates - lost, 0.0) + sums
