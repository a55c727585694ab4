"""How each micrograph of a specimen is taken: every value of the recipe's imaging part drawn."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from blender_gen.distributions import Distribution
from blender_gen.recipe.imaging import Imaging
from semforge.settings import Settings

ELECTRONS_PER_NA_US = 6241.5  # 1 nA for 1 µs over the elementary charge


class Drawn(Mapping[str, Any]):
    """The values of a settings model, its distributions replaced by drawn numbers; read as attributes or items."""

    def __init__(self, **values: Any):
        self.__dict__.update(values)

    def __getitem__(self, key: str) -> Any:
        return self.__dict__[key]

    def __getattr__(self, key: str) -> Any:  # for type checkers: what is there is found in __dict__
        raise AttributeError(f"nothing called {key!r} was drawn; there are: {', '.join(self)}")

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dict__)

    def __len__(self) -> int:
        return len(self.__dict__)

    def changed(self, **values: Any) -> "Drawn":
        """A copy with other values."""
        return Drawn(**{**self, **values})


def draw(settings: Settings, rng: np.random.Generator, leave: tuple[str, ...] = ()) -> Drawn:
    """Draw every distribution of a settings model, in the order of its fields; other values stay."""
    found = {name: getattr(settings, name) for name in type(settings).model_fields if name not in leave}
    return Drawn(**{key: v.draw(rng) if isinstance(v, Distribution) else v for key, v in found.items()})


@dataclass(frozen=True)
class Conditions:
    """How one micrograph is taken, in the units of the recipe."""

    detector: Drawn
    greys: Drawn
    artefacts: Drawn
    lettering: Drawn
    astigmatism_deg: float
    # of the path of the beam over the specimen: images of one scan by several detectors share it
    scan_seed: int

    @property
    def electrons_per_pixel(self) -> float:
        """Beam electrons that hit one pixel."""
        return float(ELECTRONS_PER_NA_US * self.detector.beam_current_na * self.detector.dwell_us)

    def record(self) -> dict[str, Any]:
        """As plain values, to be stored with the sample."""
        return {
            **self.detector, **self.greys, "astigmatism_deg": self.astigmatism_deg,
            "artefacts": dict(self.artefacts), "electrons_per_pixel": self.electrons_per_pixel,
        }  # fmt: skip


def schedule(imaging: Imaging, rng: np.random.Generator) -> Iterator[Conditions]:
    """Draw the conditions of all micrographs of one specimen.

    Scan by scan, each by all detectors in the order of the recipe: the images of one scan show the same
    area with the same distortion. Draws from `rng` as it is read.
    """
    for _ in range(imaging.images_per_specimen):
        scan_seed = int(rng.integers(2**63))
        common = draw(imaging.artefacts, rng)
        for detector in imaging.detector:
            greys, artefacts = detector.greys or imaging.greys, detector.artefacts
            yield Conditions(
                detector=draw(detector, rng, leave=("greys", "artefacts")),
                greys=_with_chance(draw(greys, rng), rng, "inverted"),
                artefacts=draw(artefacts, rng) if artefacts else common,
                lettering=_with_chance(draw(imaging.lettering, rng), rng, "databar", "scale_bar", "panel_letter"),
                astigmatism_deg=float(rng.uniform(0, 180)),
                scan_seed=scan_seed,
            )


def _with_chance(drawn: Drawn, rng: np.random.Generator, *names: str) -> Drawn:
    """Replace probabilities by what happened."""
    return drawn.changed(**{name: bool(rng.uniform() < drawn[name]) for name in names})
