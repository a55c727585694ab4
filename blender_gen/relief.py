"""Shadowing from a height field: how much of the sky each pixel sees, computed without rays.

Looking straight down, the height pass is the whole geometry. For each of AZIMUTHS directions the
horizon is the steepest rise along it; the sky above it is integrated in closed form.
"""

import numpy as np

AZIMUTHS = 16
STEPS_PX = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 27, 33, 40, 48, 64)


def horizon_slopes(height_um: np.ndarray, where: np.ndarray, pixel_size_um: float) -> np.ndarray:
    """Tangent of the horizon's elevation, (AZIMUTHS, n), at the n pixels of the mask `where` (H, W).

    Azimuth k is 2 pi k / AZIMUTHS, anticlockwise from the picture's right. Never below 0.
    """
    reach = max(STEPS_PX)
    padded = np.pad(height_um.astype(np.float32), reach, mode="edge")
    rows, columns = np.nonzero(where)
    width = padded.shape[1]
    flat, here = padded.ravel(), (rows + reach) * width + columns + reach
    own = flat[here]
    slopes = np.zeros((AZIMUTHS, len(here)), dtype=np.float32)
    for k in range(AZIMUTHS):
        angle = 2 * np.pi * k / AZIMUTHS
        for step in STEPS_PX:
            dx, dy = round(step * np.cos(angle)), -round(step * np.sin(angle))
            distance = np.hypot(dx, dy) * pixel_size_um
            np.maximum(slopes[k], (flat[here + dy * width + dx] - own) / distance, out=slopes[k])
    return slopes


def sky_visibility(height_um: np.ndarray, where: np.ndarray, pixel_size_um: float) -> np.ndarray:
    """Cosine-weighted share of the sky that a level spot sees, (H, W); 1 outside the mask `where`.

    A horizon of elevation e leaves cos(e)^2 of the sky in its direction.
    """
    sky = np.ones(height_um.shape, dtype=np.float32)
    sky[where] = np.mean(1 / (1 + horizon_slopes(height_um, where, pixel_size_um) ** 2), axis=0)
    return sky
