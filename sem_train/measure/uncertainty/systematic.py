"""Sources that act alike on a whole field: calibration of the pixel size, place of the edge, tilt of the section.

They do not become smaller by measuring at more places, nor by more fields taken in the same way.
"""

import math

EDGE_PX = 0.5 / math.sqrt(3)  # u of a boundary known to half a pixel either way, all places equally likely: 0.29 px


def u_calibration(value: float, power: int, calibration_percent: float) -> float:
    """Of a quantity that goes with that power of the pixel size, whose standard uncertainty is given in percent."""
    return abs(value * power) * calibration_percent / 100


def u_edge(edge_px: float, pixel: float) -> float:
    """Of a thickness: two boundaries, each off by its own amount all along the layer (√2·u).

    `edge_px` is u of one boundary, `pixel` the edge of a pixel in the unit wanted.
    """
    return math.sqrt(2) * edge_px * pixel


def u_tilt(thickness: float, tilt_deg: float, tilt_uncertainty_deg: float) -> float:
    """Of a thickness, corrected for the obliquity α of the section, which is known with u(α).

    t = t_seen·cos α, so u = t·u(α)·tan α to first order. At α = 0 that vanishes and the next order counts: the
    thickness seen is too large by t·u²/2 on average, with a standard deviation of t·u²/√2.
    """
    alpha, u = math.radians(tilt_deg), math.radians(tilt_uncertainty_deg)
    return abs(thickness) * math.hypot(u * math.tan(alpha), u**2 / math.sqrt(2), u**2 / 2)
