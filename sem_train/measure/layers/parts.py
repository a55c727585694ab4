"""A layer split by a line of pores: what grew outwards and what grew inwards.

Aluminide coatings are reported as two parts, above and below the pore line that marks where the surface once was. The
line runs at a share of the layer's thickness below its outer surface (sem_train.measure.bodies.line), so each part has
that share of the thickness of every normal. The truth of synthetic specimens is defined likewise.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class LayerPart:
    """One of the two parts of a layer that a line splits. Lengths in the field's unit."""

    side: Literal["outward", "inward"]
    line: str  # class of the inclusions that form the line
    mean: float
    sd: float | None  # spatial spread along the layer
    share: float  # of the layer's thickness, 0 to 1


def parts_of(thickness: np.ndarray, line: str, depth_fraction: float) -> tuple[LayerPart, LayerPart]:
    """Split a layer of thickness (N,) by a line at a share of that thickness below the outer boundary."""
    outward, inward = depth_fraction, 1.0 - depth_fraction
    sd = float(thickness.std(ddof=1)) if len(thickness) > 1 else None
    mean = float(thickness.mean())
    part = lambda side, share: LayerPart(side, line, share * mean, None if sd is None else share * sd, share)
    return part("outward", outward), part("inward", inward)
