"""Cracks: thin open sheets that run across a layer or along it, wander, branch and break off."""

import numpy as np

from blender_gen.families.region import Region
from blender_gen.fields import gaussian_field
from blender_gen.recipe.coating import Cracks
from blender_gen.solids import Triangles, sheet
from blender_gen.specimen import View
from semforge.errors import RejectedSpecimen

# lengths at pixels of usual size, see View.fine_um
DEPTH_UM = 12.0  # how far a crack goes below the section plane
ABOVE_UM = 0.5
BEYOND_UM = 0.6  # how far it goes beyond an interface that it starts from or ends at
NARROWEST_UM = 1e-3
MAX_CRACKS = 5_000
KINK = 5.0  # slope of the straight pieces of a crack over its wander
TAPER = 0.15  # share of a crack on which it closes towards its tip
STEEPEST = 4.0  # widest that an oblique crack is cut, over its opening


def crack_meshes(cracks: Cracks, region: Region, rng: np.random.Generator) -> list[Triangles]:
    """Draw the cracks of one kind in one layer. Raises RejectedSpecimen if there are more than MAX_CRACKS."""
    if rng.uniform() >= cracks.probability:
        return []
    half, _ = region.view.reach_um
    count = rng.poisson(cracks.per_mm.draw(rng) * 2 * half / 1000)
    if count > MAX_CRACKS:
        raise RejectedSpecimen(f"{cracks.name}: {count} cracks in the frame, more than {MAX_CRACKS}; lower per_mm")
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
    jog = length * rng.uniform(-0.15, 0.15) if rng.uniform() < cracks.jog_probability else 0.0
    path = _Path(x, begin, sign * length, slope, cracks.wander.draw(rng), rng, jog)
    pieces = [(0.0, 1.0)]
    if rng.uniform() < cracks.interrupted_probability:
        gap = rng.uniform(0.25, 0.75)
        pieces = [(0.0, gap - 0.04), (gap + 0.04, 1.0)]
    beyond = region.view.fine_um(BEYOND_UM)
    overshoot = beyond if start != "interior" else 0.0
    meshes = [path.mesh(a, b, opening, region, tapered=(a > 0 or start == "interior", b < 1 or not through),
                        overshoot=(overshoot if a == 0 else 0.0, beyond if b == 1 and through else 0.0), rng=rng)
              for a, b in pieces]  # fmt: skip
    meshes += _side_branches(cracks, path, opening, region, rng)
    if through and rng.uniform() < cracks.foot_probability:
        meshes += _feet(path, 0.7 * opening, 0.98 if sign < 0 else 0.02, region, rng)
    return meshes


def _side_branches(
    cracks: Cracks, path: "_Path", opening: float, region: Region, rng: np.random.Generator
) -> list[Triangles]:
    """Branches that leave the crack on its way, thinner and shorter than it, and the second arm of a fork."""
    meshes = []
    for _ in range(rng.poisson(cracks.branches.draw(rng))):
        at = rng.uniform(0.1, 0.85)
        length = path.length * rng.choice([1, 1, -1]) * rng.uniform(0.1, 0.5)
        branch = path.branch(at, length, rng.uniform(20, 65), rng)
        meshes.append(branch.mesh(0, 1, rng.uniform(0.4, 0.8) * opening, region, (False, True), (0, 0), rng))
    if rng.uniform() < cracks.fork_probability:
        at = rng.uniform(0.1, 0.35)
        arm = path.branch(at, -at * path.length, rng.uniform(25, 55), rng)
        beyond = region.view.fine_um(BEYOND_UM)
        meshes.append(arm.mesh(0, 1, rng.uniform(0.6, 1) * opening, region, (False, False), (0, beyond), rng))
    return meshes


def _feet(
    path: "_Path", opening: float, depth_fraction: float, region: Region, rng: np.random.Generator
) -> list[Triangles]:
    """The end of a crack, turned along the interface to one side or both."""
    x, _ = path.at(1.0)
    reach = np.array([-1, 1]) * abs(path.length) * rng.uniform(0.05, 0.4, size=2)
    reach *= ((1, 0), (0, 1), (1, 1))[rng.integers(3)]
    return [_sheet_along(region, x + reach[0], x + reach[1], depth_fraction, opening, 0.01, rng)]


