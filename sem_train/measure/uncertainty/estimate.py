"""A value with its uncertainty, in the vocabulary of the GUM (JCGM 100:2008).

Each source gives a `Spread`: its standard uncertainty u and the degrees of freedom that u itself is known with.
Independent sources add in quadrature; the degrees of freedom of the sum are those of Welch and Satterthwaite (GUM
G.4.1), and the 95 % interval is Student's with them: U = k·u, k the coverage factor. Where a source is not symmetric,
each side of the interval is worked out with its own u. A known bias that is not corrected moves the bound on its side
outwards by as much (GUM F.2.4.5).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy.stats import t as student_t

CONFIDENCE = 0.95
ANY = (-math.inf, math.inf)


@dataclass(frozen=True)
class Spread:
    """What one source of uncertainty adds to a value, in the unit of the value."""

    standard: float  # standard uncertainty u
    dof: float = math.inf  # degrees of freedom of u; infinite for one that is assumed, not estimated
    below: float | None = None  # half-widths of the 95 % interval by this source alone; None: symmetric, Student's
    above: float | None = None

    def side(self, half: float | None) -> float:
        """The standard uncertainty that stands for one side."""
        return self.standard if half is None else half / coverage_factor(self.dof)


@dataclass(frozen=True)
class Estimate:
    """One quantity with the interval that holds it with 95 % confidence. All in the unit of the value."""

    value: float  # as measured
    standard: float  # combined standard uncertainty u
    low: float  # 95 % interval
    high: float
    parts: dict[str, float]  # standard uncertainty by source
    note: str  # what the interval is of, and what it leaves out

    @property
    def expanded(self) -> float:
        """Expanded uncertainty U: half of the 95 % interval."""
        return (self.high - self.low) / 2

    @property
    def coverage_factor(self) -> float:
        """k = U / u; NaN where u is zero."""
        return self.expanded / self.standard if self.standard > 0 else math.nan


def combine(
    value: float,
    spreads: Mapping[str, Spread],
    note: str = "",
    bias: float = 0.0,
    bounds: tuple[float, float] = ANY,
) -> Estimate:
    """Add independent sources up. `bias`, measured minus true, is known but not corrected; `bounds` hold the quantity.

    The interval always holds `value` itself, also where that lies outside the bounds.
    """
    parts = list(spreads.values())
    standard = math.hypot(*(s.standard for s in parts))
    k = coverage_factor(effective_dof(parts))
    below = k * math.hypot(*(s.side(s.below) for s in parts)) + max(bias, 0.0)
    above = k * math.hypot(*(s.side(s.above) for s in parts)) + max(-bias, 0.0)
    low, high = max(value - below, bounds[0]), min(value + above, bounds[1])
    named = {name: s.standard for name, s in spreads.items()}
    return Estimate(value, standard, min(low, value), max(high, value), named, note)


def coverage_factor(dof: float) -> float:
    """k of a 95 % interval: 1.96 with many degrees of freedom, 12.7 with one; fewer than one count as one."""
    return float(student_t.isf((1 - CONFIDENCE) / 2, max(dof, 1.0)))


def effective_dof(spreads: list[Spread]) -> float:
    """Degrees of freedom of a sum in quadrature (Welch and Satterthwaite)."""
    total = sum(s.standard**2 for s in spreads)
    known = sum(s.standard**4 / s.dof for s in spreads)
    return total**2 / known if known > 0 else math.inf
