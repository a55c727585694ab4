"""Everything between specimen and micrograph: preparation, detector, grey levels, artefacts."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from blender_gen.distributions import Fraction, Number, between, positive
from semforge.settings import Settings


class BackscatterDetector(Settings):
    """How the backscattered-electron image is taken."""

    beam_kev: Annotated[Number, between(1, 50)]
    beam_current_na: Annotated[Number, positive(1e4)]
    dwell_us: Annotated[Number, positive(1e6)]
    collection: Annotated[Number, positive(1)]  # detected share of the backscattered electrons
    # a solid-state detector counts energy above it
    threshold_kev: Annotated[Number, between(0, 20)] = Field(2.0, validate_default=True)
    probe_um: Annotated[Number, between(0, 10)]  # standard deviation of the probe, defocus included
    astigmatism: Annotated[Number, between(1, 10)] = Field(1.0, validate_default=True)  # ratio of the probe's axes
    boundary_contrast: Fraction = Field({"uniform": {"low": 0.0, "high": 0.4}}, validate_default=True)
    read_noise: Annotated[Number, between(0, 1)] = Field(0.002, validate_default=True)  # of full scale

    @model_validator(mode="after")
    def _beam_over_threshold(self) -> "BackscatterDetector":
        least, most = self.beam_kev.support()[0], self.threshold_kev.support()[1]
        if least < 2 * most:
            raise ValueError(f"beam_kev can be {least:g}, less than twice threshold_kev, which can be {most:g}")
        return self


class Greys(Settings):
    """How counts become grey levels, as an operator sets brightness and contrast."""

    dark: Annotated[Number, between(-1, 1)]  # grey level, 0 to 1, of the dimmest percentile of the noise-free image
    bright: Annotated[Number, between(0, 2)]  # of the brightest percentile
    gamma: Annotated[Number, between(0.1, 10)] = Field(1.0, validate_default=True)
    bits: Literal[8, 16] = 8

    @model_validator(mode="after")
    def _bright_over_dark(self) -> "Greys":
        dark, bright = self.dark.support()[1], self.bright.support()[0]
        if bright < dark + 0.05:
            raise ValueError(f"bright can be {bright:g} and dark {dark:g}; bright must be above dark by 0.05 at least")
        return self


class Preparation(Settings):
    """What grinding, polishing and mounting leave; the same in every image of a specimen."""

    filled_pores: Fraction = Field(0.5, validate_default=True)  # share of voids that resin has filled
    scratches: Annotated[Number, between(0, 500)] = Field(0.0, validate_default=True)  # number in the frame
    scratch_depth: Fraction = Field(0.03, validate_default=True)  # relative change of signal


class Artefacts(Settings):
    """What charging and electronics add to an image."""

    shading: Fraction = Field(0.0, validate_default=True)  # relative, over the frame
    banding: Fraction = Field(0.0, validate_default=True)  # relative gain noise a line
    resin_glow: Annotated[Number, between(0, 50)] = Field(0.0, validate_default=True)  # in units of resin's own signal
    line_jitter_px: Annotated[Number, between(0, 20)] = Field(0.0, validate_default=True)


class Imaging(Settings):
    """Everything between specimen and micrograph."""

    images_per_specimen: int = Field(1, ge=1, le=64)
    preparation: Preparation = Preparation()
    detector: BackscatterDetector
    greys: Greys
    artefacts: Artefacts = Artefacts()