class _Path:
    """The middle of a crack as a function of the way t from 0 to 1 along y."""

    def __init__(
        self, x: float, y: float, length: float, slope: float, wander: float, rng: np.random.Generator, jog: float = 0.0
    ):
        self.x, self.y, self.length, self.slope = x, y, length, slope
        self.rms = wander * abs(length)
        self.scales = [(0.7, gaussian_field(rng, 0.45 * abs(length))), (0.2, gaussian_field(rng, 0.1 * abs(length))),
                       (0.1, gaussian_field(rng, 0.03 * abs(length)))]  # fmt: skip
        self.jog, self.jog_at = jog, rng.uniform(0.2, 0.8)
        self.kinks = np.sort(np.concatenate([[0.0, 1.0], rng.uniform(size=rng.integers(2, 8))]))
        turns = rng.normal(scale=KINK * wander, size=len(self.kinks) - 1)
        self.kinked = np.concatenate([[0.0], np.cumsum(turns * np.diff(self.kinks))])

    def at(self, t: float) -> tuple[float, float]:
        """The point in the section plane."""
        y = np.array([[self.y + t * self.length]])
        return float(self._middle(y, np.zeros((1, 1)))[0, 0]), float(y[0, 0])

    def branch(self, at: float, length: float, lean_deg: float, rng: np.random.Generator) -> "_Path":
        """A path of signed `length` that leaves this one at t = `at`, leaning to either side."""
        slope = rng.choice([-1, 1]) * np.tan(np.radians(lean_deg)) + np.sign(length * self.length) * self.slope
        return _Path(*self.at(at), length, slope, 0.08, rng)

    def _middle(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        origin, zero = np.array([[self.y]]), np.zeros((1, 1))
        way = np.abs(y - self.y)
        drift = sum(share * (field(y, z) - field(origin, zero)) for share, field in self.scales)
        step = 0.5 * (1 + np.tanh(20 * (way / abs(self.length) - self.jog_at))) if self.jog else 0.0
        kinked = abs(self.length) * np.interp(way / abs(self.length), self.kinks, self.kinked)
        return self.x + self.slope * way + kinked + self.rms * drift + self.jog * step

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
        y, width = y[order], np.maximum(width[order], region.view.fine_um(NARROWEST_UM))
        z = _depths(region.view)
        middle = self._middle(y[None, :], z[:, None])
        steepness = np.minimum(np.hypot(1, np.gradient(middle, y, axis=1)), STEEPEST)  # the opening is across the crack
        return sheet(y, z, middle - steepness * width / 2, middle + steepness * width / 2, along="y")


def _along(cracks: Cracks, region: Region, x: float, rng: np.random.Generator) -> list[Triangles]:
    half, _ = region.view.reach_um
    length = cracks.length_fraction.draw(rng) * 2 * half
    fraction, opening, wander = cracks.depth_fraction.draw(rng), cracks.opening_um.draw(rng), cracks.wander.draw(rng)
    return [_sheet_along(region, x - length / 2, x + length / 2, fraction, opening, wander, rng)]


def _sheet_along(
    region: Region, left: float, right: float, depth_fraction: float, opening: float, wander: float,
    rng: np.random.Generator,
) -> Triangles:  # fmt: skip
    """An opening that follows the layer at a relative depth; `wander` is its rms deviation over the layer's thickness.

    It closes towards its ends unless they lie outside the frame.
    """
    pixel = region.view.pixel_size_um
    ends = (left > region.x_um[0], right < region.x_um[-1])
    left, right = max(left, region.x_um[0]), min(right, region.x_um[-1])
    right = max(right, left + pixel)
    u = np.linspace(left, right, max(8, int((right - left) / pixel)))
    z = _depths(region.view)
    outer, inner = np.interp(u, region.x_um, region.outer_um), np.interp(u, region.x_um, region.inner_um)
    thickness = float(np.mean(outer - inner))
    field = gaussian_field(rng, max(min(0.5 * thickness, 0.3 * (right - left)), 4 * pixel))
    middle = outer + depth_fraction * (inner - outer) + wander * thickness * field(u[None, :], z[:, None])
    swelling = gaussian_field(rng, max(min(0.4 * thickness, 0.2 * (right - left)), 2 * pixel), 1)
    width = opening * _profile(np.linspace(0, 1, len(u)), ends) * np.exp(0.4 * swelling(u))
    width = np.maximum(width, region.view.fine_um(NARROWEST_UM))
    return sheet(u, z, middle - width / 2, middle + width / 2)


def _depths(view: View) -> np.ndarray:
    return np.linspace(-view.fine_um(DEPTH_UM), view.fine_um(ABOVE_UM), 6)


def _profile(t: np.ndarray, tapered: tuple[bool, bool]) -> np.ndarray:
    """Relative opening along the way: closing like a square root towards a tip, as a crack in an elastic body."""
    profile = np.ones_like(t)
    if tapered[0]:
        profile *= np.sqrt(np.clip(t / TAPER, 0, 1))
    if tapered[1]:
        profile *= np.sqrt(np.clip((1 - t) / TAPER, 0, 1))
    return profile
