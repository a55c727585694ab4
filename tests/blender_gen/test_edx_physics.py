"""Simulated X-ray spectra against closed forms and independently computed ratios."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import simpson, trapezoid
from scipy.interpolate import RegularGridInterpolator

from blender_gen.edx import Conditions, Detector, film_share, phase, phase_spectrum, xray_range_um
from blender_gen.edx.attenuation import attenuation, transmission
from blender_gen.edx.background import bremsstrahlung
from blender_gen.edx.bremsstrahlung_table import CROSS_SECTIONS, ELECTRON_KEV, PHOTON_SHARE
from blender_gen.edx.conditions import CONTINUA
from blender_gen.edx.depth_distribution import depth_distribution
from blender_gen.edx.emission import backscatter_factor, emitted, generated, ionisations, stopping_power
from blender_gen.edx.fluorescence import enhancement
from blender_gen.edx.response import (
    broadened,
    drawn_lines,
    efficiency,
    escape_share,
    fwhm_ev,
    with_escape,
    with_lost_charge,
    with_pile_up,
)  # fmt: skip
from blender_gen.edx.spectrum import line_counts
from blender_gen.phases import Material, materials
from semforge.errors import InputError
from semforge.spectra import EnergyAxis

AXIS = EnergyAxis(2048, 10.0)
FE2AL5 = materials()["Fe2Al5"]


def counts_of(material, name, **conditions):
    made = Conditions(axis=AXIS, **conditions)
    _, counts = line_counts(material, made)
    return counts[[line.name for line in generated(material, made.beam_kev).lines].index(name)]


# Bethe, Joy & Luo, Love & Scott and Heinrich & Yakowitz, computed independently; here depths are those of XPP
@pytest.mark.parametrize(
    ("name", "beam_kev", "ratio"), [("Fe2Al5", 15.0, 0.193), ("Fe2Al5", 20.0, 0.361), ("FeAl", 15.0, 0.572)]
)
def test_iron_beside_aluminium(name, beam_kev, ratio):
    material = materials()[name]
    found = counts_of(material, "Fe Kα", beam_kev=beam_kev) / counts_of(material, "Al Kα", beam_kev=beam_kev)
    assert found == pytest.approx(ratio, rel=0.05)


def test_peak_over_background_of_iron():
    conditions = Conditions(beam_kev=15.0, axis=AXIS, background=1.0)
    spectrum = phase_spectrum(materials()["Fe"], conditions)
    peak = spectrum[AXIS.channel_of(6.4)]
    per_channel = bremsstrahlung(materials()["Fe"], 15.0, conditions.way_out, np.array([6.4]))[0] * 0.01
    background = per_channel * 0.02 / (4 * np.pi) * 6.241509e9
    assert peak / background - 1 == pytest.approx(107, rel=0.05)


def test_count_rate_of_an_aluminide():
    spectrum = phase_spectrum(FE2AL5, Conditions(beam_kev=15.0, axis=AXIS))
    assert spectrum[AXIS.channels_between(1.0, 20.0)].sum() == pytest.approx(37e3, rel=0.1)


# W = 130 eV at Mn Kα; the widths that Fiori & Newbury's formula gives
@pytest.mark.parametrize(
    ("energy_kev", "width_ev"), [(0.277, 53), (0.525, 59), (1.487, 77), (1.74, 81), (5.895, 130), (6.4, 135)]
)
def test_widths_of_peaks(energy_kev, width_ev):
    assert fwhm_ev(130.0, energy_kev) == pytest.approx(width_ev, abs=0.7)


def test_a_drawn_peak_has_its_width_position_and_counts():
    axis = EnergyAxis(4000, 1.0)
    drawn = drawn_lines(axis, Detector(resolution_ev=130.0), np.array([1.4867]), np.array([1000.0]))
    half = axis.energies_kev[drawn >= drawn.max() / 2]
    assert drawn.sum() == pytest.approx(1000)
    assert np.average(axis.energies_kev, weights=drawn) == pytest.approx(1.4867, abs=1e-6)
    assert 1000 * (half[-1] - half[0]) == pytest.approx(float(fwhm_ev(130.0, 1.4867)), abs=2.0)


def test_wings_keep_the_counts_and_widen_the_foot():
    plain, winged = (
        drawn_lines(AXIS, Detector(wings=share), np.array([3.69]), np.array([1000.0])) for share in (0.0, 0.05)
    )
    foot = AXIS.channel_of(3.69 - 1.6 * float(fwhm_ev(130.0, 3.69)) / 1000)
    assert winged.sum() == pytest.approx(1000)
    assert winged[foot] / plain.max() == pytest.approx(0.05 / 2.7 * 0.38, abs=0.003)
    assert winged[foot] > 5 * plain[foot]


def test_a_drooping_scale_moves_soft_peaks_alone():
    axis = EnergyAxis(8000, 1.0)
    for energy, shift_ev in ((0.277, -20 * np.exp(-0.277 / 0.6)), (6.4, 0.0)):
        drawn = drawn_lines(axis, Detector(droop_ev=20.0), np.array([energy]), np.ones(1))
        assert np.average(axis.energies_kev, weights=drawn) == pytest.approx(energy + shift_ev / 1000, abs=1e-5)


def test_broadening_keeps_counts_and_agrees_with_drawn_peaks():
    detector, counts = Detector(), np.zeros(2048)
    counts[640] = 500.0
    spread = broadened(AXIS, detector, counts)
    assert spread.sum() == pytest.approx(500)
    drawn = drawn_lines(AXIS, detector, np.array([6.4]), np.array([500.0]))
    assert np.abs(spread - drawn).max() < 0.02 * drawn.max()


@pytest.mark.parametrize("beam_kev", [7.3, 15.0, 30.0])
def test_ionisations_are_the_integral_of_bethe_over_joy_and_luo(beam_kev):
    iron, edge = materials()["Fe"], 7.112
    energies = np.linspace(edge, beam_kev, 20_001)
    q = 6.51e-20 * 2 * 0.9 * np.log(energies / edge) / (energies * edge)
    expected = 6.02214e23 / 55.85 * simpson(q / stopping_power(iron, energies), x=energies)
    assert ionisations(iron, "Fe", "K", beam_kev) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["carbon", "Al", "Fe", "Au"])
def test_backscatter_loss_grows_with_atomic_number_and_vanishes_at_the_edge(name):
    material = materials()[name]
    assert backscatter_factor(material, 15.0, 14.99) == pytest.approx(1, abs=1e-3)
    assert 1 - material.backscatter_coefficient(15.0) < backscatter_factor(material, 15.0, 2.0) < 1


def test_backscatter_loss_is_that_of_the_literature():
    # Duncumb & Reed 1968: R of copper K at U0 = 2.2, of gold M at U0 = 9
    assert backscatter_factor(materials()["Cu"], 20.0, 8.98) == pytest.approx(0.90, abs=0.03)
    assert backscatter_factor(materials()["Au"], 20.0, 2.206) == pytest.approx(0.63, abs=0.05)


def _distribution(name="Fe2Al5", edge=1.56, beam=15.0):
    return depth_distribution(materials()[name], beam, np.array([edge]), np.array([0.86]))


def test_depth_distribution_integrals_agree_with_the_sampled_function():
    found = _distribution()
    depth = np.linspace(0, 2e-3, 40_001)
    phi = found.big_a * np.exp(-found.a * depth) + (found.big_b * depth + found.phi0 - found.big_a) * np.exp(
        -found.b * depth
    )
    assert (phi > 0).all()
    for chi in (0.0, 3000.0, 30_000.0):
        sampled = trapezoid(phi * np.exp(-chi * depth), depth)
        assert found.emitted(np.array([chi]))[0] == pytest.approx(sampled, rel=1e-4)
        part = depth <= 1e-4
        sampled = trapezoid((phi * np.exp(-chi * depth))[part], depth[part])
        assert found.emitted_to(1e-4, np.array([chi]))[0] == pytest.approx(sampled, rel=1e-3)


def test_absorbed_share_is_near_that_of_heinrich_and_yakowitz():
    """Both describe the same measurements where absorption is moderate."""
    chi = 2880.0
    simple = (1 + 1.2e-6 * (15**1.65 - 1.56**1.65) * chi) ** -2
    found = _distribution()
    assert (found.emitted(np.array([chi])) / found.emitted(np.array([0.0])))[0] == pytest.approx(simple, rel=0.03)


def test_absorption_limits():
    found = _distribution()
    bulk = found.emitted(np.array([0.0]))[0]
    assert found.emitted(np.array([1e9]))[0] * 1e9 == pytest.approx(found.phi0[0], rel=1e-2)  # only the surface is seen
    shares = [found.emitted(np.array([chi]))[0] / bulk for chi in (0.0, 100.0, 1000.0, 10_000.0)]
    assert shares[0] == 1 and shares == sorted(shares, reverse=True)


def test_hard_lines_leave_soft_ones_stay():
    iron = materials()["Fe"]
    made, out = generated(iron, 15.0), emitted(iron, 15.0, 1 / np.sin(np.radians(40)))
    share = dict(zip([line.name for line in made.lines], out / made.photons, strict=True))
    assert share["Fe Kα"] > 0.97
    assert share["Fe Lα"] < 0.8


def test_iron_excites_chromium_and_nothing_excites_the_hardest_line():
    def factors(iron):
        alloy = Material("alloy", (("Fe", iron), ("Cr", 1 - iron)), 7.8)
        lines = generated(alloy, 20.0).lines
        found = enhancement(alloy, lines, 20.0, 1 / np.sin(np.radians(40)))
        return dict(zip([line.name for line in lines], found, strict=True))

    chromium = [factors(iron)["Cr Kα"] - 1 for iron in (1e-6, 0.3, 0.6, 0.9)]
    assert chromium[0] == pytest.approx(0, abs=1e-5) and chromium == sorted(chromium)
    assert 0.2 < chromium[-1] < 0.35
    assert factors(0.9)["Fe Kα"] == factors(0.9)["Fe Lα"] == 1


def test_a_flat_facet_towards_the_detector_absorbs_least():
    def oxygen(tilt_deg):
        material = materials()["quartz"]
        return counts_of(material, "O Kα", tilt_deg=tilt_deg) / counts_of(material, "Si Kα", tilt_deg=tilt_deg)

    ratios = [oxygen(tilt) for tilt in (-25.0, 0.0, 25.0, 50.0)]
    assert ratios == sorted(ratios)
    assert ratios[-1] > 1.5 * ratios[0]


def test_background_ends_at_the_beam_energy_and_steps_at_edges():
    energies = np.array([1.83, 1.85, 14.9, 15.0, 15.1, 18.0])
    found = bremsstrahlung(materials()["Si"], 15.0, 1.5, energies)
    assert found[1] < 0.8 * found[0]  # silicon absorbs above its own edge
    assert found[2] > 0 and (found[3:] == 0).all()


def test_background_where_nothing_is_absorbed_is_kramers_law():
    found = bremsstrahlung(materials()["carbon"], 15.0, 1e-6, np.array([2.0, 5.0, 10.0]))
    assert found == pytest.approx(2.2e-6 * 6 * (15 - np.array([2.0, 5.0, 10.0])) / [2.0, 5.0, 10.0], rel=1e-6)


@pytest.mark.parametrize("photon_kev", [0.5, 2.0, 6.4, 12.0])
def test_background_of_tabulated_cross_sections_is_their_integral_along_the_way(photon_kev):
    silicon = materials()["Si"]
    electrons = np.linspace(photon_kev, 15.0, 20_001)
    sections = RegularGridInterpolator((PHOTON_SHARE, np.log(ELECTRON_KEV)), CROSS_SECTIONS[1])(
        np.stack([photon_kev / electrons, np.log(np.maximum(electrons, 1.0))], axis=-1)
    )
    beta2 = 1 - (1 + electrons / 511.0) ** -2
    along = trapezoid(sections * 1e-27 * 14**2 / (beta2 * photon_kev) / stopping_power(silicon, electrons), electrons)
    expected = 6.02214e23 / 28.09 * along * backscatter_factor(silicon, 15.0, photon_kev)
    found = bremsstrahlung(silicon, 15.0, 1e-9, np.array([photon_kev]), "seltzer_berger")[0]
    assert found == pytest.approx(expected, rel=0.01)


def test_tabulated_background_is_softer_and_stronger_than_kramers():
    """Kramers' peak over background of iron is an upper bound."""
    energies = np.array([1.0, 4.0, 12.0])
    quartz = materials()["quartz"]
    ratio = bremsstrahlung(quartz, 15.0, 1.5, energies, "seltzer_berger") / bremsstrahlung(quartz, 15.0, 1.5, energies)
    assert ratio[0] > ratio[1] > ratio[2]
    at_iron = [bremsstrahlung(materials()["Fe"], 15.0, 1.5, np.array([6.4]), kind)[0] for kind in CONTINUA]
    assert 1.1 < at_iron[1] / at_iron[0] < 1.5


