"""What of the beam's X-rays comes from which phase: boundaries, films, particles, shadows, maps."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr
from targets import balls_on, passes_of, target_of

from blender_gen.edx import Conditions, film_share, xray_range_um
from blender_gen.edx.attenuation import transmission
from blender_gen.edx.mixing import SPREAD_RANGES, Ground, mixture
from blender_gen.edx.particles import expected_spectrum, largest, scanned
from blender_gen.edx.shadow import LENGTHS_UM, passing, way_to_detector
from blender_gen.phases import materials
from blender_gen.recipe.imaging import Preparation
from semforge.errors import InputError
from semforge.spectra import EnergyAxis
from semforge.spectra.maps import element_maps, mappable, mapped_line, width_kev, windows

KEV15 = Conditions(beam_kev=15.0)
PIXEL_UM = 0.1


def seen_in(target, ground=None, conditions=KEV15, azimuth_deg=0.0):
    seen = mixture(target, conditions, azimuth_deg, ground).everywhere()
    return seen.shares.reshape(*target.seen.shape, -1), seen.way


def halves(left, right, size=120):
    phase = np.zeros((size, size), np.uint8)
    phase[:, size // 2 :] = 1
    return target_of(passes_of(phase), (left, right), PIXEL_UM)


def test_a_boundary_is_a_gaussian_as_wide_as_the_range_of_what_is_hit():
    shares, way = seen_in(halves("quartz", "pyrite"))
    across_um = (np.arange(120) + 0.5 - 60) * PIXEL_UM
    for solid, side in (("quartz", across_um < 0), ("pyrite", across_um > 0)):
        sigma = SPREAD_RANGES * xray_range_um(materials()[solid], KEV15)
        np.testing.assert_allclose(shares[60, side, 0], ndtr(-across_um / sigma)[side], atol=0.01)
    np.testing.assert_allclose(shares.sum(axis=-1), 1, atol=1e-5)
    assert not way.length.any()
    np.testing.assert_array_equal(shares[:, :10, 0], 1)


def test_a_beam_of_less_energy_sees_a_sharper_boundary():
    wide, narrow = (seen_in(halves("quartz", "calcite"), conditions=c)[0] for c in (KEV15, Conditions(beam_kev=7.0)))
    assert (wide[60, :, 0] % 1 > 0.05).sum() > 2 * (narrow[60, :, 0] % 1 > 0.05).sum() > 0


def test_resin_in_a_pore_is_resin_and_an_open_pore_shows_its_wall():
    phase = np.zeros((80, 80), np.uint8)
    phase[20:60, 20:60] = 1
    height = np.where(phase == 1, -3.0, 0.0).astype(np.float32)
    passes = passes_of(phase, height_um=height, wall=np.zeros_like(phase))
    resin = len(("quartz", "void"))
    filled, _ = seen_in(target_of(passes, ("quartz", "void"), PIXEL_UM, Preparation(filled_pores=1)))
    sigma = SPREAD_RANGES * xray_range_um(materials()["epoxy"], KEV15)
    square = (2 * ndtr(2.0 / sigma) - 1) ** 2  # what a Gaussian has inside a square 4 um wide about its middle
    assert filled[40, 40, resin] == pytest.approx(square, abs=0.02) and square < 0.9
    assert filled[5, 5, 0] == pytest.approx(1, abs=1e-4)
    shares, way = seen_in(target_of(passes, ("quartz", "void"), PIXEL_UM))
    assert shares[40, 40, 0] == pytest.approx(1, abs=1e-4)
    length = way.length.reshape(phase.shape)
    # the floor's right end lies in the shadow of the wall towards the detector, the left end beyond its length 3 um
    assert length[40, 58] > 0 and length[40, 22] == 0 and not length[phase == 0].any()


@pytest.mark.parametrize("radius_um", [0.15, 0.5, 3.0])
def test_a_ball_in_its_middle_is_a_film_as_thick_as_it_is_high(radius_um):
    passes = balls_on((radius_um,), side=161, pixel_um=radius_um / 40)
    target = target_of(passes, ("carbon", "quartz"), radius_um / 40)
    bare = replace(mixture(target, KEV15, 0.0, Ground(0, film=False)), spread_px=(0.0,) * 3)
    shares = bare.everywhere().shares.reshape(161, 161, 3)
    wanted = film_share(materials()["quartz"], radius_um, KEV15)
    assert shares[80, 80, 1] == pytest.approx(wanted, abs=0.02) and 0 < wanted < 1
    np.testing.assert_allclose(shares.sum(axis=-1), 1, atol=1e-5)
    assert shares[0, 0, 0] == 1
    inside = shares[80, 80:120, 1]
    assert np.all(np.diff(inside) <= 1e-6)  # thinner towards the edge


def test_a_body_on_another_hides_it_as_far_as_it_is_thick():
    phase = np.full((20, 20), 1, np.uint8)
    layers = {1: np.full((20, 20), 0.4, np.float32), 2: np.full((20, 20), 0.6, np.float32)}
    passes = passes_of(phase, height_um=np.ones((20, 20), np.float32), instance=phase.astype(np.uint32),
                       wall=phase, path_um=layers)  # fmt: skip
    target = target_of(passes, ("carbon", "quartz", "calcite"), PIXEL_UM)
    shares, _ = seen_in(target, Ground(0, film=False))
    upper, lower = (film_share(materials()[n], t, KEV15) for n, t in (("quartz", 0.4), ("calcite", 0.6)))
    wanted = ((1 - upper) * (1 - lower), upper, (1 - upper) * lower, 0)
    np.testing.assert_allclose(shares[10, 10], wanted, atol=0.01)


def test_a_supporting_film_gives_what_it_holds_back_and_a_hole_nothing():
    phase = np.zeros((40, 40), np.uint8)
    film = np.full((40, 40), 0.02, np.float32)
    film[:, 20:] = 0
    target = target_of(passes_of(phase, path_um={0: film}), ("carbon", "quartz"), PIXEL_UM)
    bare = replace(mixture(target, KEV15, 0.0, Ground(0, film=True)), spread_px=(0.0,) * 3)
    shares = bare.everywhere().shares.reshape(40, 40, 3)
    assert shares[5, 5].sum() == pytest.approx(film_share(materials()["carbon"], 0.02, KEV15), rel=0.05)
    assert shares[5, 5].sum() < 0.2 and not shares[:, 20:].any()


def ridge(height_um=4.0, size=100):
    """A wall along the columns 50 to 54, of pyrite on carbon."""
    height, seen = np.zeros((size, size), np.float32), np.zeros((size, size), np.uint8)
    height[:, 50:55], seen[:, 50:55] = height_um, 1
    return height, seen


@pytest.mark.parametrize(("azimuth", "dark"), [(0, "left"), (180, "right")])
def test_a_wall_throws_a_shadow_away_from_the_detector(azimuth, dark):
    height, seen = ridge()
    take_off = 35.0
    rows, columns = np.full(100, 50), np.arange(100)
    way = way_to_detector(height, seen, PIXEL_UM, take_off, azimuth, rows, columns)
    reach_px = 4.0 / np.tan(np.radians(take_off)) / PIXEL_UM
    lit = way.length == 0
    away = (50 - columns) if dark == "left" else (columns - 54)
    assert lit[(away <= 0) | (away > reach_px + 1)].all()
    assert not lit[(away > 0) & (away < reach_px - 5)].any()
    assert set(way.solid[~lit]) == {1} and not way.solid[lit].any()
    # right behind the wall the ray goes through all of its 0.5 um, at an angle
    through = 0.5 / np.cos(np.radians(take_off))
    found = LENGTHS_UM[int(way.length[49 if dark == "left" else 55])]
    assert found == min(LENGTHS_UM, key=lambda one: abs(np.log(max(one, 0.01) / through)))


def test_a_slope_does_not_shadow_itself():
    height = np.tile(np.arange(100, dtype=np.float32) * PIXEL_UM * 0.5, (100, 1))  # rises towards the detector
    rows, columns = np.divmod(np.arange(10_000), 100)
    way = way_to_detector(height, np.zeros((100, 100), np.uint8), PIXEL_UM, 35.0, 0.0, rows, columns)
    assert not way.length.any()


def test_a_shadow_takes_soft_x_rays_and_lets_hard_ones_pass():
    energies, pyrite = np.array([0.28, 6.4]), materials()["pyrite"]
    assert np.all(passing((1, 0), [pyrite, pyrite], energies) == 1)
    soft, hard = passing((1, 6), [materials()["carbon"], pyrite], energies)
    assert soft < 0.01 and hard > 0.7
    np.testing.assert_allclose((soft, hard), transmission(pyrite, LENGTHS_UM[6], energies))


def test_the_largest_bodies_come_first_and_the_beam_stands_in_their_middle():
    instance = np.zeros((40, 40), np.uint32)
    instance[2:5, 2:5], instance[10:30, 10:30], instance[35:37, 35:40], instance[0, 0] = 7, 3, 5, 9
    assert largest(instance, 3).tolist() == [3, 5, 7] and largest(instance, 64).tolist() == [3, 5, 7, 9]
    assert len(largest(np.zeros((4, 4), np.uint32), 5)) == 0
    (rows, columns), small = scanned(instance, [3, 7], point=False)
    assert len(rows) == 400 and rows.min() == 10 and columns.max() == 29 and len(small[0]) == 9
    (row, column), (y, x) = scanned(instance, [3, 7], point=True)
    assert len(row) == 1 and abs(row[0] - 19.5) < 1.5 and abs(column[0] - 19.5) < 1.5 and (y[0], x[0]) == (3, 3)


def test_a_particles_spectrum_is_the_mean_of_its_pixels():
    target = halves("quartz", "calcite", 60)
    mixed = mixture(target, KEV15, 0.0, None)
    spectra = np.random.default_rng(0).uniform(size=(3, 2048))
    rows, columns = np.array([30, 30, 2]), np.array([29, 30, 5])
    expected, shares = expected_spectrum(mixed.at(rows, columns), spectra, target.solids, KEV15.axis)
    np.testing.assert_allclose(expected, shares @ spectra, rtol=1e-6)
    every = mixed.everywhere().shares.reshape(60, 60, 3)
    np.testing.assert_allclose(shares, every[rows, columns].mean(axis=0), rtol=1e-6)


AXIS = EnergyAxis(1024, 10.0)


def test_elements_are_mapped_by_the_hardest_line_that_is_excited_well():
    lines = {e: mapped_line(e, 15.0, AXIS) for e in ("Si", "Fe", "Zn", "Ba", "Au")}
    assert {e: line.name for e, line in lines.items()} == {
        "Si": "Si Kα", "Fe": "Fe Kα", "Zn": "Zn Kα", "Ba": "Ba Lα", "Au": "Au Mα"}  # fmt: skip
    assert mapped_line("Zn", 10.0, AXIS).name == "Zn Lα"  # its K edge lies at 9.66 keV
    assert mappable(("O", "H", "Fe", "C", "Fe"), 5.0, AXIS) == ("C", "O", "Fe")
    with pytest.raises(InputError, match="elements: H has no line below 15 keV"):
        windows(("Si", "H"), 15.0, AXIS, 130.0)
    with pytest.raises(InputError, match="'Xx' is not a chemical element"):
        windows(("Xx",), 15.0, AXIS, 130.0)


def test_maps_are_sums_in_windows_and_net_maps_leave_out_the_background():
    (window,) = windows(("Si",), 15.0, AXIS, 130.0)
    assert window.high_kev - window.low_kev == pytest.approx(1.2 * width_kev(1.74, 130.0), rel=1e-3)
    assert width_kev(5.895, 130.0) == pytest.approx(0.130) and width_kev(0.277, 130.0) == pytest.approx(0.053, abs=2e-3)
    counts = np.full((2, 3, 1024), 4, np.uint16)
    inside = AXIS.channels_between(window.low_kev, window.high_kev)
    number = inside.stop - inside.start
    counts[1, 2, inside] += 10
    gross, net = element_maps(counts, (window,), AXIS), element_maps(counts, (window,), AXIS, net=True)
    assert gross.dtype == np.uint32 and gross.shape == (1, 2, 3) and gross[0, 0, 0] == 4 * number
    assert net.dtype == np.int32 and net[0, 0, 0] == 0 and net[0, 1, 2] == 10 * number
