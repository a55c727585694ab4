"""Cracks: thin open sheets that run across a layer or along it, wander, branch and break off."""

import numpy as np

from blender_gen.families.region import Region
from blender_gen.fields import gaussian_field
from blender_gen.recipe.coating import Cracks
from blender_gen.solids import Triangles, sheet

DEPTH_UM = 12.0  # how far a crack goes below the section plane
NARROWEST_UM = 1e-3


def crack_meshes(cracks: Cracks, region: Region, rng: np.random.Generator) -> list[Triangles]:
    """Draw the cracks of one kind in one layer."""
    if rng.uniform() >= cracks.probability:
        return []
    half, _ = region.view.reach_um
    count = rng.poisson(cracks.per_mm.draw(rng) * 2 * half / 1000)
    meshes: list[Triangles] = []
    for x in _spaced(rng, half, count):
        meshes += _across(cracks, region, x, rng) if cracks.direction == "across" else _along(cracks, region, x, rng)
    return meshes


def _spaced(rng: np.random.Generator, half: float, count: int) -> np.ndarray:
    """Positions that keep apart: a crack unloads its surroundings, so the next one opens at a distance."""
    if count == 0:
        return np.empty(0)
    pitch = 2 * half / count
    return -half + pitch * (np.arange(count) + rng.uniform(0.1, 0.9, size=count))


def _across(cracks: Cracks, region: Region, x: float, rng: np.random.Generator) -> list[Triangles]:
    _, outer = region.point(x, 0.0)
    _, inner = region.point(x, 1.0)
    thickness = outer - inner
    length = min(cracks.length_fraction.draw(rng), 1.0) * thickness
    start = rng.choice(["outer", "inner"]) if cracks.start == "either" else cracks.start
    offset = rng.uniform(0, thickness - length) if start == "interior" else 0.0
    sign = 1 if start == "inner" else -1
    begin = (inner if start == "inner" else outer) + sign * offset
    through = length >= 0.98 * thickness
    opening = cracks.opening_um.draw(rng)
    slope = np.tan(np.radians(cracks.inclination_deg.draw(rng)))
    path = _Path(x, begin, sign * length, slope, cracks.wander.draw(rng), rng)
    pieces = [(0.0, 1.0)]
    if rng.uniform() < cracks.interrupted_probability:
        gap = rng.uniform(0.25, 0.75)
        pieces = [(0.0, gap - 0.04), (gap + 0.04, 1.0)]
    overshoot = 0.6 if start != "interior" else 0.0
    meshes = [path.mesh(a, b, opening, region, tapered=(a > 0 or start == "interior", b < 1 or not through),
                        overshoot=(overshoot if a == 0 else 0.0, 0.6 if b == 1 and through else 0.0), rng=rng)
              for a, b in pieces]  # fmt: skip
    if rng.uniform() < cracks.branch_probability:
        at = rng.uniform(0.4, 0.85)
        bx, by = path.at(at)
        lean = rng.choice([-1, 1]) * np.tan(np.radians(rng.uniform(20, 50)))
        branch = _Path(bx, by, sign * length * (1 - at) * rng.uniform(0.4, 1), slope + lean, 0.05, rng)
        meshes.append(branch.mesh(0, 1, 0.7 * opening, region, (False, True), (0, 0), rng))
    return meshes


class _Path:
    """The middle of a crack as a function of the way t from 0 to 1 along y."""

    def __init__(self, x: float, y: float, length: float, slope: float, wander: float, rng: np.random.Generator):
        self.x, self.y, self.length, self.slope = x, y, length, slope
        self.rms = wander * abs(length)
        self.coarse = gaussian_field(rng, 0.45 * abs(length))
        self.fine = gaussian_field(rng, 0.1 * abs(length))

    def at(self, t: float) -> tuple[float, float]:
        """The point in the section plane."""
        y = np.array([[self.y + t * self.length]])
        return float(self._middle(y, np.zeros((1, 1)))[0, 0]), float(y[0, 0])

    def _middle(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        origin = np.array([[self.y]])
        drift = self.coarse(y, z) - self.coarse(origin, np.zeros((1, 1)))
        return self.x + self.slope * np.abs(y - self.y) + self.rms * (drift + 0.22 * self.fine(y, z))

    def mesh(
        self, a: float, b: float, opening: float, region: Region, tapered: tuple[bool, bool],
        overshoot: tuple[float, float], rng: np.random.Generator,
    ) -> Triangles:  # fmt: skip
        """The crack between two parts of its way; `overshoot` in µm carries it beyond the interfaces."""
        sign = np.sign(self.length)
        ends = (self.y + a * self.length - sign * overshoot[0], self.y + b * self.length + sign * overshoot[1])
        count = max(8, int(abs(ends[1] - ends[0]) / (0.7 * region.view.pixel_size_um)))
        y = np.linspace(*ends, count)
        t = np.linspace(0, 1, count)
        width = opening * _profile(t, tapered) * np.exp(0.3 * gaussian_field(rng, 0.12 * abs(self.length), 1)(y))
        order = np.argsort(y)
        y, width = y[order], np.maximum(width[order], NARROWEST_UM)
        z = np.linspace(-DEPTH_UM, 0.5, 6)
        middle = self._middle(y[None, :], z[:, None])
        return sheet(y, z, middle - width / 2, middle + width / 2, along="y")


def _along(cracks: Cracks, region: Region, x: float, rng: np.random.Generator) -> list[Triangles]:
    half, _ = region.view.reach_um
    length = cracks.length_fraction.draw(rng) * 2 * half
    fraction = cracks.depth_fraction.draw(rng)
    opening = cracks.opening_um.draw(rng)
    pixel = region.view.pixel_size_um
    left, right = max(x - length / 2, region.x_um[0]), min(x + length / 2, region.x_um[-1])
    u = np.linspace(left, right, max(8, int((right - left) / pixel)))
    z = np.linspace(-DEPTH_UM, 0.5, 6)
    outer, inner = np.interp(u, region.x_um, region.outer_um), np.interp(u, region.x_um, region.inner_um)
    thickness = float(np.mean(outer - inner))
    wander = gaussian_field(rng, max(0.5 * thickness, 4 * pixel))
    middle = outer + fraction * (inner - outer) + cracks.wander.draw(rng) * thickness * wander(u[None, :], z[:, None])
    taper = _profile(np.linspace(0, 1, len(u)), (left > region.x_um[0], right < region.x_um[-1]))
    width = opening * taper * np.exp(0.4 * gaussian_field(rng, max(0.4 * thickness, 2 * pixel), 1)(u))
    width = np.maximum(width, NARROWEST_UM)
    return [sheet(u, z, middle - width / 2, middle + width / 2)]


def _profile(t: np.ndarray, tapered: tuple[bool, bool]) -> np.ndarray:
    """Relative opening along the way: closing like a square root towards a tip, as a crack in an elastic body."""
    profile = np.ones_like(t)
    if tapered[0]:
        profile *= np.sqrt(np.clip(t / 0.35, 0, 1))
    if tapered[1]:
        profile *= np.sqrt(np.clip((1 - t) / 0.35, 0, 1))
    return profile