def test_escape_peak_takes_what_it_gives():
    counts = np.zeros(2048)
    counts[640], counts[150] = 1e6, 1e6
    left = with_escape(AXIS, counts)
    assert left.sum() == pytest.approx(counts.sum())
    assert left[640 - 174] == pytest.approx(1e6 * escape_share(np.array([6.4]))[0])
    assert 0.002 < left[640 - 174] / 1e6 < 0.008  # half a percent
    assert left[150] == 1e6  # below silicon's edge nothing escapes


def test_pile_up_keeps_the_energy_and_loses_a_count_a_pair():
    rates = np.zeros(2048)
    rates[52], rates[174], rates[640] = 3e4, 5e4, 1e4
    piled = with_pile_up(AXIS, rates, Detector(pulse_pair_us=0.3))
    assert (piled * AXIS.energies_kev).sum() == pytest.approx((rates * AXIS.energies_kev).sum())
    assert rates.sum() - piled.sum() == pytest.approx(rates.sum() ** 2 * 0.3e-6)
    assert piled[348] == pytest.approx(5e4**2 * 0.3e-6)  # two silicon photons
    assert piled[226] == pytest.approx(2 * 3e4 * 5e4 * 0.3e-6)  # oxygen and silicon


def test_pile_up_where_soft_photons_are_not_seen_by_the_fast_channel():
    rates = np.zeros(2048)
    rates[52], rates[174] = 3e4, 5e4
    piled = with_pile_up(AXIS, rates, Detector(pulse_pair_us=0.1, soft_pair_us=1.0, fast_threshold_kev=0.8))
    assert piled[348] == pytest.approx(5e4**2 * 0.1e-6)
    assert piled[104] == pytest.approx(3e4**2 * 1.0e-6)
    assert (piled * AXIS.energies_kev).sum() == pytest.approx((rates * AXIS.energies_kev).sum())


