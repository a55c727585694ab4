"""What a user may write in configs/map: what to learn from, how it is varied, how the network is trained."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from sem_train.config import TrainingSettings
from sem_train.config.shared import NonNegative, Share
from semforge.settings import Settings
from semforge.spectra import EnergyAxis

Range = tuple[NonNegative, NonNegative]


class AxisSettings(Settings):
    """The energy axis that a network reads; spectra on finer ones are rebinned to it."""

    channels: int = Field(ge=16, le=8192)
    width_ev: PositiveFloat
    offset_ev: float = 0.0  # centre of the first channel

    @property
    def axis(self) -> EnergyAxis:
        """As spectra carry it."""
        return EnergyAxis(self.channels, self.width_ev, self.offset_ev)


class LibrarySource(Settings):
    """Expected spectra of phases and their variants: a library that `blender-gen spectra` wrote."""

    path: Path
    made_by: str = ""  # the command, for the reader of the settings


class PointSource(Settings):
    """Measured spectra, a file each: folders named by class, or an index.csv with the columns file and class."""

    path: Path


class ImageSource(Settings):
    """Spectrum images with labels: a sample file (its phases are the labels), or one image and its label map."""

    path: Path
    labels: Path | None = None  # label map of as many pixels; left out: a sample file, or labels beside the image
    held_out: int = Field(0, ge=0)  # samples at the end of a sample file that are scored, not learnt


class DataSettings(Settings):
    """The spectra to learn from."""

    libraries: tuple[LibrarySource, ...] = ()
    points: tuple[PointSource, ...] = ()
    images: tuple[ImageSource, ...] = ()
    classes: dict[str, tuple[str, ...]] = Field({})  # class: its phases, or patterns; left out: a class a phase
    axis: AxisSettings | None = None  # left out: that of the first source
    # share of a library's variants, a class's point spectra and a phase's sums of an image that are scored, not learnt
    held_out: float = Field(0.15, ge=0, lt=1)

    @model_validator(mode="after")
    def _has_sources(self) -> "DataSettings":
        if not (self.libraries or self.points or self.images):
            raise ValueError("there is nothing to learn from, expected 'libraries', 'points' or 'images'")
        return self


class DrawSettings(Settings):
    """How a spectrum is drawn from an expected one; every draw is new."""

    counts: tuple[PositiveFloat, PositiveFloat] = (20, 50_000)  # counts a spectrum, evenly on a logarithmic scale
    mixed: Share = 0.3  # share of draws that mix two phases, with their shares as labels
    blended: Share = 0.5  # share of draws that lie between two variants of a phase
    beyond: NonNegative = 0.0  # how far beyond two variants as well, as a multiple of what lies between them
    gain: NonNegative = 0.002  # standard deviation of the energy scale's error
    offset_ev: NonNegative = 4.0  # likewise of its zero
    broadening_ev: Range = (0.0, 40.0)  # further width of lines, standard deviation
    efficiency: NonNegative = 0.1  # standard deviation of a smooth error of all intensities over the energy
    absorption: NonNegative = 0.15  # likewise at 1 keV, growing towards lower energies: windows, coats, dirt
    background: Range = (0.0, 0.15)  # counts of a further background, as a share of all
    carbon: Range = (0.0, 0.05)  # counts of a further C Kα line, as a share of all

    @model_validator(mode="after")
    def _are_ranges(self) -> "DrawSettings":
        for name in ("counts", "broadening_ev", "background", "carbon"):
            low, high = getattr(self, name)
            if high < low:
                raise ValueError(f"'{name}' is {low:g} to {high:g}, expected the smaller one first")
        return self


class NetworkSettings(Settings):
    """The network."""

    width: PositiveInt = 128  # features of a spectrum
    dropout: float = Field(0.0, ge=0, lt=1)


class RejectSettings(Settings):
    """What stays unclassified."""

    fewest_counts: PositiveInt = 10  # a spectrum of fewer is never named
    lowest_confidence: Share = 0.0  # a spectrum whose best class is less probable is not named
    known: float = Field(0.99, gt=0, le=1)  # share of held-out draws that must count as known


class FitSettings(TrainingSettings):
    """Optimisation, as of any network here; batches are of spectra."""

    steps: PositiveInt = 3000
    batch_size: PositiveInt = 256
    weight_decay: NonNegative = 1e-3
    val_every: PositiveInt = 500
    val_spectra: PositiveInt = 2000  # held-out draws of a validation
    ema_decay: float | None = Field(0.99, gt=0, lt=1)

    @field_validator("devices", "num_nodes")
    @classmethod
    def _is_alone(cls, number: int | None) -> int | None:
        if number not in (None, 1):
            raise ValueError("a network of spectra is small and trained by one process, expected 1 or nothing")
        return number


class MapConfig(Settings):
    """A network that names phases by their spectra."""

    name: Annotated[str, Field(min_length=1)]
    out: Path
    data: DataSettings
    draws: DrawSettings = DrawSettings()
    network: NetworkSettings = NetworkSettings()
    reject: RejectSettings = RejectSettings()
    training: FitSettings = FitSettings()
