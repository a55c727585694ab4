"""Learning curves over the number of real images, and beneath them what each arm gains over the reference."""

import io
import math

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sem_train.experiments.analysis import Analysis
from sem_train.experiments.quantities import Quantity
from sem_train.experiments.results import NO_REAL
from sem_train.experiments.verdict import answer
from sem_train.figures import STYLE, WIDTH_IN

# Okabe and Ito's colours without yellow, told apart also by colour-blind readers; markers do without colour
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("s", "^", "D", "v", "P", "X", "<", ">")
REFERENCE = "#1d1f21"
DOTS_PER_INCH = 170
MOST_A_ROW = 3  # panels
SPREAD = 0.30  # of the way from one number of real images to the next, over which arms stand side by side


def learning_curves(analysis: Analysis) -> bytes:
    """PNG with two panels a primary quantity: means over specimens, and differences, with 95 % intervals."""
    columns = min(MOST_A_ROW, len(analysis.primary))
    blocks = math.ceil(len(analysis.primary) / columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(max(WIDTH_IN, 3.2 * columns), 4.9 * blocks + 0.5), layout="constrained")
        axes = figure.subplots(2 * blocks, columns, squeeze=False, gridspec_kw={"height_ratios": [3, 2] * blocks})
        for axis in axes.ravel():
            axis.set_visible(False)
        for i, quantity in enumerate(analysis.primary):
            block, column = divmod(i, columns)
            upper, lower = axes[2 * block, column], axes[2 * block + 1, column]
            _levels(upper, analysis, quantity)
            _differences(lower, analysis, quantity)
        figure.legend(handles=_legend(analysis), loc="outside lower center", ncols=4, fontsize=8)
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=DOTS_PER_INCH)
    return picture.getvalue()


def _levels(axis: Axes, analysis: Analysis, quantity: Quantity) -> None:
    axis.set(visible=True, title=quantity.label[0].upper() + quantity.label[1:])
    for arm in analysis.arms:
        everywhere = analysis.estimate(arm, NO_REAL, quantity.name)
        found = [(i, everywhere or analysis.estimate(arm, asked, quantity.name)) for i, asked in _places(analysis)]
        points = [(i, e.mean, e.low, e.high) for i, e in found if e is not None and math.isfinite(e.mean)]
        _draw(axis, analysis, arm, points, band=True)
    _ticks(axis, analysis)
    _within(axis, quantity, 0, 1)
    axis.tick_params(labelbottom=False)


def _differences(axis: Axes, analysis: Analysis, quantity: Quantity) -> None:
    axis.set(visible=True, xlabel="real images trained on", ylabel=f"minus {analysis.reference}")
    axis.axhline(0, color=REFERENCE, linewidth=1)
    for arm in analysis.arms:
        found = [(i, analysis.difference(arm, asked, quantity.name)) for i, asked in _places(analysis)]
        told = [(i, d) for i, d in found if d is not None and math.isfinite(d.mean)]
        _draw(axis, analysis, arm, [(i, d.mean, d.low, d.high) for i, d in told], band=False,
              hollow={i for i, d in told if answer(d, quantity) == "cannot be told"})  # fmt: skip
    _ticks(axis, analysis)
    _within(axis, quantity, -1, 1)


def _within(axis: Axes, quantity: Quantity, least: float, most: float) -> None:
    """No axis beyond what an overlap can be, however wide an interval of few specimens is."""
    if quantity.of_counts is not None:
        low, high = axis.get_ylim()
        axis.set_ylim(max(low, least), min(high, most))


def _draw(
    axis: Axes, analysis: Analysis, arm: str, points: list[tuple[int, float, float, float]], band: bool,
    hollow: frozenset[int] | set[int] = frozenset(),
) -> None:  # fmt: skip
    if not points:
        return
    look = _look(analysis, arm)
    number = analysis.arms.index(arm)
    aside = (SPREAD if len(analysis.asked) > 1 else 2 * SPREAD) * (number / max(len(analysis.arms) - 1, 1) - 0.5)
    at, mean, low, high = (np.array(column, dtype=float) for column in zip(*points, strict=True))
    at = at + aside
    if band and len(points) > 1 and np.isfinite(low).all():
        axis.fill_between(at, low, high, color=look["color"], alpha=0.10, linewidth=0)
    axis.plot(at, mean, linewidth=1.3, **{**look, "marker": ""})
    for i, (x, y, below, above) in enumerate(zip(at, mean, low, high, strict=True)):
        filled = points[i][0] not in hollow
        axis.plot([x], [y], linestyle="", markersize=5, markerfacecolor=look["color"] if filled else "white",
                  marker=look["marker"], color=look["color"], zorder=4)  # fmt: skip
        if math.isfinite(below):
            axis.plot([x, x], [below, above], color=look["color"], linewidth=0.9, zorder=3)


def _look(analysis: Analysis, arm: str) -> dict:
    if arm == analysis.reference:
        return {"color": REFERENCE, "marker": "o", "linestyle": "-"}
    others = [a for a in analysis.arms if a != analysis.reference]
    number = others.index(arm)
    dashed = arm in analysis.baselines or arm not in analysis.networks_with_real
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)],
            "linestyle": "--" if dashed else "-"}  # fmt: skip


def _legend(analysis: Analysis) -> list[Line2D]:
    some_real = (*analysis.networks_with_real, *analysis.baselines)
    return [
        Line2D([], [], label=arm if arm in some_real else f"{arm} (no real images)", linewidth=1.3, markersize=5,
               **_look(analysis, arm)) for arm in analysis.arms
    ]  # fmt: skip


def _places(analysis: Analysis) -> list[tuple[int, str]]:
    return list(enumerate(analysis.asked or (NO_REAL,)))


def _ticks(axis: Axes, analysis: Analysis) -> None:
    places = _places(analysis)
    axis.set_xticks([i for i, _ in places], [_tick(asked, analysis) for _, asked in places])
    axis.set_xlim(-0.5, len(places) - 0.5)
    axis.grid(axis="y", linewidth=0.4, alpha=0.5)


def _tick(asked: str, analysis: Analysis) -> str:
    """`all` with its number, which differs among folds."""
    if asked.isdigit():
        return asked
    real = [g.real_images for g in analysis.groups if g.asked == asked]
    if not real:
        return asked
    fewest, most = min(low for low, _ in real), max(high for _, high in real)
    return asked if most == 0 else f"{asked} ({fewest})" if fewest == most else f"{asked} ({fewest} to {most})"
