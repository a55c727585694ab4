"""Formulas of single sources against published values and hand calculation."""

import math

import numpy as np
import pytest

from sem_train.measure.uncertainty.bootstrap import block_bootstrap, circular_blocks, size_spreads
from sem_train.measure.uncertainty.estimate import Spread, combine, coverage_factor, effective_dof
from sem_train.measure.uncertainty.proportions import count_spread, share_spread
from sem_train.measure.uncertainty.series import autocovariance, series_mean
from sem_train.measure.uncertainty.sources import Sources
from sem_train.measure.uncertainty.systematic import EDGE_PX, u_calibration, u_edge, u_tilt
from sem_train.measure.uncertainty.units import length_power
from semforge.errors import InputError


def ar1(rng, n, phi):
    """A stationary autoregressive series of variance 1 / (1 - phi²)."""
    noise = rng.normal(size=n)
    values = np.empty(n)
    values[0] = noise[0] / math.sqrt(1 - phi**2)
    for i in range(1, n):
        values[i] = phi * values[i - 1] + noise[i]
    return values


@pytest.mark.parametrize("phi", [0.5, 0.9])
def test_effective_number_of_an_autoregressive_series(phi):
    n = 20_000
    found = [series_mean(ar1(np.random.default_rng(seed), n, phi)) for seed in range(5)]
    assert np.mean([f.n_eff for f in found]) == pytest.approx(n * (1 - phi) / (1 + phi), rel=0.1)
    assert np.mean([f.correlation_length for f in found]) == pytest.approx((1 + phi) / (1 - phi) / 2, rel=0.1)
    assert np.mean([f.variance for f in found]) == pytest.approx(1 / (1 - phi**2), rel=0.05)


def test_white_noise_is_worth_all_its_values():
    rng = np.random.default_rng(1)
    found = [series_mean(rng.normal(size=1000)) for _ in range(50)]
    assert 0.8 < np.median([f.n_eff for f in found]) / 1000 <= 1.0


def test_a_constant_series_has_no_spread():
    found = series_mean(np.full(100, 7.3))
    assert (found.mean, found.n_eff) == (pytest.approx(7.3), 100)
    assert found.spread.standard == 0
    assert [s.standard for s in block_bootstrap(np.full(100, 7.3), lambda d: d.std(axis=1)[None])] == [0.0]


def test_a_trend_is_worth_hardly_one_value():
    found = series_mean(np.linspace(10.0, 20.0, 512))
    assert found.n_eff < 2
    # the true mean may lie beyond all that was seen
    assert coverage_factor(found.spread.dof) * found.spread.standard > 5


@pytest.mark.parametrize("n", [3, 4, 7])
def test_short_series_still_give_an_interval(n):
    found = series_mean(np.arange(n) % 2 + 1.0)
    assert 1 <= found.n_eff <= n
    assert np.isfinite(found.spread.standard) and found.spread.standard > 0


def test_two_values_tell_nothing():
    assert series_mean(np.array([1.0, 2.0])) is None
    assert block_bootstrap(np.array([1.0, 2.0]), lambda d: d.mean(axis=1)[None]) == []


def test_autocovariance_of_an_alternating_series():
    values = np.tile([1.0, -1.0], 50)
    assert autocovariance(values)[:4] == pytest.approx([1, -1, 1, -1])


def test_blocks_are_runs_of_neighbours():
    drawn = circular_blocks(20, 5, 50)
    assert drawn.shape == (50, 20)
    assert ((np.diff(drawn.reshape(50, 4, 5), axis=2) % 20) == 1).all()


def test_bootstrap_of_the_median_of_independent_values():
    values = np.random.default_rng(0).normal(size=2000)
    (found,) = block_bootstrap(values, lambda d: np.median(d, axis=1)[None])
    assert found.standard == pytest.approx(math.sqrt(math.pi / 2 / 2000), rel=0.15)


def test_bootstrap_of_sizes():
    rng = np.random.default_rng(0)
    sizes = np.exp(rng.normal(scale=0.4, size=1000))
    found = size_spreads(sizes, np.ones(1000))
    assert found["ecd_mean"].standard == pytest.approx(sizes.std() / math.sqrt(1000), rel=0.1)
    # u of a quantile is √(p(1-p)/n) over the density there; the median of this lognormal has the density 1/(0.4√(2π))
    assert found["d50_number"].standard == pytest.approx(0.5 / math.sqrt(1000) * 0.4 * math.sqrt(2 * math.pi), rel=0.15)
    # few large bodies make most of the volume
    assert found["d50_volume"].standard > 1.5 * found["d50_number"].standard
    assert size_spreads(sizes[:4], np.ones(4)) == {}


def test_weights_count_as_so_many_bodies():
    sizes = np.r_[np.full(50, 1.0), np.full(50, 3.0)]
    twice = size_spreads(sizes, np.r_[np.full(50, 3.0), np.ones(50)])["ecd_mean"]
    drawn = np.random.default_rng(3).binomial(100, 0.5, 20_000)  # of the first kind
    expected = ((3 * drawn + 3 * (100 - drawn)) / (3 * drawn + 100 - drawn)).std()
    assert twice.standard == pytest.approx(expected, rel=0.1)