def test_pile_up_of_an_axis_that_begins_elsewhere():
    axis = EnergyAxis(2048, 10.0, -200.0)
    rates = np.zeros(2048)
    rates[axis.channel_of(1.74)] = 5e4
    piled = with_pile_up(axis, rates, Detector(pulse_pair_us=0.3))
    assert piled[axis.channel_of(3.48)] == pytest.approx(5e4**2 * 0.3e-6)


def test_lost_charge_moves_counts_down_and_keeps_them():
    energies, counts = np.array([0.277, 0.525, 6.4]), np.array([1e4, 1e4, 1e4])
    kept_at, kept, rest = with_lost_charge(AXIS, 0.03, energies, counts)
    assert kept.sum() + rest.sum() == pytest.approx(counts.sum(), rel=1e-3)
    shares = 1 - kept / counts
    assert shares[0] > shares[1] > 10 * shares[2]  # the softer, the nearer to the contact
    assert (kept_at <= energies).all()


@pytest.mark.parametrize("window", ["polymer", "silicon_nitride", "none"])
def test_efficiency_is_a_share(window):
    found = efficiency(Detector(window=window), np.linspace(0.1, 30, 300))
    assert ((found >= 0) & (found <= 1)).all()


def test_window_and_crystal():
    none = efficiency(Detector(window="none"), np.array([0.277, 6.4, 30.0]))
    assert none[:2] == pytest.approx([1, 1], abs=1e-5)
    assert none[2] < 0.2  # 450 µm of silicon let hard photons pass
    window = Material("window", (("C", 0.6), ("O", 0.4)), 1.4)
    expected = np.exp(-attenuation(window, np.array([1.0]))[0] * 1.4 * 0.3e-4)
    assert transmission(window, 0.3, np.array([1.0]))[0] == pytest.approx(expected)


