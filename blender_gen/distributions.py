"""A number or a distribution, as a recipe writes it.

    thickness_um: 45
    thickness_um: {normal: {mean: 45, sd: 8, min: 20, max: 80}}
    thickness_um: {uniform: {low: 30, high: 60}}
    ecd_um:       {lognormal: {median: 2.5, sigma_g: 1.9, max: 20}}
    tilt_deg:     {choice: {values: [0, 90], weights: [3, 1]}}

Limits truncate the distribution: the values between them keep their relative frequencies.
"""

import math
import sys
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from scipy.special import ndtr, ndtri

from semforge.settings import Settings

Finite = Annotated[float, Field(allow_inf_nan=False)]
FARTHEST = 8.5  # standard deviations that a draw by inversion can be from the mean
RAREST = 1e-6  # limits must leave at least this share of a distribution


class Normal(Settings):
    """Normal distribution, truncated to [min, max]."""

    mean: Finite
    sd: Finite = Field(ge=0)
    min: float = -math.inf
    max: float = math.inf

    @model_validator(mode="after")
    def _reachable(self) -> "Normal":
        _check_limits(self.mean, self.sd, self.min, self.max)
        return self

    def draw(self, rng: np.random.Generator) -> float:
        """One value."""
        return _truncated_normal(rng, self.mean, self.sd, self.min, self.max)

    def support(self) -> tuple[float, float]:
        """Smallest and largest value that can come."""
        return max(self.min, self.mean - FARTHEST * self.sd), min(self.max, self.mean + FARTHEST * self.sd)

    def quantile(self, share: float) -> float:
        """The value that a share of all draws does not exceed."""
        return _quantile(share, self.mean, self.sd, self.min, self.max)


class Uniform(Settings):
    """Uniform distribution on [low, high)."""

    low: Finite
    high: Finite

    @model_validator(mode="after")
    def _ordered(self) -> "Uniform":
        if not self.low <= self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self

    def draw(self, rng: np.random.Generator) -> float:
        """One value."""
        return float(rng.uniform(self.low, self.high))

    def support(self) -> tuple[float, float]:
        """Smallest and largest value that can come."""
        return self.low, self.high

    def quantile(self, share: float) -> float:
        """The value that a share of all draws does not exceed."""
        return self.low + share * (self.high - self.low)


class Lognormal(Settings):
    """Lognormal distribution by median and geometric standard deviation, truncated to [min, max]."""

    median: Finite = Field(gt=0)
    sigma_g: float = Field(ge=1, le=10)
    min: float = Field(0.0, ge=0)
    max: float = math.inf

    @model_validator(mode="after")
    def _reachable(self) -> "Lognormal":
        _check_limits(*self._logarithms())
        return self

    def draw(self, rng: np.random.Generator) -> float:
        """One value."""
        return math.exp(_truncated_normal(rng, *self._logarithms()))

    def support(self) -> tuple[float, float]:
        """Smallest and largest value that can come."""
        reach = self.sigma_g**FARTHEST
        return max(self.min, self.median / reach), min(self.max, self.median * reach)

    def quantile(self, share: float) -> float:
        """The value that a share of all draws does not exceed."""
        return math.exp(_quantile(share, *self._logarithms()))

    def _logarithms(self) -> tuple[float, float, float, float]:
        low = math.log(self.min) if self.min > 0 else -math.inf
        high = math.log(self.max) if self.max > 0 else -math.inf
        return math.log(self.median), math.log(self.sigma_g), low, high


class Choice(Settings):
    """One of several values, with weights if given."""

    values: tuple[Finite, ...] = Field(min_length=1)
    weights: tuple[Finite, ...] | None = None

    @model_validator(mode="after")
    def _weights_fit(self) -> "Choice":
        if self.weights is not None:
            if len(self.weights) != len(self.values):
                raise ValueError(f"{len(self.weights)} weights for {len(self.values)} values")
            if min(self.weights) < 0 or sum(self.weights) <= 0:
                raise ValueError("weights must not be negative and not all zero")
        return self

    def draw(self, rng: np.random.Generator) -> float:
        """One value."""
        p = None if self.weights is None else np.asarray(self.weights) / sum(self.weights)
        return float(rng.choice(self.values, p=p))

    def support(self) -> tuple[float, float]:
        """Smallest and largest value that can come."""
        return min(self.values), max(self.values)

    def quantile(self, share: float) -> float:
        """The value that a share of all draws does not exceed."""
        weights = self.weights or (1.0,) * len(self.values)
        ordered = sorted((value, weight) for value, weight in zip(self.values, weights, strict=True) if weight > 0)
        shares = np.cumsum([weight for _, weight in ordered]) / sum(weights)
        return ordered[min(int(np.searchsorted(shares, share)), len(ordered) - 1)][0]


