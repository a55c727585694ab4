"""What a crop looks like, in some seventy numbers with names: greys, noise, sharpness, structure at each size.

They are what the classifier sees, and what a recipe's author is told to change.
"""

import warnings
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from scipy import ndimage
from scipy.stats import kurtosis, skew
from skimage.feature import local_binary_pattern
from skimage.filters import threshold_otsu

BAND_SIGMAS_PX = (0.7, 1.4, 2.8, 5.6, 11.2)  # octaves
HAT_PX = (3, 7, 15, 31)
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
PATTERNS = "patterns of neighbours"
SMALL = 1e-3  # grey levels; keeps logarithms and ratios of flat crops finite


def statistics(crop: np.ndarray) -> dict[str, float]:
    """Named statistics of a crop (n, n) uint8, n 32 or more. Logarithms are to base 2, lengths in pixels."""
    return {name: value for family in FAMILIES.values() for name, value in family(crop).items()}


def statistics_table(crops: np.ndarray) -> tuple[dict[str, str], np.ndarray]:
    """Family by name of the statistics, and their values (n, names), of crops (n, size, size) uint8."""
    families = {name: title for title, family in FAMILIES.items() for name in family(crops[0])}
    return families, np.array([list(statistics(crop).values()) for crop in crops])


def _greys(crop: np.ndarray) -> dict[str, float]:
    x = _float(crop)
    levels = dict(zip(PERCENTILES, np.percentile(x, PERCENTILES), strict=True))
    return {
        "grey, mean": float(x.mean()), "grey, log sd": _log(x.std()), "grey, skewness": _skewness(x),
        **{f"grey, {p} % percentile": float(level) for p, level in levels.items()},
        "share of black pixels (0 to 2)": float((crop <= 2).mean()),
        "share of white pixels (253 to 255)": float((crop >= 253).mean()),
        "shading down": _slope(x, 0), "shading across": _slope(x, 1),
    }  # fmt: skip


def _noise(crop: np.ndarray) -> dict[str, float]:
    """Spread and correlation of what is left after a Gaussian of 2 px, in the flattest quarter of the crop."""
    x = _float(crop)
    rest = x - ndimage.gaussian_filter(x, 2)
    slope = ndimage.gaussian_gradient_magnitude(x, 3)
    flat = slope <= np.percentile(slope, 25)
    bright = ndimage.gaussian_filter(x, 3)
    variance = float((rest[flat] ** 2).mean()) + SMALL**2

    def correlation(down: int, across: int) -> float:
        a = (slice(down, None), slice(across, None))
        b = (slice(None, -down or None), slice(None, -across or None))
        both = flat[a] & flat[b]
        return float((rest[a] * rest[b])[both].mean() / variance) if both.any() else 0.0

    return {
        "noise, log sd": _log(np.sqrt(variance)), "noise, kurtosis": _kurtosis(rest[flat]),
        "noise, correlation 1 px across": correlation(0, 1), "noise, correlation 1 px down": correlation(1, 0),
        "noise, correlation 2 px across": correlation(0, 2), "noise, correlation 2 px down": correlation(2, 0),
        "noise, correlation 1 px diagonal": correlation(1, 1),
        "noise, growth with brightness": _correlation(np.abs(rest), bright),
    }  # fmt: skip


def _bands(crop: np.ndarray) -> dict[str, float]:
    """Differences of Gaussians, one an octave."""
    x = _float(crop)
    levels = [x, *(ndimage.gaussian_filter(x, sigma) for sigma in BAND_SIGMAS_PX)]
    bands = [fine - coarse for fine, coarse in pairwise(levels)]
    contrast = _log(x.std())
    found: dict[str, float] = {}
    for band, sigma in zip(bands, BAND_SIGMAS_PX, strict=True):
        name = f"detail of {3 * sigma:.0f} px"
        found[f"{name}, log share"] = _log(band.std()) - contrast
        found[f"{name}, log kurtosis"] = float(np.log2(_kurtosis(band) + 3.5))
        found[f"{name}, skewness"] = _skewness(band)
    for (fine, coarse), sigma in zip(pairwise(bands), BAND_SIGMAS_PX, strict=False):
        found[f"detail of {3 * sigma:.0f} px, goes with coarser"] = _correlation(np.abs(fine), np.abs(coarse))
    return found


