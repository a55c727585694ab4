"""Charts of a page: SVG for the geometry, which stretches with the page; HTML for the words, which keep their size.

Positions are in percent of the plot's width (from the left) and height (from the top).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sem_train.analysis.record import ProfileRecord
from sem_train.certificate.numbers import shown

HEIGHT = 100.0  # both axes of a plot run from 0 to 100
STATIONS = 160  # normals that a page keeps of a profile ...
STATIONS_IN_BATCH = 80  # ... and where it has many images
DRAWN_NORMALS = 40
Ends = tuple[float, float, float, float]  # x and y of the outer end, then of the inner one
EVEN = 0.75  # smallest over largest thickness above which the axis does not begin at zero
FEWEST_VALUES = 5  # fewer make no histogram


@dataclass(frozen=True)
class Tick:
    """A mark on an axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Outline:
    """What is drawn of a layer on the image: paths in pixels of the full image."""

    layer: str
    boundaries: str
    normals: str


@dataclass(frozen=True)
class ProfileChart:
    """Thickness along a layer."""

    layer: str
    line: str  # SVG path; interrupted where nothing was measured
    area: str
    mean_at: float | None
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    x_title: str
    span: float  # length of the axis in the unit
    bottom: str  # where the axis of thickness begins, if not at zero
    stations: tuple[tuple[float, float, Ends | None], ...]  # x, thickness, normal on the image
    follows_image: bool  # whether x is the image's own axis


@dataclass(frozen=True)
class Histogram:
    """Numbers of values by size."""

    title: str
    unit: str
    colour: str
    count: int
    bars: tuple[tuple[float, float, float], ...]  # left, width, height
    cumulative: str  # SVG path, empty where the values are no objects
    x_ticks: tuple[Tick, ...]
    highest: int  # values in the fullest bar
    median: float
    median_text: str
    median_at: float


def outline(layer: str, profile: ProfileRecord, tolerance: float) -> Outline:
    """Boundaries and normals of a layer; `tolerance` is how far a boundary may be simplified, in pixels."""
    from skimage.measure import approximate_polygon

    paths = []
    for side in (profile.outer_xy, profile.inner_xy):
        for run in _runs(side, profile.thickness):
            if len(run) > 1:
                paths.append(_path(approximate_polygon(np.array(run), tolerance), 1))
    measured = [
        (outer, inner)
        for outer, inner, t in zip(profile.outer_xy, profile.inner_xy, profile.thickness, strict=True)
        if outer is not None and inner is not None and t
    ]
    few = [measured[i] for i in _spread(len(measured), DRAWN_NORMALS)]
    normals = "".join(f"M{_n(a[0])} {_n(a[1])}L{_n(b[0])} {_n(b[1])}" for a, b in few)
    return Outline(layer, "".join(paths), normals)


