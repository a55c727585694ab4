"""Scale bars that are drawn on pictures."""

import math
from dataclasses import dataclass

BAR_SHARE = 0.3  # a scale bar is at most this share of the picture's width


@dataclass(frozen=True)
class ScaleBar:
    """A length to draw on a picture."""

    length_um: float
    share: float  # of the picture's width

    @property
    def label(self) -> str:
        """E.g. "20 µm"."""
        return f"{self.length_um:g} µm"


def scale_bar(width_px: int, pixel_size_um: float) -> ScaleBar:
    """The longest bar of 1, 2 or 5 times a power of ten µm within `BAR_SHARE` of an image's width."""
    longest = BAR_SHARE * width_px * pixel_size_um
    power = 10 ** math.floor(math.log10(longest))
    length = max(m * power for m in (1, 2, 5) if m * power <= longest)
    return ScaleBar(length, length / (width_px * pixel_size_um))