def test_film_share_rises_from_nothing_to_all():
    conditions = Conditions(axis=AXIS)
    shares = [film_share(FE2AL5, t, conditions) for t in (0.0, 0.05, 0.2, 0.5, 1.0, 5.0)]
    assert shares[0] == 0 and shares == sorted(shares)
    assert shares[-1] == pytest.approx(1, abs=1e-3)
    assert film_share(FE2AL5, xray_range_um(FE2AL5, conditions), conditions) > 0.95
    with pytest.raises(InputError, match="Fe2Al5: found a thickness of -1"):
        film_share(FE2AL5, -1.0, conditions)


def test_xray_range_of_aluminium_in_an_aluminide():
    assert xray_range_um(FE2AL5, Conditions(axis=AXIS, beam_kev=15.0)) == pytest.approx(1.4, abs=0.02)


def test_a_carbon_coat_adds_carbon_and_takes_oxygen():
    def seen(nm):
        spectrum = phase_spectrum(materials()["quartz"], Conditions(axis=AXIS, coat="carbon", coat_nm=nm))
        return [spectrum[AXIS.channels_between(low, low + 0.1)].sum() for low in (0.23, 0.475, 1.69)]

    bare, thin, thick = seen(0.0), seen(20.0), seen(40.0)
    assert thin[0] > 5 * bare[0]
    assert (thick[0] - bare[0]) / (thin[0] - bare[0]) == pytest.approx(2, rel=0.05)
    assert bare[1] > thin[1] > thick[1]
    assert thick[2] == pytest.approx(bare[2], rel=0.02)


