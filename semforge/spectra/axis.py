"""Which energies the channels of a spectrum hold."""

import math
from dataclasses import dataclass

import numpy as np

from semforge.errors import InputError

LOWEST_KEV = 0.1  # no line of any element that a detector sees lies below; there are noise and the zero peak


@dataclass(frozen=True)
class EnergyAxis:
    """Channels of equal width. The centre of channel i lies at `offset_ev + i * width_ev`.

    Raises InputError for no channels and for a width that is none.
    """

    channels: int
    width_ev: float
    offset_ev: float = 0.0  # centre of the first channel

    def __post_init__(self) -> None:
        usable = self.channels >= 1 and self.width_ev > 0 and math.isfinite(self.width_ev + self.offset_ev)
        if not usable:
            raise InputError(f"an energy axis of {self.describe()}: expected at least one channel of a width above 0")

    @property
    def energies_kev(self) -> np.ndarray:
        """Centres of the channels (C,) float64 in keV."""
        return (self.offset_ev + self.width_ev * np.arange(self.channels)) / 1000

    @property
    def edges_kev(self) -> np.ndarray:
        """Edges of the channels (C + 1,) float64 in keV."""
        return (self.offset_ev + self.width_ev * (np.arange(self.channels + 1) - 0.5)) / 1000

    @property
    def low_kev(self) -> float:
        """Lower edge of the first channel."""
        return (self.offset_ev - 0.5 * self.width_ev) / 1000

    @property
    def high_kev(self) -> float:
        """Upper edge of the last channel."""
        return (self.offset_ev + (self.channels - 0.5) * self.width_ev) / 1000

    def channel_of(self, energy_kev: float) -> int:
        """The channel that an energy falls into; below 0 or from `channels` on where it is off the axis."""
        return math.floor((1000 * energy_kev - self.offset_ev) / self.width_ev + 0.5)

    def covers(self, energy_kev: float) -> bool:
        """Whether an energy falls into one of the channels."""
        return 0 <= self.channel_of(energy_kev) < self.channels

    def channels_between(self, low_kev: float, high_kev: float) -> slice:
        """The channels whose centres lie from `low_kev` to `high_kev`, those off the axis left out."""
        first = math.ceil((1000 * low_kev - self.offset_ev) / self.width_ev - 1e-9)
        last = math.floor((1000 * high_kev - self.offset_ev) / self.width_ev + 1e-9)
        start = min(max(first, 0), self.channels)
        return slice(start, max(start, min(last + 1, self.channels)))

    def describe(self) -> str:
        """For messages: `1024 channels of 10 eV from 0`."""
        return f"{self.channels} channels of {self.width_ev:.6g} eV from {self.offset_ev:.6g}"
