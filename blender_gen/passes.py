"""What every pixel's centre sees, as geometry: the common form in which all families reach the detector."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Passes:
    """One specimen seen along the beam, each (H, W) unless said otherwise.

    The reference plane is the polished section or the substrate; row 0 is the top of the picture.
    """

    phase: np.ndarray  # uint8: phase id that the label map shows; voids are phases too
    instance: np.ndarray  # uint32: body id, 0 in layers and on the substrate
    height_um: np.ndarray  # float32: of the solid that the beam hits, over the reference plane; below 0 in voids
    normal: np.ndarray  # float32 (H, W, 3): of that solid; x to the right, y up in the picture, z to the beam
    wall: np.ndarray  # uint8: phase of that solid; differs from `phase` in voids only
    # phase id -> float32: length of the beam's way through that phase, for transmission; empty unless asked for
    path_um: dict[int, np.ndarray]
    # float32: factor on the signal that the bodies themselves bring, e.g. from particle to particle; none if None
    shade: np.ndarray | None = None