def test_a_coat_of_no_thickness_changes_nothing():
    quartz, bare = materials()["quartz"], Conditions(axis=AXIS)
    thin = replace(bare, coat="Au", coat_nm=1e-6)
    np.testing.assert_allclose(phase_spectrum(quartz, thin), phase_spectrum(quartz, bare), rtol=1e-5, atol=1e-6)
    assert film_share(quartz, 0.3, thin) == pytest.approx(film_share(quartz, 0.3, bare), rel=1e-6)


@pytest.mark.parametrize(("coat", "nm"), [("carbon", 20.0), ("carbon", 200.0), ("Au", 100.0)])
@pytest.mark.parametrize("name", ["quartz", "carbon", "calcite"])
def test_a_coat_takes_nothing_from_the_share_of_a_line_and_adds_none_of_its_own(coat, nm, name):
    material, bare = materials()[name], Conditions(axis=AXIS)
    coated = replace(bare, coat=coat, coat_nm=nm)
    shares = [film_share(material, t, coated) for t in (0.0, 0.2, 1.0, 20.0)]
    assert shares[0] == 0 and shares == sorted(shares) and shares[-1] == pytest.approx(1, abs=1e-6)
    # the share of all lines is a mean of those of single ones, with other weights than without the coat
    made = generated(material, 15.0)
    depths = depth_distribution(material, 15.0, made.edges_kev, made.exponents)
    chi = attenuation(material, made.energies_kev) * bare.way_out
    each = depths.emitted_to(material.density_g_cm3 * 1e-4, chi) / depths.emitted(chi)
    through = transmission(materials()[coat], nm * 1e-3 * bare.way_out, made.energies_kev)
    weights = line_counts(material, bare)[1] * through
    assert shares[2] == pytest.approx((weights * each).sum() / weights.sum(), rel=1e-9)


def test_the_range_is_that_of_a_line_of_the_specimen_whatever_its_coat_emits():
    carbon = materials()["carbon"]
    assert xray_range_um(carbon, Conditions(coat="Au", coat_nm=100.0)) == xray_range_um(carbon, Conditions())


