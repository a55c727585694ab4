"""Percentiles, lognormal and the number needed, against NumPy, SciPy and simulation."""

import numpy as np
import pytest
from scipy import stats

from sem_train.measure.bodies.distributions import distribution, needed


def test_equal_weights_are_hazens_rule():
    values = np.random.default_rng(1).lognormal(1, 0.5, 57)
    found = distribution(values)
    for share, value in found.by_number.items():
        assert value == pytest.approx(np.percentile(values, share, method="hazen"))
    assert found.by_number[50] == pytest.approx(np.median(values))
    assert found.mean == pytest.approx(values.mean())
    assert found.sd == pytest.approx(values.std(ddof=1))


def test_a_weight_of_three_is_three_objects():
    values = np.array([1.0, 2.0, 4.0, 8.0])
    weights = np.array([3, 1, 2, 1])
    one_by_one = distribution(np.repeat(values, weights))
    weighted = distribution(values, weights)
    assert weighted.mean == pytest.approx(one_by_one.mean)
    many = distribution(np.repeat(values, 1000 * weights))  # where the halves of steps no longer matter
    fine = distribution(np.repeat(values, 1000), np.repeat(weights, 1000))
    assert fine.by_volume == pytest.approx(many.by_volume, rel=1e-3)


def test_volume_of_two_sizes():
    """Eight of size 1 have the volume of one of size 2."""
    found = distribution(np.array([1.0] * 8 + [2.0]))
    assert found.by_number[50] == 1.0
    assert found.by_volume[10] == 1.0
    assert found.by_volume[90] == 2.0


def test_lognormal_by_number_area_and_volume():
    """Hatch and Choate: D50 by volume is D50 by number times exp(3 sigma²)."""
    sigma, median = np.log(1.4), 2.0
    values = median * np.exp(sigma * stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000))
    found = distribution(values)
    assert found.by_number[50] == pytest.approx(median, rel=1e-3)
    assert found.by_area[50] == pytest.approx(median * np.exp(2 * sigma**2), rel=1e-3)
    assert found.by_volume[50] == pytest.approx(median * np.exp(3 * sigma**2), rel=1e-3)
    assert found.by_number[90] == pytest.approx(median * np.exp(1.281552 * sigma), rel=1e-3)
    assert found.span_number == pytest.approx(2 * np.sinh(1.281552 * sigma), rel=1e-3)
    assert found.lognormal.geometric_mean == pytest.approx(median, rel=1e-3)
    assert found.lognormal.geometric_sd == pytest.approx(1.4, rel=1e-3)


def test_anderson_darling_is_scipys():
    values = np.random.default_rng(2).lognormal(0, 0.4, 80)
    found = distribution(values).lognormal
    reference = stats.goodness_of_fit(stats.norm, np.log(values), statistic="ad", n_mc_samples=1, rng=1)
    assert found.anderson_darling == pytest.approx(reference.statistic * (1 + 0.75 / 80 + 2.25 / 80**2), rel=1e-6)


def test_p_value_is_uniform_where_it_fits_and_small_where_not():
    rng = np.random.default_rng(3)
    fits = np.array([distribution(rng.lognormal(1, 0.5, 60)).lognormal.p_value for _ in range(600)])
    assert 0.03 <= (fits < 0.05).mean() <= 0.08
    assert 0.44 <= (fits < 0.5).mean() <= 0.56
    two = [distribution(np.concatenate([rng.normal(1, 0.05, 40), rng.normal(3, 0.1, 40)])) for _ in range(20)]
    assert all(d.lognormal.p_value < 0.001 for d in two)


@pytest.mark.parametrize(("sigma_g", "power"), [(1.2, 0), (1.2, 3), (1.5, 0), (1.5, 2)])
def test_the_number_needed_gives_the_precision_promised(sigma_g, power):
    sigma, number = np.log(sigma_g), needed(sigma_g, power)
    rng = np.random.default_rng(4)
    logs = rng.normal(0, sigma, size=(2000, number))
    estimate = logs.mean(axis=1) + power * logs.var(axis=1, ddof=1)
    within = np.abs(np.exp(estimate - power * sigma**2) - 1) < 0.05
    assert within.mean() == pytest.approx(0.95, abs=0.02)


def test_few_equal_and_no_sizes():
    assert distribution(np.zeros(0)) is None
    assert distribution(np.array([2.0])).sd is None
    assert distribution(np.array([2.0])).by_volume == {10: 2.0, 50: 2.0, 90: 2.0}
    assert distribution(np.full(20, 3.0)).lognormal is None
    assert distribution(np.arange(1.0, 8.0)).lognormal is None
    assert distribution(np.arange(1.0, 9.0)).lognormal is not None
