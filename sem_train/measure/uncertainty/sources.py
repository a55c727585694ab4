"""What is known of the sources of uncertainty beside the picture itself."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from semforge.errors import InputError

if TYPE_CHECKING:
    from sem_train.measure.uncertainty.segmentation import SegmentationError

Target = Literal["specimen", "field"]

# Standard uncertainty of the pixel size in percent where the laboratory states none.
CALIBRATION_PERCENT = {
    "metadata": 2.9,  # a microscope's own scale, right within 5 % (rectangular)
    "given": 1.2,  # somebody measured it: right within 2 %
    "scale_bar": 3.1,  # the microscope's scale, and two pixels in a bar of 100
    "none": 0.0,  # lengths are in pixels: nothing to calibrate
}
TILT_UNCERTAINTY_DEG = 3.0


@dataclass(frozen=True)
class Sources:
    """Standard uncertainties of the sources that act on a whole field, and what the interval is of.

    The interval of a `specimen` counts how far other places of the specimen may differ from those seen; that of the
    `field` does not: the picture shows all of it.
    """

    calibration_percent: float = CALIBRATION_PERCENT["metadata"]  # u of the pixel size
    edge_px: float | None = None  # u of one boundary; None: 0.29, or 0 where the segmentation error is calibrated
    tilt_deg: float = 0.0  # obliquity of the section that thicknesses were corrected for
    segmentation: "SegmentationError | None" = None
    tilt_uncertainty_deg: float = TILT_UNCERTAINTY_DEG  # u of that angle
    target: Target = "specimen"

    def __post_init__(self) -> None:
        if not 0 <= self.calibration_percent <= 50:
            raise InputError(f"calibration uncertainty is {self.calibration_percent:g} %, expected 0 to 50")
        if self.edge_px is not None and not 0 <= self.edge_px <= 50:
            raise InputError(f"edge uncertainty is {self.edge_px:g} px, expected 0 to 50")
        if not abs(self.tilt_deg) < 90 or not 0 <= self.tilt_uncertainty_deg <= 45:
            raise InputError(
                f"tilt of the section is {self.tilt_deg:g} ± {self.tilt_uncertainty_deg:g} degrees, "
                "expected below 90 ± 0 to 45"
            )
