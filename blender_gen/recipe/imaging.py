"""Everything between specimen and micrograph: preparation, detectors, grey levels, artefacts, lettering."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from blender_gen.distributions import Fraction, Number, between, positive
from semforge.settings import Settings

Probability = Annotated[float, Field(ge=0, le=1)]


class Greys(Settings):
    """How counts become grey levels, as an operator sets brightness and contrast."""

    dark: Annotated[Number, between(-1, 1)]  # grey level, 0 to 1, of the dimmest percentile of the noise-free image
    bright: Annotated[Number, between(0, 2)]  # of the brightest percentile
    gamma: Annotated[Number, between(0.1, 10)] = Field(1.0, validate_default=True)
    inverted: Probability = 0.0  # share of images shown as a negative
    bits: Literal[8, 16] = 8

    @model_validator(mode="after")
    def _bright_over_dark(self) -> "Greys":
        dark, bright = self.dark.support()[1], self.bright.support()[0]
        if bright < dark + 0.05:
            raise ValueError(f"bright can be {bright:g} and dark {dark:g}; bright must be above dark by 0.05 at least")
        return self


class Artefacts(Settings):
    """What stage, charging, electronics and publication add to an image; all off by default."""

    # geometry of the scan
    drift_px: Annotated[Number, between(0, 50)] = Field(0.0, validate_default=True)  # over the frame, any direction
    drift_walk_px: Annotated[Number, between(0, 50)] = Field(0.0, validate_default=True)  # rms of its random part
    vibration_px: Annotated[Number, between(0, 10)] = Field(0.0, validate_default=True)  # amplitude
    vibration_hz: Annotated[Number, positive(1e4)] = Field(50.0, validate_default=True)
    line_jitter_px: Annotated[Number, between(0, 20)] = Field(0.0, validate_default=True)
    # charging, contamination, illumination
    resin_glow: Annotated[Number, between(0, 50)] = Field(0.0, validate_default=True)  # in units of resin's own signal
    charging: Annotated[Number, between(0, 5)] = Field(0.0, validate_default=True)  # bright and dark tails, relative
    charging_tail_px: Annotated[Number, positive(1e4)] = Field(40.0, validate_default=True)
    charging_halo: Annotated[Number, between(-1, 5)] = Field(0.0, validate_default=True)  # below 0: dark
    charging_shift_px: Annotated[Number, between(0, 20)] = Field(0.0, validate_default=True)  # of lines that charge
    contamination: Fraction = Field(0.0, validate_default=True)  # darkening where an earlier scan has been
    shading: Fraction = Field(0.0, validate_default=True)  # relative, over the frame
    vignette: Fraction = Field(0.0, validate_default=True)  # darkening in the corners
    # electronics
    # low-pass of detector and amplifier, and of pictures stored smaller than scanned: sd, image and noise alike
    bandwidth_px: Annotated[Number, between(0, 10)] = Field(0.0, validate_default=True)
    banding: Fraction = Field(0.0, validate_default=True)  # relative gain noise a line
    # publication
    resampling: Annotated[Number, between(1, 8)] = Field(1.0, validate_default=True)  # made smaller by it and back
    sharpening: Annotated[Number, between(0, 5)] = Field(0.0, validate_default=True)  # unsharp mask
    jpeg_quality: Annotated[Number, between(1, 100)] = Field(100.0, validate_default=True)  # 100: no JPEG


class Lettering(Settings):
    """What is written over a picture; it never changes a label map."""

    databar: Probability = 0.0  # share of images whose lowest rows are an information bar
    scale_bar: Probability = 0.0  # share of images with a scale bar burnt in
    panel_letter: Probability = 0.0  # share of images with a panel letter, as in a figure of a paper


class _Detector(Settings):
    """What all detectors have in common."""

    beam_current_na: Annotated[Number, positive(1e4)]
    dwell_us: Annotated[Number, positive(1e6)]
    collection: Annotated[Number, positive(1)]  # detected share of the electrons
    probe_um: Annotated[Number, between(0, 10)]  # standard deviation of the probe, defocus included
    astigmatism: Annotated[Number, between(1, 10)] = Field(1.0, validate_default=True)  # ratio of the probe's axes
    convergence_mrad: Annotated[Number, between(0, 500)] = Field(0.0, validate_default=True)  # half angle of the beam
    # height of best focus between the lowest (0) and the highest (1) point of the specimen
    focus_height: Annotated[Number, between(-2, 3)] = Field(0.5, validate_default=True)
    flyback_us: Annotated[Number, between(0, 1e6)] = Field(0.0, validate_default=True)  # between two lines
    read_noise: Annotated[Number, between(0, 1)] = Field(0.002, validate_default=True)  # of full scale
    # in place of the common ones
    greys: Greys | None = None
    artefacts: Artefacts | None = None


class _ScanningDetector(_Detector):
    beam_kev: Annotated[Number, between(1, 50)]
    boundary_contrast: Fraction = Field({"uniform": {"low": 0.0, "high": 0.4}}, validate_default=True)


class BackscatterDetector(_ScanningDetector):
    """Backscattered electrons on a solid-state detector of four quadrants."""

    kind: Literal["bse"] = "bse"
    mode: Literal["composition", "topography"] = "composition"
    # topography: the direction towards the bright half, anticlockwise from the picture's right
    azimuth_deg: Annotated[Number, between(-360, 360)] = Field(0.0, validate_default=True)
    asymmetry: Fraction = Field(0.0, validate_default=True)  # composition: share of the dark half that is lost
    # a solid-state detector counts energy above it
    threshold_kev: Annotated[Number, between(0, 20)] = Field(2.0, validate_default=True)

    @model_validator(mode="after")
    def _beam_over_threshold(self) -> "BackscatterDetector":
        least, most = self.beam_kev.support()[0], self.threshold_kev.support()[1]
        if least < 2 * most:
            raise ValueError(f"beam_kev can be {least:g}, less than twice threshold_kev, which can be {most:g}")
        return self


class SecondaryDetector(_ScanningDetector):
    """Secondary electrons on an Everhart-Thornley detector."""

    kind: Literal["se"] = "se"
    tilt_exponent: Annotated[Number, between(0.3, 2)] = Field(1.0, validate_default=True)
    steepest_gain: Annotated[Number, between(1, 10)] = Field(5.5, validate_default=True)  # cap of the tilt law
    se2_ratio: Annotated[Number, between(0, 10)] = Field(2.5, validate_default=True)  # beta, SE2 a backscattered e-
    edge_gain: Annotated[Number, between(0, 5)] = Field({"uniform": {"low": 0.3, "high": 1.5}}, validate_default=True)
    edge_length: Fraction = Field({"uniform": {"low": 0.05, "high": 0.25}}, validate_default=True)  # in ranges
    darkest_shadow: Fraction = Field({"uniform": {"low": 0.1, "high": 0.4}}, validate_default=True)
    one_sidedness: Fraction = Field({"uniform": {"low": 0.0, "high": 0.4}}, validate_default=True)
    azimuth_deg: Annotated[Number, between(-360, 360)] = Field(90.0, validate_default=True)  # of the detector
    leakage: Fraction = Field({"uniform": {"low": 0.05, "high": 0.2}}, validate_default=True)  # of backscattered e-
    noise_factor: Annotated[Number, between(1, 5)] = Field(
        {"uniform": {"low": 1.1, "high": 1.5}}, validate_default=True
    )


class TransmissionDetector(_Detector):
    """Electrons that have come through the specimen: STEM in an SEM, STEM or TEM."""

    kind: Literal["transmission"] = "transmission"
    mode: Literal["bright_field", "dark_field"] = "bright_field"
    beam_kev: Annotated[Number, between(10, 300)]
    # half angle: outer of the bright-field aperture, inner of the annular dark-field detector
    aperture_mrad: Annotated[Number, positive(200)] = Field(10.0, validate_default=True)
    film_um: Annotated[Number, between(0, 5)] = Field(0.015, validate_default=True)  # amorphous carbon under it all
    film_mottle: Fraction = Field(0.0, validate_default=True)  # relative rms of the film's mass thickness
    film_mottle_um: Annotated[Number, positive(100)] = Field(0.05, validate_default=True)  # its correlation length
    speckle: Fraction = Field(0.0, validate_default=True)  # rms of the film's phase contrast, of the empty beam
    speckle_um: Annotated[Number, positive(10)] = Field(0.001, validate_default=True)  # its period


Detector = Annotated[
    BackscatterDetector | SecondaryDetector | TransmissionDetector,
    Field(discriminator="kind"),
]


def _each_with_its_kind(value: Any) -> Any:
    """A single detector is a list of one; one without a kind detects backscattered electrons."""
    several = list(value) if isinstance(value, list | tuple) else [value]
    return [{"kind": "bse", **one} if isinstance(one, dict) else one for one in several]


class Preparation(Settings):
    """What grinding, polishing, milling and mounting leave; the same in every image of a specimen."""

    filled_pores: Fraction = Field(0.5, validate_default=True)  # share of voids that resin has filled
    scratches: Annotated[Number, between(0, 500)] = Field(0.0, validate_default=True)  # number in the frame
    scratch_depth: Fraction = Field(0.03, validate_default=True)  # relative change of signal
    relief_um: Annotated[Number, between(0, 5)] = Field(0.0, validate_default=True)  # softest below hardest phase
    relief_edge_um: Annotated[Number, positive(50)] = Field(0.5, validate_default=True)  # how gradually
    pull_outs: Annotated[Number, between(0, 1000)] = Field(0.0, validate_default=True)  # pits that are no pores
    pull_out_um: Annotated[Number, positive(100)] = Field(1.0, validate_default=True)  # their diameter
    smear_um: Annotated[Number, between(0, 10)] = Field(0.0, validate_default=True)  # reach of metal drawn over voids
    curtaining: Fraction = Field(0.0, validate_default=True)  # stripes of ion milling, relative rms
    curtain_um: Annotated[Number, positive(1e4)] = Field(20.0, validate_default=True)  # their length below a pore


class Imaging(Settings):
    """Everything between specimen and micrograph."""

    images_per_specimen: int = Field(1, ge=1, le=64)  # by each detector
    preparation: Preparation = Preparation()
    detector: Annotated[tuple[Detector, ...], BeforeValidator(_each_with_its_kind), Field(min_length=1)]
    greys: Greys
    artefacts: Artefacts = Artefacts()
    lettering: Lettering = Lettering()
    # store what the detector model needs, so that training can take new micrographs; None is no, and no part of a hash
    keep_passes: Annotated[bool | None, AfterValidator(lambda keep: keep or None)] = None

    @property
    def needs_paths(self) -> bool:
        """Whether a detector needs the lengths of the beam's way through each phase."""
        return any(detector.kind == "transmission" for detector in self.detector)

    @model_validator(mode="after")
    def _fits_together(self) -> "Imaging":
        if len({(one.greys or self.greys).bits for one in self.detector}) > 1:
            raise ValueError("all detectors must give greys of the same number of bits")
        for one in self.detector:
            jpeg = (one.artefacts or self.artefacts).jpeg_quality.support()[0] < 100
            if jpeg and (one.greys or self.greys).bits != 8:
                raise ValueError("jpeg_quality below 100 needs greys of 8 bits")
        return self