def _edges(crop: np.ndarray) -> dict[str, float]:
    """Slopes of the image at three sizes."""
    x = _float(crop)
    found: dict[str, float] = {}
    steep = {}
    for sigma in (0.7, 1.4, 2.8):
        down, across = (ndimage.gaussian_filter(x, sigma, order=order) for order in ((1, 0), (0, 1)))
        gradient = np.hypot(down, across)
        middle, high, steep[sigma] = np.percentile(gradient, (50, 90, 99))
        found[f"edges at {sigma} px, log median slope"] = _log(middle)
        found[f"edges at {sigma} px, log 90 % slope"] = _log(high)
        found[f"edges at {sigma} px, log 99 % slope"] = _log(steep[sigma])
        found[f"edges at {sigma} px, level against upright"] = _log(np.abs(down).mean()) - _log(np.abs(across).mean())
    found["edge sharpness, 0.7 against 1.4 px"] = _log(steep[0.7]) - _log(steep[1.4])
    found["edge sharpness, 1.4 against 2.8 px"] = _log(steep[1.4]) - _log(steep[2.8])
    return found


def _hats(crop: np.ndarray) -> dict[str, float]:
    """Top hats: what a square of this size cannot enter from below (dark) or from above (bright)."""
    x = _float(crop)
    smooth, found = ndimage.gaussian_filter(x, 0.7), {}
    for size in HAT_PX:
        dark = ndimage.grey_closing(smooth, (size, size)) - smooth
        bright = smooth - ndimage.grey_opening(smooth, (size, size))
        found[f"dark structures under {size} px, log mean depth"] = _log(dark.mean())
        found[f"bright structures under {size} px, log mean height"] = _log(bright.mean())
    return found


def _patches(crop: np.ndarray) -> dict[str, float]:
    """The dark part of the crop (Otsu's threshold, after a Gaussian of 1 px) as shapes."""
    x = _float(crop)
    smooth = ndimage.gaussian_filter(x, 1)
    dark = smooth < threshold_otsu(smooth) if np.ptp(smooth) > SMALL else np.zeros(x.shape, dtype=bool)
    _, count = ndimage.label(dark)
    _, islands = ndimage.label(~dark)
    outline = _outline(dark)
    rounded = _outline(ndimage.gaussian_filter(dark.astype(np.float64), 2) > 0.5)
    rest = x - ndimage.gaussian_filter(x, 4)
    inner, outer = (ndimage.binary_erosion(part, iterations=3) for part in (dark, ~dark))
    return {
        "dark part, share": float(dark.mean()), "dark part, log patches": float(np.log2(count + 1)),
        "dark part, log holes": float(np.log2(islands + 1)),
        "dark part, log outline": float(np.log2(outline + 1)),
        "dark part, raggedness of the outline": float(np.log2((outline + 1) / (rounded + 1))),
        "dark part, log texture inside": _log(rest[inner].std()) if inner.any() else _log(0),
        "bright part, log texture inside": _log(rest[outer].std()) if outer.any() else _log(0),
    }  # fmt: skip


def _patterns(crop: np.ndarray) -> dict[str, float]:
    """Shares of the uniform local binary patterns of 8 neighbours (Ojala et al. 2002)."""
    found = {}
    for radius in (1, 3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            codes = local_binary_pattern(crop, 8, radius, method="uniform")
        shares = np.bincount(codes.astype(int).ravel(), minlength=10) / codes.size
        for brighter, share in enumerate(shares[:9]):
            found[f"{brighter} of 8 neighbours at {radius} px brighter, share"] = float(share)
        found[f"no order among neighbours at {radius} px, share"] = float(shares[9])
    return found


# What a statistic is about → the function that takes them
FAMILIES: dict[str, Callable[[np.ndarray], dict[str, float]]] = {
    "grey levels": _greys, "noise": _noise, "detail at each size": _bands, "edges": _edges,
    "dark and bright structures": _hats, "shape of the dark part": _patches, PATTERNS: _patterns,
}  # fmt: skip


def _outline(mask: np.ndarray) -> int:
    """Pixel sides between the mask and the rest."""
    return int((mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum())


def _slope(x: np.ndarray, axis: int) -> float:
    """Fall of the mean grey level along an axis, over the whole crop, in standard deviations of the crop."""
    profile = x.mean(axis=1 - axis)
    return float(np.polyfit(np.linspace(0, 1, len(profile)), profile, 1)[0] / (x.std() + SMALL))


def _float(crop: np.ndarray) -> np.ndarray:
    return crop.astype(np.float64)


def _log(value: float) -> float:
    return float(np.log2(value + SMALL))


def _skewness(x: np.ndarray) -> float:
    return float(skew(x, axis=None)) if x.std() > SMALL else 0.0


def _kurtosis(x: np.ndarray) -> float:
    return float(kurtosis(x, axis=None)) if x.std() > SMALL else 0.0


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    if a.std() < SMALL or b.std() < SMALL:
        return 0.0
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
