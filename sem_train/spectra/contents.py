"""What a page of X-ray results shows, as plain data; `sem_train.spectra.page` draws it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from semforge.spectra import EnergyAxis

NOT_NAMED = "not named"  # what shares call the rest
UNNAMED = -1  # in a map of phases: pixels that were not named, or lie outside what was mapped


@dataclass(frozen=True)
class ShownSpectrum:
    """A spectrum with labelled lines, alone or beside others on the same axis."""

    name: str
    counts: np.ndarray  # (C,)
    axis: EnergyAxis
    beam_kev: float | None = None
    elements: tuple[str, ...] = ()  # whose lines are labelled, where there is a peak
    note: str = ""  # below the figure, e.g. "named quartz, probability 0.93"
    beside: Mapping[str, np.ndarray] = field(default_factory=dict)  # others (C,) by name, e.g. "simulated"
    deciding: tuple[tuple[float, float, float], ...] = ()  # from keV, to keV, weight of -1 to 1: what named it


@dataclass(frozen=True)
class ShownElements:
    """Maps of elements, all of one shape."""

    maps: Mapping[str, np.ndarray]  # (H, W) counts by what is shown, e.g. "Fe Kα"
    pixel_size_um: float | None = None
    together: tuple[str, ...] = ()  # two or three of the maps to lay over each other; none: no such picture
    note: str = ""


@dataclass(frozen=True)
class Share:
    """How much of a sample a phase or class is, as a share of 0 to 1 with the ends of its 95 % interval."""

    name: str
    share: float
    low_95: float | None = None
    high_95: float | None = None
    count: int | None = None  # of particles or pixels
    note: str = ""


@dataclass(frozen=True)
class ShownPhases:
    """Phases, or the classes of particles, by pixel, to lie over the micrograph."""

    phases: np.ndarray  # (H, W) position in `names`, UNNAMED elsewhere
    names: tuple[str, ...]
    micrograph: np.ndarray | None = None  # (h, w) grey or (h, w, 3) of the same field; of any size
    pixel_size_um: float | None = None  # of `phases`
    confidence: np.ndarray | None = None  # (H, W) probability of what is named
    shares: tuple[Share, ...] = ()  # none: counted from the pixels
    what: str = "phase"  # "phase" or "class", for headings
    note: str = ""


@dataclass(frozen=True)
class ShownPicture:
    """Any other picture, such as what part of a particle decided."""

    name: str
    picture: np.ndarray  # (H, W) or (H, W, 3) uint8
    note: str = ""


Value = str | int | float | None


@dataclass(frozen=True)
class ShownTable:
    """A table whose headings sort; a number is right-aligned, None is a dash."""

    title: str
    headings: tuple[str, ...]  # with units: "diameter, µm"
    rows: tuple[tuple[Value, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Card:
    """All results of one micrograph, spectrum image or list of spectra."""

    name: str
    facts: tuple[str, ...] = ()  # beside the name: "512 × 512 pixels", "15 kV", "1,024 channels of 10 eV"
    cautions: tuple[str, ...] = ()
    phases: ShownPhases | None = None
    elements: ShownElements | None = None
    spectra: tuple[ShownSpectrum, ...] = ()
    pictures: tuple[ShownPicture, ...] = ()
    shares: tuple[Share, ...] = ()  # where there is no map
    tables: tuple[ShownTable, ...] = ()
