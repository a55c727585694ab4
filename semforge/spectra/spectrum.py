"""One spectrum, and what is known of how it was taken."""

from dataclasses import dataclass, field

import numpy as np

from semforge.errors import InputError
from semforge.spectra.axis import LOWEST_KEV, EnergyAxis

ELEMENTS = "elements"  # key of the metadata: symbols that the instrument was told or found, as "O,Fe,Na"
RESOLUTION = "resolution_ev"  # key of the metadata: full width at half maximum at Mn Kα in eV


class Described:
    """What metadata say of a spectrum or a spectrum image, of single ones and of all its pixels alike."""

    metadata: dict[str, str]

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols of the elements that the file names."""
        return tuple(part.strip() for part in self.metadata.get(ELEMENTS, "").split(",") if part.strip())

    @property
    def resolution_ev(self) -> float | None:
        """Full width at half maximum of the detector at Mn Kα in eV."""
        return float(self.metadata[RESOLUTION]) if RESOLUTION in self.metadata else None


@dataclass(frozen=True)
class Spectrum(Described):
    """Counts a channel. None where nothing says how the spectrum was taken.

    Keys of `metadata`: `elements` and `resolution_ev` where known, all else as the file calls it.
    Raises InputError if counts and axis do not have the same number of channels, or as `require_counts`.
    """

    counts: np.ndarray  # (C,) counts, or expected counts
    axis: EnergyAxis
    beam_kev: float | None = None
    live_s: float | None = None
    take_off_deg: float | None = None
    title: str = ""
    metadata: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.counts.shape != (self.axis.channels,):
            raise InputError(f"a spectrum of shape {self.counts.shape} on {self.axis.describe()}: they do not fit")
        require_counts(self.counts)

    @property
    def total(self) -> float:
        """All counts at energies where there can be lines: the zero peak is not among them."""
        return float(total_counts(self.counts, self.axis))

    @property
    def empty(self) -> bool:
        """Whether nothing was counted; such a spectrum says nothing and may never be classified."""
        return bool(is_empty(self.counts, self.axis))


def total_counts(counts: np.ndarray, axis: EnergyAxis) -> np.ndarray:
    """Counts above the zero peak of spectra (..., C): (...)."""
    return counts[..., axis.channels_between(LOWEST_KEV, axis.high_kev)].sum(axis=-1, dtype=np.float64)


def require_counts(counts: np.ndarray) -> None:
    """Raise InputError if spectra (..., C) hold what nothing counts: less than none, or no number."""
    if counts.dtype.kind == "u" or not counts.size or (counts.min() >= 0 and np.isfinite(counts.max())):
        return
    wrong = ~(np.isfinite(counts) & (counts >= 0))
    where = np.unravel_index(int(wrong.argmax()), counts.shape)
    raise InputError(f"channel {where[-1]} holds {counts[where]:g}; expected counts as measured, no background removed")


def is_empty(counts: np.ndarray, axis: EnergyAxis) -> np.ndarray:
    """Whether spectra (..., C) have no counts above the zero peak: (...) bool. Such a one may never be classified."""
    return total_counts(counts, axis) <= 0
