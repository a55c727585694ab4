"""A number or a distribution, as a recipe writes it.

    thickness_um: 45
    thickness_um: {normal: {mean: 45, sd: 8, min: 20, max: 80}}
    thickness_um: {uniform: {low: 30, high: 60}}
    ecd_um:       {lognormal: {median: 2.5, sigma_g: 1.9, max: 20}}
    tilt_deg:     {choice: {values: [0, 90], weights: [3, 1]}}

Limits truncate the distribution: values beyond them are drawn again, not moved onto them.
"""

import math
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from semforge.settings import Settings

MAX_DRAWS = 1000


class Normal(Settings):
    """Normal distribution, truncated to [min, max]."""

    mean: float
    sd: float = Field(ge=0)
    min: float = -math.inf
    max: float = math.inf

    @model_validator(mode="after")
    def _reachable(self) -> "Normal":
        if not self.min <= self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        if self.mean + 4 * self.sd < self.min or self.mean - 4 * self.sd > self.max:
            raise ValueError(f"mean {self.mean} lies more than 4 sd outside [{self.min}, {self.max}]")
        return self

    def draw(self, rng: np.random.Generator) -> float:
        """One value."""
        return _truncated(lambda: rng.normal(self.mean, self.sd), self.min, self.max)

    def support(self) -> tuple[float, float]:
        """Smallest and largest value that can come."""
        return (self.min, self.max) if self.sd > 0 else (self.mean, self.mean)


class Uniform(Settings):
    """Uniform distribution on [low, high)."""

    low: float
    high: float

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


class Lognormal(Settings):
    """Lognormal distribution by median and geometric standard deviation, truncated to [min, max]."""

    median: float = Field(gt=0)
    sigma_g: float = Field(ge=1)
    min: float = 0.0
    max: float = math.inf

    @model_validator(mode="after")
    def _reachable(self) -> "Lognormal":
        reach = self.sigma_g**4
        if not self.min <= self.max or self.median * reach < self.min or self.median / reach > self.max:
            raise ValueError(f"median {self.median} lies far outside [{self.min}, {self.max}]")
        return self

    def draw(self, rng: np.random.Generator) -> float:
        """One value."""
        return _truncated(lambda: self.median * self.sigma_g ** rng.normal(), self.min, self.max)

    def support(self) -> tuple[float, float]:
        """Smallest and largest value that can come; a lognormal value is never zero."""
        return max(self.min, math.nextafter(0, 1)), self.max


class Choice(Settings):
    """One of several values, with weights if given."""

    values: tuple[float, ...] = Field(min_length=1)
    weights: tuple[float, ...] | None = None

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


class Distribution(Settings):
    """Exactly one of the kinds above, or a fixed value."""

    fixed: float | None = None
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

    def _kind(self) -> Normal | Uniform | Lognormal | Choice:
        kind = self.normal or self.uniform or self.lognormal or self.choice
        assert kind is not None  # by _exactly_one
        return kind


def _from_number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected a number or a distribution")
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise ValueError("expected a finite number")
        return {"fixed": value}
    return value


def _within(low: float, high: float, low_open: bool = False) -> Callable[[Distribution], Distribution]:
    def check(distribution: Distribution) -> Distribution:
        least, most = distribution.support()
        if least < low or (low_open and least <= low) or most > high:
            bound = f"{'above' if low_open else 'at least'} {low:g}"
            bound += f" and at most {high:g}" if high < math.inf else ""
            raise ValueError(f"must be {bound}; it can be {least:g} to {most:g}, set min and max")
        return distribution

    return check


_any = BeforeValidator(_from_number)
AnyNumber = Annotated[Distribution, _any]
NotNegative = Annotated[Distribution, _any, AfterValidator(_within(0, math.inf))]
Positive = Annotated[Distribution, _any, AfterValidator(_within(0, math.inf, low_open=True))]
Fraction = Annotated[Distribution, _any, AfterValidator(_within(0, 1))]
Percent = Annotated[Distribution, _any, AfterValidator(_within(0, 100))]


def _truncated(draw: Callable[[], float], low: float, high: float) -> float:
    for _ in range(MAX_DRAWS):
        value = float(draw())
        if low <= value <= high:
            return value
    raise ValueError(f"no value within [{low}, {high}] in {MAX_DRAWS} draws")
