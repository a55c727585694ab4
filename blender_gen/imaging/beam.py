"""Probe and interaction volume: what the finite beam does to a signal.

The boundary profile is a fit to single-scattering Monte Carlo at 20 kV.
"""

import numpy as np
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.sparse import csr_array

CORE_UM = 0.03  # width of the sharp core of a boundary, added to the probe
TAIL_RANGES = 0.25  # width of its tail in electron ranges
DEFOCUS_STEPS = 4  # blurs of which a picture with depth is put together
WIDE_PX = 16.0
LEAST_PX = 0.2  # a narrower blur changes nothing that a pixel shows


def blur(values: np.ndarray, sigma_px: float, ratio: float = 1.0, angle_deg: float = 0.0) -> np.ndarray:
    """Gaussian blur of (H, W) float32 whose axes have a given ratio at the same area; edges are mirrored.

    `angle_deg` turns the long axis from the picture's right towards its bottom.
    """
    if sigma_px * np.sqrt(ratio) < LEAST_PX:
        return values
    if sigma_px > WIDE_PX and ratio == 1:
        return _wide_blur(values, min(sigma_px, max(values.shape)))
    pad = int(3.5 * sigma_px * np.sqrt(ratio)) + 1
    padded = np.pad(values.astype(np.float32, copy=False), pad, mode="symmetric")
    shape = [next_fast_len(n, real=True) for n in padded.shape]
    extra = [(0, n - m) for n, m in zip(shape, padded.shape, strict=True)]
    padded = np.pad(padded, extra, mode="edge")
    a = np.radians(angle_deg)
    fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
    major, minor = 2 * np.pi**2 * sigma_px**2 * ratio, 2 * np.pi**2 * sigma_px**2 / ratio
    xx = major * np.cos(a) ** 2 + minor * np.sin(a) ** 2
    yy = major * np.sin(a) ** 2 + minor * np.cos(a) ** 2
    xy = 2 * (major - minor) * np.sin(a) * np.cos(a)
    transfer = np.exp(-(xx * fx**2 + yy * fy**2 + xy * fx * fy).astype(np.float32))
    blurred = irfft2(rfft2(padded) * transfer, s=shape)
    return blurred[pad : pad + values.shape[0], pad : pad + values.shape[1]]


def _wide_blur(values: np.ndarray, sigma_px: float) -> np.ndarray:
    """A wide blur changes so little from pixel to pixel that it is worked out on blocks of them."""
    factor = int(sigma_px / (WIDE_PX / 2))
    rows, columns = (_blocks(n, factor) for n in values.shape)
    coarse = _resized(values, (rows / rows.sum(axis=0)).T, (columns / columns.sum(axis=0)).T)
    return _resized(blur(coarse, sigma_px / factor), rows, columns)


def _resized(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """rows @ values @ columns.T in float32; sparse, as a dense product sums in another order on other threads."""
    rows, columns = (csr_array(weights, dtype=np.float32) for weights in (rows, columns))
    return np.ascontiguousarray((columns @ (rows @ values.astype(np.float32, copy=False)).T).T)


def _blocks(length: int, factor: int) -> np.ndarray:
    """(length, n) float32: weights of linear interpolation between the centres of n blocks of `factor` pixels."""
    number = max(-(-length // factor), 1)
    place = np.clip((np.arange(length) + 0.5) * number / length - 0.5, 0, number - 1)
    return np.clip(1 - np.abs(place[:, None] - np.arange(number)), 0, 1).astype(np.float32)


def core_px(probe_um: float, pixel_size_um: float) -> float:
    """Standard deviation of the sharp core of a boundary in pixels."""
    return float(np.hypot(probe_um, CORE_UM) / pixel_size_um)


def boundary_gain(
    log_density: np.ndarray, range_um: float, contrast: float, probe_um: float, pixel_size_um: float
) -> np.ndarray | float:
    """What boundaries do to a backscattered signal: a dip on the light side and a rim on the heavy side.

    The core is as wide as the probe, dip and rim as the electron range:
    eta = (G_core * eta) [1 + a (G_core - G_tail) * ln(density)]; this is the second factor.
    """
    if contrast == 0:
        return 1.0
    core = core_px(probe_um, pixel_size_um)
    tail = max(TAIL_RANGES * range_um / pixel_size_um, core)
    return 1 + contrast * (blur(log_density, core) - blur(log_density, tail))


def focused(
    signals: list[np.ndarray], height_um: np.ndarray, probe_px: float, ratio: float, angle_deg: float,
    convergence_mrad: float, focus_height: float, pixel_size_um: float,
) -> list[np.ndarray]:  # fmt: skip
    """Signals as the probe resolves them, more blurred the farther the surface is from the plane of focus.

    A beam of half angle a is a disc of radius a z at the distance z from its focus; its standard deviation along
    an axis is a z/2. `focus_height` is 0 at the lowest and 1 at the highest point of the specimen.
    """
    low, high = float(height_um.min()), float(height_um.max())
    if convergence_mrad == 0 or high == low:
        return [blur(signal, probe_px, ratio, angle_deg) for signal in signals]
    away = np.abs(height_um - (low + focus_height * (high - low)))
    sigma = np.hypot(probe_px, convergence_mrad * 1e-3 * away / 2 / pixel_size_um)
    steps = np.geomspace(max(sigma.min(), LEAST_PX), max(sigma.max(), 2 * LEAST_PX), DEFOCUS_STEPS)
    # which blur, as a number between two steps, itself smooth so that no edge shows where steps meet
    place = np.interp(sigma, steps, np.arange(DEFOCUS_STEPS)).astype(np.float32)
    place = blur(place, max(probe_px, 1.0))
    weights = [np.clip(1 - np.abs(place - k), 0, 1) for k in range(DEFOCUS_STEPS)]
    return [
        np.sum([w * blur(signal, step, ratio, angle_deg) for w, step in zip(weights, steps, strict=True)], axis=0)
        for signal in signals
    ]
