from typing import Annotated

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from blender_gen.distributions import Fraction, Number, between, positive

numbers = st.floats(-1e6, 1e6)
AnyNumber = Number
Positive = Annotated[Number, positive(1e6)]
NotNegative = Annotated[Number, between(0, 1e6)]


def parse(kind, value):
    return TypeAdapter(kind).validate_python(value)


@given(numbers)
def test_a_number_is_itself(value):
    assert parse(AnyNumber, value).draw(np.random.default_rng(0)) == value


@given(low=st.floats(-100, 100), width=st.floats(0, 100), seed=st.integers(0, 2**32))
def test_uniform_stays_within_its_limits(low, width, seed):
    drawn = parse(AnyNumber, {"uniform": {"low": low, "high": low + width}}).draw(np.random.default_rng(seed))
    assert low <= drawn <= low + width


@given(mean=st.floats(5, 50), sd=st.floats(0.1, 10), seed=st.integers(0, 2**32))
def test_truncated_normal_stays_within_its_limits(mean, sd, seed):
    value = {"normal": {"mean": mean, "sd": sd, "min": mean - sd, "max": mean + 2 * sd}}
    assert mean - sd <= parse(AnyNumber, value).draw(np.random.default_rng(seed)) <= mean + 2 * sd


def test_lognormal_has_its_median_and_spread():
    rng = np.random.default_rng(1)
    distribution = parse(Positive, {"lognormal": {"median": 2.5, "sigma_g": 1.9}})
    logs = np.log([distribution.draw(rng) for _ in range(4000)])
    error = np.log(1.9) / np.sqrt(len(logs))
    assert abs(logs.mean() - np.log(2.5)) < 4 * error
    assert abs(logs.std() - np.log(1.9)) < 4 * error / np.sqrt(2)


def test_choice_follows_its_weights():
    rng = np.random.default_rng(2)
    distribution = parse(AnyNumber, {"choice": {"values": [15, 20], "weights": [3, 1]}})
    share = np.mean([distribution.draw(rng) == 15 for _ in range(4000)])
    assert abs(share - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 4000)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (Positive, -3, "must be above 0"),
        (Positive, 0, "must be above 0"),
        (Positive, {"normal": {"mean": 5, "sd": 1}}, "set min and max"),
        (NotNegative, {"uniform": {"low": -1, "high": 1}}, "at least 0"),
        (Fraction, 1.2, "at most 1"),
        (AnyNumber, {"uniform": {"low": 2, "high": 1}}, "above high"),
        (AnyNumber, {"normal": {"mean": 0, "sd": 1, "min": 10}}, "next to nothing"),
        (AnyNumber, {"normal": {"mean": 0, "sd": 1, "min": 1, "max": 1}}, "next to nothing"),
        (AnyNumber, {"normal": {"mean": 0, "sd": 0, "min": 1}}, "next to nothing"),
        (AnyNumber, {"lognormal": {"median": 2, "sigma_g": 1.1, "min": 50}}, "next to nothing"),
        (AnyNumber, {"normal": {"mean": float("nan"), "sd": 1}}, "finite"),
        (AnyNumber, {"choice": {"values": [float("nan")]}}, "finite"),
        (AnyNumber, {"uniform": {"low": 0, "high": float("inf")}}, "finite"),
        (AnyNumber, "5e-1", "write 0.5"),
        (AnyNumber, {"choice": {"values": [1, 2], "weights": [1]}}, "1 weights for 2 values"),
        (AnyNumber, {"fixed": 1, "uniform": {"low": 0, "high": 1}}, "one of"),
        (AnyNumber, {}, "one of"),
        (AnyNumber, True, "number"),
        (AnyNumber, float("nan"), "finite"),
    ],
)
def test_what_makes_no_sense_is_refused(kind, value, message):
    with pytest.raises(ValidationError, match=message):
        parse(kind, value)


@pytest.mark.parametrize(
    "value",
    [
        {"normal": {"mean": 5, "sd": 2, "min": 4}},
        {"uniform": {"low": 2, "high": 6}},
        {"lognormal": {"median": 3, "sigma_g": 1.8, "max": 7}},
    ],
)
def test_a_quantile_is_not_exceeded_by_its_share_of_draws(value):
    """The number below it is binomial; a right program fails one seed in ten thousand."""
    distribution, rng, draws = parse(AnyNumber, value), np.random.default_rng(1), 4000
    for share in (0.01, 0.5, 0.9):
        limit = distribution.quantile(share)
        below = sum(distribution.draw(rng) <= limit for _ in range(draws))
        assert abs(below - share * draws) < 4.3 * np.sqrt(share * (1 - share) * draws)


def test_quantiles_of_numbers_and_choices():
    assert parse(AnyNumber, 3).quantile(0.2) == 3
    choice = parse(AnyNumber, {"choice": {"values": [9, 1, 4], "weights": [2, 0, 2]}})
    assert [choice.quantile(share) for share in (0.001, 0.4, 0.6, 1.0)] == [4, 4, 9, 9]


def test_truncation_keeps_the_shape_of_the_distribution():
    """Against the closed form of a truncated normal, far in its upper tail."""
    from scipy.stats import truncnorm

    rng = np.random.default_rng(3)
    distribution = parse(AnyNumber, {"normal": {"mean": 20, "sd": 2, "min": 26, "max": 30}})
    drawn = np.array([distribution.draw(rng) for _ in range(4000)])
    expected = truncnorm(3, 5, loc=20, scale=2)
    assert abs(drawn.mean() - expected.mean()) < 4 * expected.std() / np.sqrt(len(drawn))
    assert drawn.min() >= 26
    assert drawn.max() <= 30


def test_a_distribution_without_limits_passes_where_they_are_out_of_reach():
    assert parse(Positive, {"normal": {"mean": 45, "sd": 5}}).draw(np.random.default_rng(0)) > 0
