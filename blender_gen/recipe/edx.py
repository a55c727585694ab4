"""Spectra of the specimen beside its micrographs: beam, dose, detector, and what of them is stored."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from blender_gen.distributions import Number, between, positive
from semforge.settings import Settings

Stored = Literal["particles", "image", "maps", "shares"]
PIXELWISE: frozenset[Stored] = frozenset({"image", "maps"})
MOST_COUNTS = 1e6  # in the spectrum of a particle
MOST_PIXEL_COUNTS = 6e4  # in the spectrum of a pixel, on average over the picture


class EdxDetector(Settings):
    """The X-ray detector: a silicon drift detector and how it looks at the specimen."""

    take_off_deg: Annotated[Number, between(10, 80)] = Field(40.0, validate_default=True)
    # the direction in which it stands, anticlockwise from the picture's right
    azimuth_deg: Annotated[Number, between(-360, 360)] = Field(0.0, validate_default=True)
    solid_angle_sr: Annotated[Number, positive(3)] = Field(0.02, validate_default=True)
    resolution_ev: Annotated[Number, between(100, 250)] = Field(130.0, validate_default=True)  # at Mn Kα
    window: Literal["polymer", "silicon_nitride", "none"] = "polymer"
    ice_um: Annotated[Number, between(0, 10)] = Field(0.0, validate_default=True)
    pulse_pair_us: Annotated[Number, between(0, 20)] = Field(0.0, validate_default=True)  # pile-up
    threshold_kev: Annotated[Number, between(0, 2)] = Field(0.0, validate_default=True)
    tail: Annotated[Number, between(0, 0.5)] = Field(0.0, validate_default=True)
    # gain error of the energy axis, relative: what a detector that was not calibrated today shows
    gain_error: Annotated[Number, between(-0.02, 0.02)] = Field(0.0, validate_default=True)
    offset_error_ev: Annotated[Number, between(-50, 50)] = Field(0.0, validate_default=True)


class Edx(Settings):
    """Energy-dispersive X-ray spectra of each specimen. Distributions are drawn once a specimen.

    The dose is that of every spectrum, a particle's or a (binned) pixel's: a live time, or the counts at which it is
    stopped, on average over the picture for pixels.
    """

    beam_kev: Annotated[Number, between(1, 40)] = Field(15.0, validate_default=True)
    current_na: Annotated[Number, positive(1e3)] = Field(1.0, validate_default=True)
    live_s: Annotated[Number, positive(1e6)] | None = None
    counts: Annotated[Number, between(1, MOST_COUNTS)] | None = None
    # counts of a pixel where particles have spectra of their own
    pixel_counts: Annotated[Number, between(0.1, MOST_PIXEL_COUNTS)] | None = None
    channels: int = Field(1024, ge=64, le=8192)
    channel_ev: float = Field(10.0, ge=1, le=100)
    offset_ev: float = Field(0.0, ge=-1000, le=1000)
    # factor on the bremsstrahlung, which no formula gives within 30 %
    background: Annotated[Number, between(0, 3)] = Field(1.0, validate_default=True)
    coat: Literal["none", "carbon", "Au"] = "none"
    coat_nm: Annotated[Number, between(0, 200)] = Field(10.0, validate_default=True)
    # minerals of each specimen have a composition drawn from the range of their solid solution; else their middle
    solid_solutions: bool = False
    detector: EdxDetector = EdxDetector()
    store: tuple[Stored, ...] = Field(("particles",), min_length=1)
    binning: int = Field(1, ge=1, le=64)  # pixels of the micrograph along each side of a pixel of image, maps, shares
    particles_max: int = Field(64, ge=1, le=3000)  # the largest by visible area have spectra
    particle_scan: Literal["area", "point"] = "area"  # the beam over all its visible pixels, or in its middle
    elements: tuple[str, ...] | None = None  # of the maps; all of the recipe's phases without it
    net_maps: bool = False  # counts above the background beside the line

    @property
    def pixelwise(self) -> bool:
        """Whether spectra of all pixels are simulated."""
        return not PIXELWISE.isdisjoint(self.store)

    @model_validator(mode="after")
    def _dose_is_given(self) -> "Edx":
        if (self.live_s is None) == (self.counts is None):
            raise ValueError("needs exactly one of live_s and counts, the dose of a spectrum")
        if self.pixelwise and "particles" in self.store and self.pixel_counts is None:
            raise ValueError(f"stores spectra of particles and of pixels ({', '.join(self.store)}); give pixel_counts, "
                             "the mean counts of a pixel, besides the dose of a particle")  # fmt: skip
        return self

    @model_validator(mode="after")
    def _counts_fit(self) -> "Edx":
        pixel = self.pixel_counts or (None if "particles" in self.store else self.counts)
        if self.pixelwise and pixel is not None and pixel.support()[1] > MOST_PIXEL_COUNTS:
            raise ValueError(f"counts of a pixel can be {pixel.support()[1]:g}, {MOST_PIXEL_COUNTS:g} at most fit a "
                             "spectrum image; use larger binning or lower them")  # fmt: skip
        return self

    @model_validator(mode="after")
    def _axis_reaches_the_lines(self) -> "Edx":
        if self.offset_ev + self.channels * self.channel_ev < 2000:
            raise ValueError(f"{self.channels} channels of {self.channel_ev:g} eV end at "
                             f"{(self.offset_ev + self.channels * self.channel_ev) / 1000:g} keV; take more or wider "
                             "ones, up to 10 keV at least as a rule")  # fmt: skip
        return self