class Distribution(Settings):
    """Exactly one of the kinds above, or a fixed value."""

    fixed: Finite | None = None
    normal: Normal | None = None
    uniform: Uniform | None = None
    lognormal: Lognormal | None = None
    choice: Choice | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> "Distribution":
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("expected a number or one of normal, uniform, lognormal, choice")
        return self

    def draw(self, rng: np.random.Generator) -> float:
        """One value."""
        return self.fixed if self.fixed is not None else self._kind().draw(rng)

    def support(self) -> tuple[float, float]:
        """Smallest and largest value that can come."""
        return (self.fixed, self.fixed) if self.fixed is not None else self._kind().support()

    def quantile(self, share: float) -> float:
        """The value that a share (0 to 1) of all draws does not exceed."""
        return self.fixed if self.fixed is not None else self._kind().quantile(share)

    def _kind(self) -> Normal | Uniform | Lognormal | Choice:
        kind = self.normal or self.uniform or self.lognormal or self.choice
        assert kind is not None  # by _exactly_one
        return kind


def _from_number(value: Any) -> Any:
    if isinstance(value, bool | str):
        raise ValueError("expected a number or a distribution (YAML reads 5e-1 as text; write 0.5 or 5.0e-1)")
    if isinstance(value, int | float):
        if not abs(value) <= sys.float_info.max:  # an integer may be larger than any float
            raise ValueError("expected a finite number")
        return {"fixed": value}
    return value


def _within(low: float, high: float, low_open: bool = False) -> Callable[[Distribution], Distribution]:
    def check(distribution: Distribution) -> Distribution:
        least, most = distribution.support()
        if least < low or (low_open and least <= low) or most > high:
            bound = f"{'above' if low_open else 'at least'} {low:g}"
            bound += f" and at most {high:g}"
            raise ValueError(f"must be {bound}; it can be {least:g} to {most:g}, set min and max")
        return distribution

    return check


def between(low: float, high: float) -> AfterValidator:
    """For `Annotated[Number, between(...)]`: all values lie in [low, high]."""
    return AfterValidator(_within(low, high))


def positive(high: float) -> AfterValidator:
    """For `Annotated[Number, positive(...)]`: all values lie in (0, high]."""
    return AfterValidator(_within(0, high, low_open=True))


Number = Annotated[Distribution, BeforeValidator(_from_number)]
Fraction = Annotated[Number, between(0, 1)]


def _check_limits(mean: float, sd: float, low: float, high: float) -> None:
    if math.isnan(low) or math.isnan(high) or low > high:
        raise ValueError("min is above max")
    share = ndtr((high - mean) / sd) - ndtr((low - mean) / sd) if sd > 0 else float(low <= mean <= high)
    if share < RAREST:
        raise ValueError("min and max leave next to nothing of the distribution; it lies outside them")


def _quantile(share: float, mean: float, sd: float, low: float, high: float) -> float:
    if sd == 0:
        return mean
    first, last = ndtr((low - mean) / sd), ndtr((high - mean) / sd)
    return min(max(mean + sd * float(ndtri(first + share * (last - first))), low), high)


def _truncated_normal(rng: np.random.Generator, mean: float, sd: float, low: float, high: float) -> float:
    """By inversion, so that no limit makes it slow; mirrored where the upper tail would lose digits."""
    if sd == 0:
        return mean
    a, b = (low - mean) / sd, (high - mean) / sd
    sign = 1.0
    if a > 0:
        a, b, sign = -b, -a, -1.0
    value = mean + sign * sd * float(ndtri(rng.uniform(ndtr(a), ndtr(b))))
    return min(max(value, low), high)