def profile_chart(
    layer: str, profile: ProfileRecord, size_px: tuple[int, int], pixel: float, stations: int
) -> ProfileChart | None:
    """The profile of a layer over the image's width if the layer lies across it, else over its own length.

    `pixel` is the edge of a pixel in the profile's unit. None if nothing was measured.
    """
    chosen = _spread(len(profile.along), stations)
    ends = [(profile.outer_xy[i], profile.inner_xy[i]) for i in chosen]
    thickness = [profile.thickness[i] for i in chosen]
    known = [t for t in profile.thickness if t is not None]
    if not known:
        return None
    middles = [((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in ends if a is not None and b is not None]
    width, _ = size_px
    follows = len(middles) == 0 or np.ptp([m[0] for m in middles]) >= np.ptp([m[1] for m in middles])
    follows = follows and len(middles) > 1
    span = width * pixel if follows else max(profile.along[-1], 1e-9)
    xs = []
    for i, (a, b) in zip(chosen, ends, strict=True):
        if not follows:
            xs.append(100 * profile.along[i] / span)
        elif a is not None and b is not None:
            xs.append(100 * ((a[0] + b[0]) / 2 + 0.5) / width)
        else:
            xs.append(math.nan)
    points = [(x, t) for x, t in zip(xs, thickness, strict=True)]
    kept = [
        (round(x, 2), t, (a, b))
        for (x, t), (a, b) in zip(points, ends, strict=True)
        if t is not None and math.isfinite(x)
    ]
    bottom, top = _axis(min(known), max(known))
    y = lambda t: HEIGHT * (top - t) / (top - bottom)
    line, area = "", ""
    for run in _joined_runs(points):
        path = "M" + "L".join(f"{_n(x)} {_n(y(t))}" for x, t in run)
        line += path
        area += f"{path}L{_n(run[-1][0])} 100L{_n(run[0][0])} 100Z"
    mean = [t for t in known if t > 0]
    return ProfileChart(
        layer=layer, line=line, area=area, mean_at=y(float(np.mean(mean))) if mean else None,
        x_ticks=tuple(Tick(100 * v / span, shown_tick(v)) for v in nice_ticks(0, span, 5) if 0 < v < 0.97 * span),
        y_ticks=tuple(Tick(y(v), shown_tick(v)) for v in nice_ticks(bottom, top, 3) if v > bottom),
        bottom=shown_tick(bottom) if bottom else "",
        span=round(span, 4), x_title="across the image" if follows else "along the layer",
        stations=tuple((x, float(f"{t:.4g}"), _normal(*ends)) for x, t, ends in sorted(kept, key=lambda k: k[0])),
        follows_image=bool(follows),
    )  # fmt: skip


def histogram(title: str, unit: str, colour: str, values: Sequence[float], objects: bool) -> Histogram | None:
    """Of finite values; with `objects` also their cumulative curve. None if there are too few."""
    data = np.array([v for v in values if v is not None and math.isfinite(v)], dtype=float)
    if len(data) < FEWEST_VALUES:
        return None
    low, high = float(data.min()), float(data.max())
    if high <= low:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    if low > 0 and low < 0.35 * high:
        low = 0.0
    bins = int(np.clip(len(np.histogram_bin_edges(data, "fd")) - 1, 8, 30))
    step = _nice_step((high - low) / bins)
    edges = np.arange(math.floor(low / step), math.ceil(high / step) + 1) * step
    if edges[-1] < high:
        edges = np.append(edges, edges[-1] + step)
    counts, _ = np.histogram(data, edges)
    span = edges[-1] - edges[0]
    x = lambda v: 100 * (v - edges[0]) / span
    highest = int(counts.max())
    bars = tuple(
        (round(x(a), 2), round(100 * (b - a) / span, 2), round(HEIGHT * c / highest, 2))
        for (a, b), c in zip(pairwise(edges), counts, strict=True)
        if c
    )
    median = float(np.median(data))
    curve = ""
    if objects:
        ordered = np.sort(data)
        chosen = _spread(len(ordered), 60)
        steps = [(x(float(ordered[i])), HEIGHT * (1 - (i + 1) / len(ordered))) for i in chosen]
        curve = "M" + "L".join(f"{_n(a)} {_n(b)}" for a, b in [(x(float(ordered[0])), HEIGHT), *steps])
    ticks = tuple(Tick(x(v), shown_tick(v)) for v in nice_ticks(edges[0], edges[-1], 5) if edges[0] <= v <= edges[-1])
    return Histogram(title, unit, colour, len(data), bars, curve, ticks, highest, median, shown(median), x(median))


def nice_ticks(low: float, high: float, about: int) -> list[float]:
    """About that many round values from low to high."""
    if not high > low:
        return []
    step = _nice_step((high - low) / about)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def shown_tick(value: float) -> str:
    """A round value without zeros that say nothing."""
    return f"{value:.6g}".replace("-", "−")


def _nice_step(wanted: float) -> float:
    power = 10 ** math.floor(math.log10(wanted))
    return float(min((m * power for m in (1, 2, 5, 10) if m * power >= 0.999 * wanted), default=10 * power))


def _axis(lowest: float, highest: float) -> tuple[float, float]:
    """From zero, unless all values are so near to each other that nothing could be seen."""
    if highest <= 0:
        return 0.0, 1.0
    if lowest < EVEN * highest or lowest == highest:
        return 0.0, 1.12 * highest
    step = _nice_step((highest - lowest) / 2)
    bottom = math.floor((lowest - 0.3 * (highest - lowest)) / step) * step
    return bottom, highest + 0.15 * (highest - lowest)


def _normal(outer: tuple[float, float] | None, inner: tuple[float, float] | None) -> Ends | None:
    """x and y of both ends; None where one is unknown."""
    if outer is None or inner is None:
        return None
    return round(outer[0], 1), round(outer[1], 1), round(inner[0], 1), round(inner[1], 1)


def _runs(
    points: Sequence[tuple[float, float] | None], thickness: Sequence[float | None]
) -> list[list[tuple[float, float]]]:
    """Stretches of a boundary without gaps; where the layer is missing there is no boundary."""
    runs: list[list[tuple[float, float]]] = [[]]
    for point, t in zip(points, thickness, strict=True):
        if point is None or t == 0:
            runs.append([])
        else:
            runs[-1].append(point)
    return [run for run in runs if run]


def _joined_runs(points: Sequence[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    runs: list[list[tuple[float, float]]] = [[]]
    for x, t in points:
        if t is None or not math.isfinite(x):
            runs.append([])
        else:
            runs[-1].append((x, t))
    return [run for run in runs if len(run) > 1]


def _path(points: np.ndarray, places: int) -> str:
    """Relative steps: they are short to write."""
    rounded = np.round(points, places)
    steps = np.diff(rounded, axis=0)
    moves = "".join(f"l{_n(dx)} {_n(dy)}" for dx, dy in steps)
    return f"M{_n(rounded[0][0])} {_n(rounded[0][1])}{moves}"


def _n(value: float) -> str:
    """At most one decimal."""
    text = f"{value:.1f}"
    text = text.removesuffix(".0")
    return "0" if text == "-0" else text


def _spread(count: int, wanted: int) -> list[int]:
    """At most `wanted` positions among `count`, evenly spread, both ends included."""
    if count <= wanted:
        return list(range(count))
    return [int(i) for i in np.unique(np.linspace(0, count - 1, wanted).round().astype(int))]
