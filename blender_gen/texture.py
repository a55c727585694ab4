"""Brightness beyond composition: charging of a layer, orientation contrast of its grains, mottling."""

import numpy as np
from scipy.fft import fftfreq, irfft2, rfft2, rfftfreq
from scipy.ndimage import map_coordinates, median_filter
from scipy.spatial import cKDTree

from blender_gen.fields import gaussian_field
from blender_gen.recipe.common import Appearance, Grains, Mottle, Platelets, Speckle
from blender_gen.specimen import View

FACTOR_LIMITS = (0.05, 6.0)  # of the texture on the yield
SPECK_SIGMA_G = 1.4  # geometric standard deviation of speck sizes
LARGEST_SPECK = 3.0  # over the median
MAX_SPECKS = 50_000
MAX_WINDOWS = 2e6  # pixels that are drawn at once
SHEETS = 6  # orientations of a fabric of platelets
PLATE_SIGMAS = 2.5  # length of a plate over the standard deviation of the Gaussian that draws it


def texture(appearances: dict[int, Appearance], view: View, wall: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Factor on the yield, (H, W), from the appearance of each phase and the phase that the beam hits.

    Its mean over a phase is the phase's brightness, speckles aside. Phases of equal appearance are textured
    together.
    """
    factor = np.ones(wall.shape)
    drawn: list[Appearance] = []
    for appearance in appearances.values():
        if appearance in drawn:
            continue
        drawn.append(appearance)
        mask = np.isin(wall, [phase for phase, other in appearances.items() if other == appearance])
        if mask.any():
            factor[mask] = _texture(appearance, mask, view, rng)
            if appearance.platelets is not None:
                factor[mask] *= 1 + _fabric(appearance.platelets, view, rng)[mask]
            for speckle in appearance.speckles:
                specks = _specks(speckle, mask, view, rng)
                factor[mask] *= 1 + specks[mask]
    return np.clip(factor, *FACTOR_LIMITS)


def _texture(appearance: Appearance, mask: np.ndarray, view: View, rng: np.random.Generator) -> np.ndarray:
    factor = np.full(int(mask.sum()), appearance.brightness.draw(rng))
    if appearance.grains is not None:
        factor *= 1 + _grain_contrast(appearance.grains, view.pixel_centres()[mask], view.pixel_size_um, rng)
    if appearance.mottle is not None:
        factor *= 1 + _mottle(appearance.mottle, mask, view, rng)
    return factor


def _grain_contrast(grains: Grains, points: np.ndarray, pixel_um: float, rng: np.random.Generator) -> np.ndarray:
    """Voronoi grains of the wanted mean size, each with its own brightness; none smaller than a pixel."""
    size, contrast = max(grains.size_um.draw(rng), pixel_um), grains.contrast.draw(rng)
    low, high = points.min(axis=0) - 2 * size, points.max(axis=0) + 2 * size
    count = max(int(np.prod(high - low) / (np.pi / 4 * size**2)), 1)
    seeds = rng.uniform(low, high, size=(count, 2))
    _, nearest = cKDTree(seeds).query(points)
    return rng.normal(scale=contrast, size=count)[nearest]


def _mottle(mottle: Mottle, mask: np.ndarray, view: View, rng: np.random.Generator) -> np.ndarray:
    """A Gaussian random field at the pixels of the phase (n,), on a coarser grid where it changes slowly."""
    correlation, rms = mottle.correlation_um.draw(rng), mottle.rms.draw(rng)
    field = gaussian_field(rng, correlation)
    rows, columns = np.nonzero(mask)
    step = max(int(correlation / view.pixel_size_um / 5), 1)
    points = view.pixel_centres()
    if step == 1:
        return rms * field(points[mask][:, 0], points[mask][:, 1])
    across, down = view.axes[0] * view.pixel_size_um, -view.axes[1] * view.pixel_size_um
    nodes = (np.arange(0, size + step, step) for size in mask.shape)
    r, c = np.meshgrid(*nodes, indexing="ij")
    coarse = field(*(points[0, 0, k] + r * down[k] + c * across[k] for k in (0, 1)))
    return rms * map_coordinates(coarse, [rows / step, columns / step], order=1)


def _fabric(platelets: Platelets, view: View, rng: np.random.Generator) -> np.ndarray:
    """Relative change of signal (H, W) by plates on edge: the brightest of several sheets of streaks, each sheet of
    one orientation. Zero mean, and the wanted standard deviation.
    """
    shape = (view.height_px, view.width_px)
    length, thickness = platelets.length_um.draw(rng), platelets.thickness_um.draw(rng)
    spread, contrast = platelets.spread_deg.draw(rng), platelets.contrast.draw(rng)
    fy, fx = fftfreq(shape[0])[:, None], rfftfreq(shape[1])[None, :]
    total = np.full(shape, -np.inf)
    for angle in np.radians(rng.normal(scale=spread, size=SHEETS) + view.tilt_deg):
        along, across = fx * np.cos(angle) + fy * np.sin(angle), fy * np.cos(angle) - fx * np.sin(angle)
        reach = [np.maximum(size / view.pixel_size_um, 0.3) / PLATE_SIGMAS for size in (length, thickness)]
        transfer = np.exp(-2 * np.pi**2 * ((reach[0] * along) ** 2 + (reach[1] * across) ** 2))
        streaks = irfft2(rfft2(rng.normal(size=shape), workers=1) * transfer, s=shape, workers=1)
        total = np.maximum(total, streaks / max(float(streaks.std()), 1e-12))
    return contrast * (total - total.mean()) / total.std()


def _specks(speckle: Speckle, mask: np.ndarray, view: View, rng: np.random.Generator) -> np.ndarray:
    """Relative change of signal (H, W) by specks whose centres lie in the phase: elliptic discs, drawn to subpixels."""
    diameter_px = np.maximum(speckle.size_um.draw(rng) / view.pixel_size_um, 0.2)
    aspect, contrast = speckle.aspect.draw(rng), speckle.contrast.draw(rng)
    area = speckle.area_percent.draw(rng) / 100 * mask.sum()
    spread = np.log(SPECK_SIGMA_G)
    count = min(rng.poisson(area / (np.pi / 4 * diameter_px**2 * np.exp(2 * spread**2))), MAX_SPECKS)
    pixels = np.flatnonzero(mask)
    density = np.cumsum(_speck_density(speckle, mask, view, diameter_px, rng))
    if count == 0 or density[-1] <= 0:
        return np.zeros(mask.shape)
    chosen = pixels[np.minimum(np.searchsorted(density, rng.uniform(0, density[-1], size=count)), len(pixels) - 1)]
    centre = np.stack(np.unravel_index(chosen, mask.shape), axis=1) + rng.uniform(-0.5, 0.5, size=(count, 2))
    size = diameter_px * np.exp(np.clip(rng.normal(scale=spread, size=count), None, np.log(LARGEST_SPECK)))
    strength = contrast * rng.uniform(0.6, 1.0, size=count)
    semi = np.stack([size / 2 * np.sqrt(aspect), size / 2 / np.sqrt(aspect)], axis=1)
    return _stamped(mask.shape, centre, semi, strength, np.radians(view.tilt_deg))


def _stamped(
    shape: tuple[int, ...], centre: np.ndarray, semi: np.ndarray, strength: np.ndarray, angle: float
) -> np.ndarray:
    """Ellipses at `centre` (n, 2) row and column, semi-axes (n, 2) in pixels, long axis along the layers.

    Where specks overlap the stronger one is seen.
    """
    total = np.zeros(shape)
    reach = int(np.ceil(semi.max() + 1))
    at_once = max(int(MAX_WINDOWS / (2 * reach + 1) ** 2), 1)
    for first in range(0, len(centre), at_once):
        some = slice(first, first + at_once)
        _stamp(total, centre[some], semi[some], np.abs(strength[some]), angle, reach)
    return total * np.sign(strength[0])


def _stamp(
    total: np.ndarray, centre: np.ndarray, semi: np.ndarray, strength: np.ndarray, angle: float, reach: int
) -> None:
    """Put some of the ellipses into `total`, each in a window of `reach` pixels about its centre."""
    shape = total.shape
    step = np.arange(-reach, reach + 1)
    rows = np.rint(centre[:, 0]).astype(int)[:, None, None] + step[:, None]
    columns = np.rint(centre[:, 1]).astype(int)[:, None, None] + step
    dy, dx = rows - centre[:, 0, None, None], columns - centre[:, 1, None, None]
    along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    distance = np.hypot(along / semi[:, 0, None, None], across / semi[:, 1, None, None])
    small = np.minimum(semi, 0.5).prod(axis=1)[:, None, None] / 0.25  # a speck below a pixel covers a part of it
    cover = np.clip(0.5 + (1 - distance) * np.maximum(semi[:, 1, None, None], 0.5), 0, 1) * small
    value = cover * strength[:, None, None]
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1]) & (value > 0)
    index = np.broadcast_to(rows, value.shape)[inside], np.broadcast_to(columns, value.shape)[inside]
    np.maximum.at(total, index, value[inside])


def _speck_density(
    speckle: Speckle, mask: np.ndarray, view: View, diameter_px: float, rng: np.random.Generator
) -> np.ndarray:
    """Relative density of specks at the pixels of the phase (n,), in row-major order."""
    points = view.pixel_centres()[mask]
    density = np.ones(len(points))
    patchiness = speckle.patchiness.draw(rng)
    if patchiness:
        field = gaussian_field(rng, 12 * diameter_px * view.pixel_size_um, waves=24)
        density *= np.exp(patchiness * field(points[:, 0], points[:, 1]))
    bands = round(speckle.bands.draw(rng))
    if bands:
        depth, width = _depth(points, view.pixel_size_um), max(speckle.band_half_width.draw(rng), 1e-3)
        places = [speckle.depth_fraction.draw(rng) for _ in range(bands)]
        density *= sum(np.exp(-0.5 * ((depth - place) / width) ** 2) for place in places)
    return density


def _depth(points: np.ndarray, pixel_um: float) -> np.ndarray:
    """Relative depth (n,) of points (n, 2) below the outer surface of the region that they fill, column by column."""
    column = np.floor((points[:, 0] - points[:, 0].min()) / (2 * pixel_um)).astype(int)
    count = column.max() + 1
    top, bottom = np.full(count, -np.inf), np.full(count, np.inf)
    np.maximum.at(top, column, points[:, 1])
    np.minimum.at(bottom, column, points[:, 1])
    filled = np.isfinite(top)
    steps = np.arange(count)
    top, bottom = (median_filter(np.interp(steps, steps[filled], v[filled]), 15) for v in (top, bottom))
    return (top[column] - points[:, 1]) / np.maximum(top - bottom, pixel_um)[column]
