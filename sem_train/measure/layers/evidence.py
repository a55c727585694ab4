"""Why a layer is said to be there or not."""

from dataclasses import dataclass

PRESENT_COVERAGE = 0.2  # a layer exists if it covers this share of its normals ...
PRESENT_PX = 1.5  # ... and is this thick where it does: blurred edges make thinner ones


@dataclass(frozen=True)
class Evidence:
    """What was found of a layer beside what is needed."""

    coverage: float  # share of the layer's course at which it exists
    mean_px: float | None  # mean thickness there in pixels; None where the frame never shows both boundaries
    coverage_needed: float = PRESENT_COVERAGE
    px_needed: float = PRESENT_PX

    @property
    def present(self) -> bool:
        """Whether both are enough; a layer larger than the frame needs no thickness."""
        return self.coverage >= self.coverage_needed and (self.mean_px is None or self.mean_px >= self.px_needed)

    @property
    def words(self) -> str:
        """Both figures beside what is needed, for a reader."""
        thick = "thickness not seen whole" if self.mean_px is None else f"mean {self.mean_px:.1f} px"
        needed = f"needed {self.coverage_needed:.0%} and {self.px_needed:g} px"
        return f"{'present' if self.present else 'absent'}: coverage {self.coverage:.0%}, {thick}; {needed}"
