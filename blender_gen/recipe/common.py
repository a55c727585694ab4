"""What recipes of every family share: the frame, and what a surface looks like.

Lengths are in µm in the specimen, fractions and percentages refer to the section plane, angles
are in degrees.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from blender_gen.distributions import Fraction, Number, between, positive
from blender_gen.phases import VOID, materials
from semforge.settings import Settings

LARGEST_SPECK_PX = 20.0
SELDOM = 1e-3  # share of draws that do not count where it is asked whether a specimen can fit its frame


def _known_material(name: str) -> str:
    if name != VOID and name not in materials():
        raise ValueError(f"unknown material {name!r}; known: {VOID}, {', '.join(sorted(materials()))}")
    return name


Solid = Annotated[str, AfterValidator(_known_material)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class Frame(Settings):
    """What the microscope looks at."""

    width_px: int = Field(512, ge=16, le=16384)
    height_px: int = Field(512, ge=16, le=16384)
    pixel_size_um: Annotated[Number, between(1e-4, 50)]
    # rotation of the specimen in the image plane
    tilt_deg: Annotated[Number, between(-90, 90)] = Field(0.0, validate_default=True)


class Roughness(Settings):
    """One scale of deviation of an interface from a plane: a Gaussian random field."""

    rms_um: Annotated[Number, between(0, 1000)]
    correlation_um: Annotated[Number, positive(1e5)]  # distance at which the correlation falls to 1/e
    shape: Literal["smooth", "tongues", "scallops"] = "smooth"  # tongues point inwards, scallops bulge outwards


class Grains(Settings):
    """Orientation (channelling) contrast: grains that differ slightly in brightness."""

    size_um: Annotated[Number, positive(1e5)]
    contrast: Annotated[Number, between(0, 1)]  # relative standard deviation of the backscattered signal between grains


class Mottle(Settings):
    """Slow changes of brightness: a Gaussian random field."""

    rms: Annotated[Number, between(0, 1)]  # relative to the signal
    correlation_um: Annotated[Number, positive(1e5)]


class Speckle(Settings):
    """Specks too small to be worth a body: droplets in a glass, fine pores. They change the brightness, not the label.

    Sizes are lognormal about `size_um` with a geometric standard deviation of 1.4.
    """

    size_um: Annotated[Number, positive(100)]
    area_percent: Annotated[Number, between(0, 80)]  # of the phase's section; overlaps count twice
    contrast: Annotated[Number, between(-1, 10)]  # relative change of signal: pores are dark, droplets bright
    aspect: Annotated[Number, between(1, 20)] = Field(1.0, validate_default=True)  # drawn out along the layers
    bands: Annotated[Number, between(0, 30)] = Field(0.0, validate_default=True)  # 0: everywhere
    # of each band, below the phase's outer surface
    depth_fraction: Fraction = Field({"uniform": {"low": 0, "high": 1}}, validate_default=True)
    band_half_width: Fraction = Field(0.02, validate_default=True)  # of the phase's thickness
    patchiness: Annotated[Number, between(0, 4)] = Field(0.0, validate_default=True)  # sd of the logarithm of density


class Platelets(Settings):
    """A fabric of plates on edge, too fine to be drawn one by one; they lie along the layers by preference."""

    length_um: Annotated[Number, positive(100)]
    thickness_um: Annotated[Number, positive(100)]
    spread_deg: Annotated[Number, between(0, 90)]  # standard deviation of their orientation
    contrast: Annotated[Number, between(0, 1)]  # relative standard deviation of the signal


class Appearance(Settings):
    """Brightness beyond composition."""

    # factor on the signal: charging, dissolved elements
    brightness: Annotated[Number, positive(20)] = Field(1.0, validate_default=True)
    grains: Grains | None = None
    mottle: Mottle | None = None
    speckles: tuple[Speckle, ...] = ()
    platelets: Platelets | None = None


def refuse_large_specks(appearances: Mapping[str, Appearance], least_pixel_um: float) -> None:
    """Raise ValueError if specks of a phase are so large that they should be bodies."""
    for name, appearance in appearances.items():
        for speckle in appearance.speckles:
            largest = speckle.size_um.quantile(1 - SELDOM)
            if largest > LARGEST_SPECK_PX * least_pixel_um:
                fits = LARGEST_SPECK_PX * least_pixel_um
                raise ValueError(f"{name}: speckles.size_um can be {largest:.3g}, over {LARGEST_SPECK_PX:g} pixels; "
                                 f"keep it below {fits:.3g} or make them inclusions")  # fmt: skip