def test_spectra_scale_with_the_solid_angle_and_are_read_only():
    near, far = (phase_spectrum(FE2AL5, Conditions(axis=AXIS, solid_angle_sr=angle)) for angle in (0.02, 0.01))
    assert near == pytest.approx(2 * far)
    with pytest.raises(ValueError, match="read-only"):
        near[0] = 1


def test_channels_may_be_wider():
    fine = phase_spectrum(FE2AL5, Conditions(axis=EnergyAxis(2000, 10.0, 5.0)))
    coarse = phase_spectrum(FE2AL5, Conditions(axis=EnergyAxis(1000, 20.0, 10.0)))
    assert coarse.sum() == pytest.approx(fine.sum(), rel=0.01)
    assert coarse == pytest.approx(fine.reshape(-1, 2).sum(axis=1), rel=0.03, abs=fine.max() * 0.01)


def test_what_the_beam_does_not_excite_is_refused_by_name():
    hydrogen = Material("solid hydrogen", (("H", 1.0),), 0.09)
    with pytest.raises(InputError, match=r"solid hydrogen: none of its elements \(H\) has a line that 15 keV excites"):
        phase_spectrum(hydrogen, Conditions(axis=AXIS))
    heavy = Material("sodium", (("Na", 1.0),), 0.97)
    with pytest.raises(InputError, match="sodium: none of its elements"):
        phase_spectrum(heavy, Conditions(axis=AXIS, beam_kev=1.0))


def test_an_unknown_phase_is_named_with_its_neighbours():
    with pytest.raises(InputError, match="phase 'albit' is not known; did you mean albite"):
        phase("albit")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"beam_kev": 0.5}, "beam_kev: found 0.5, expected 1 to 60"),
        ({"take_off_deg": 100.0}, "take_off_deg: found 100"),
        ({"tilt_deg": -39.0}, "tilt_deg: found -39, expected -35 to 75"),
        ({"solid_angle_sr": 0.0}, "solid_angle_sr: found 0"),
        ({"continuum": "guesswork"}, "continuum: found 'guesswork', expected one of kramers, seltzer_berger"),
        ({"coat": "marmalade"}, "coat: found 'marmalade'"),
        ({"beam_kev": float("nan")}, "beam_kev: found nan"),
    ],
)
def test_conditions_no_microscope_has_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        Conditions(axis=AXIS, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"window": "glass"}, "window: found 'glass', expected one of polymer"), ({"resolution_ev": 20.0}, "resolution")],
)
def test_detectors_no_one_builds_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        replace(Detector(), **change)


def test_dead_layer_ice_and_threshold_take_soft_photons():
    lines = np.array([0.277, 0.525, 6.4])
    plain = efficiency(Detector(), lines)
    iced = efficiency(Detector(ice_um=0.2), lines) / plain
    assert iced[0] < 0.95 < iced[1] < 1  # oxygen lets its own line pass
    dead = efficiency(Detector(dead_layer_nm=100.0), lines) / plain
    assert dead[0] < dead[1] < 0.99
    assert iced[2] > 0.999 and dead[2] > 0.995
    cut = phase_spectrum(materials()["carbon"], Conditions(axis=AXIS, detector=Detector(threshold_kev=0.4)))
    whole = phase_spectrum(materials()["carbon"], Conditions(axis=AXIS))
    assert cut[AXIS.channel_of(0.277)] < 1e-3 * whole[AXIS.channel_of(0.277)]
    assert cut[AXIS.channel_of(1.0)] == whole[AXIS.channel_of(1.0)]


def test_strobe_peak_lies_at_zero():
    axis = EnergyAxis(1024, 10.0, -200.0)
    with_peak, without = (
        phase_spectrum(materials()["Fe"], Conditions(axis=axis, detector=Detector(strobe=strobe)))
        for strobe in (5000.0, 0.0)
    )
    extra = with_peak - without
    assert extra.sum() == pytest.approx(5000)
    assert abs(int(np.argmax(extra)) - axis.channel_of(0.0)) == 0