def test_calibration_edge_and_tilt_by_hand():
    assert u_calibration(60.0, 1, 2.0) == pytest.approx(1.2)
    assert u_calibration(0.05, -2, 2.0) == pytest.approx(0.002)
    assert pytest.approx(0.2887, abs=1e-4) == EDGE_PX
    assert u_edge(EDGE_PX, 0.2) == pytest.approx(math.sqrt(2) * 0.28868 * 0.2, rel=1e-4)
    # 10 degrees known to 1: t·u·tan α = 60 · 0.017453 · 0.176327
    assert u_tilt(60.0, 10.0, 1.0) == pytest.approx(60 * 0.0174533 * 0.1763270, rel=0.01)


def test_tilt_of_a_section_meant_to_be_square():
    """Angles drawn about zero: what is seen is too large by the root mean square that u states."""
    angles = np.radians(np.random.default_rng(0).normal(scale=3.0, size=200_000))
    excess = 60 / np.cos(angles) - 60
    assert u_tilt(60.0, 0.0, 3.0) == pytest.approx(math.sqrt((excess**2).mean()), rel=0.02)


@pytest.mark.parametrize(("unit", "power"), [("um", 1), ("px", 1), ("um^2", 2), ("1/um^2", -2), ("1/px", -1), ("%", 0),
                                             ("", 0), ("deg", 0)])  # fmt: skip
def test_powers_of_the_pixel_size(unit, power):
    assert length_power(unit) == power


def test_degrees_of_freedom_of_the_gauge_block():
    """GUM example H.1: u_c = 32 nm with 16 degrees of freedom."""
    parts = [Spread(25.0, 18), Spread(9.7, 25.6), Spread(2.9, 50), Spread(16.6, 2)]
    assert math.hypot(*(p.standard for p in parts)) == pytest.approx(32, abs=0.5)
    assert int(effective_dof(parts)) == 16


def test_sources_add_in_quadrature():
    e = combine(10.0, {"a": Spread(3.0), "b": Spread(4.0)})
    assert e.standard == pytest.approx(5)
    assert (e.low, e.high) == (pytest.approx(10 - 9.8, abs=0.01), pytest.approx(10 + 9.8, abs=0.01))
    assert e.coverage_factor == pytest.approx(1.96, abs=0.001)
    assert e.parts == {"a": 3.0, "b": 4.0}


def test_a_known_bias_moves_the_bound_towards_the_truth():
    high = combine(10.0, {"a": Spread(1.0)}, bias=0.5)  # measured too large
    low = combine(10.0, {"a": Spread(1.0)}, bias=-0.5)
    assert (10 - high.low, high.high - 10) == (pytest.approx(2.46, abs=0.001), pytest.approx(1.96, abs=0.001))
    assert (10 - low.low, low.high - 10) == (pytest.approx(1.96, abs=0.001), pytest.approx(2.46, abs=0.001))


def test_bounds_hold_the_interval_and_the_interval_holds_the_value():
    e = combine(1.0, {"a": Spread(1.0)}, bounds=(0.0, 100.0))
    assert e.low == 0.0
    assert combine(-0.5, {"a": Spread(0.0)}, bounds=(0.0, 100.0)).low == -0.5


def test_exact_interval_of_a_count():
    """Garwood's limits as tables have them: none seen, up to 3.69; ten seen, 4.80 to 18.39."""
    none, ten = count_spread(0), count_spread(10)
    assert none.above == pytest.approx(3.689, abs=0.001) and none.below == 0
    assert (10 - ten.below, 10 + ten.above) == (pytest.approx(4.795, abs=0.001), pytest.approx(18.391, abs=0.001))
    assert ten.standard == pytest.approx(math.sqrt(10))
    assert count_spread(10, 4.0).above > ten.above


def test_exact_interval_of_a_share():
    """Clopper and Pearson: 5 of 10, 18.7 to 81.3 %; 10 of 10, at least 69.2 %."""
    half, all_ = share_spread(0.5, 10, math.inf), share_spread(1.0, 10, math.inf)
    assert (0.5 - half.below, 0.5 + half.above) == (pytest.approx(0.187, abs=0.001), pytest.approx(0.813, abs=0.001))
    assert 1 - all_.below == pytest.approx(0.692, abs=0.001) and all_.above == 0
    assert share_spread(0.5, 10, 4).below > half.below


@pytest.mark.parametrize("wrong", [{"calibration_percent": -1}, {"edge_px": math.nan}, {"tilt_deg": 90.0},
                                   {"tilt_uncertainty_deg": -2}])  # fmt: skip
def test_impossible_sources_are_refused(wrong):
    with pytest.raises(InputError, match="expected"):
        Sources(**wrong)
