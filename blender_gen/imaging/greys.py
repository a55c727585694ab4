"""From signal to grey levels: brightness, contrast, gamma, read noise, quantisation."""

import numpy as np

from blender_gen.imaging.conditions import Conditions

ENOUGH = 2**16  # pixels that settle a percentile
LEAST_SHARE = 0.1  # of the whole range that the percentiles must span, or a rare phase would saturate
NOISE_SPAN = 6.0  # standard deviations of the noise that the range spans at least


def to_greys(
    signal: np.ndarray, noise_free: np.ndarray, conditions: Conditions, rng: np.random.Generator
) -> np.ndarray:
    """Grey levels (H, W), float32 from 0 to 1.

    The operator is taken to set `dark` and `bright` on the 1st and 99th percentile of the picture without noise,
    on its extremes where these percentiles miss what stands out (a few particles on a wafer), and never to
    spread noise alone over the whole range.
    """
    g, read_noise = conditions.greys, conditions.detector.read_noise
    step = max(int(np.sqrt(noise_free.size / ENOUGH)), 1)
    low, high = np.percentile(noise_free[::step, ::step], [1, 99])
    lowest, highest = float(noise_free.min()), float(noise_free.max())
    if high - low < LEAST_SHARE * (highest - lowest):
        low, high = lowest, highest
    noise = float(np.std((signal - noise_free)[::step, ::step], dtype=np.float64))
    span = max(high - low, NOISE_SPAN * noise, 1e-9)
    scale = (g.bright - g.dark) / span
    grey = np.float32((g.bright + g.dark) / 2 - (low + high) / 2 * scale) + signal * np.float32(scale)
    if read_noise:
        grey += np.float32(read_noise) * rng.standard_normal(grey.shape, dtype=np.float32)
    grey = np.clip(grey, 0, 1)
    if g.gamma != 1:
        grey = grey ** np.float32(g.gamma)
    return 1 - grey if g.inverted else grey


def quantised(grey: np.ndarray, bits: int) -> np.ndarray:
    """Grey levels 0 to 1 as uint8 or uint16."""
    return np.rint(np.clip(grey, 0, 1) * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)
