"""Figures of a report, as SVG text that stands in a page without any other file."""

import io
import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sem_train.agreement import Agreement

# Okabe and Ito's blue, vermilion and green, told apart also by colour-blind readers
BLUE, VERMILION, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#8a8a8a"
WIDTH_IN = 7.2  # the text width of an A4 page
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif", "font.sans-serif": ["Arial", "Liberation Sans", "DejaVu Sans"], "font.size": 8.5,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.7, "axes.titlesize": 9,
    "axes.titlelocation": "left", "axes.labelcolor": "#222222", "xtick.major.width": 0.7, "ytick.major.width": 0.7,
    "legend.frameon": False, "svg.fonttype": "path",
}  # fmt: skip


def training_curves(history: dict[str, list[float]]) -> str:
    """Loss, and the Dice coefficient of held-out images, over training steps. SVG text, empty without a history."""
    steps = np.array(history.get("step", ()))
    if len(steps) == 0:
        return ""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, 2.5), layout="constrained")
        loss, score = figure.subplots(1, 2)
        for column, label, colour in (("train_loss", "training", BLUE), ("val_loss", "held out", VERMILION)):
            if column in history:
                loss.plot(steps, history[column], color=colour, label=label, linewidth=1.4)
        loss.set(title="Loss", xlabel="step", ylim=(0, None))
        loss.legend()
        for column in (c for c in history if c.startswith("dice_")):
            score.plot(steps, history[column], color=GREY, linewidth=0.8, alpha=0.8)
        _name_lines(score, steps[-1], {c.removeprefix("dice_"): v[-1] for c, v in history.items() if c[:5] == "dice_"})
        if "mean_dice" in history:
            score.plot(steps, history["mean_dice"], color=BLUE, linewidth=1.8, label="mean of classes")
            score.legend(loc="lower right")
        score.set(title="Dice coefficient, held-out images", xlabel="step", ylim=(0, 1.01))
        return _svg(figure, "training")


def parity_plots(agreements: Sequence[Agreement]) -> str:
    """Measured against true, one panel a quantity, two a row. SVG text, empty without pairs."""
    shown = [a for a in agreements if a.pairs]
    if not shown:
        return ""
    rows = math.ceil(len(shown) / 2)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, 3.35 * rows), layout="constrained")
        axes = figure.subplots(rows, 2, squeeze=False).ravel()
        for axis, agreement in zip(axes, shown, strict=False):
            _parity(axis, agreement)
        for axis in axes[len(shown) :]:
            axis.set_visible(False)
        return _svg(figure, "parity")


def _parity(axis: Axes, agreement: Agreement) -> None:
    true, measured = np.array([(p.true, p.measured) for p in agreement.pairs]).T
    low, high = min(true.min(), measured.min()), max(true.max(), measured.max())
    margin = 0.08 * (high - low) or 1.0
    limits = (max(0.0, low - margin), high + margin)
    axis.plot(limits, limits, color=GREY, linewidth=0.8, zorder=1)
    axis.scatter(true, measured, s=18, color=BLUE, alpha=0.75, edgecolor="white", linewidth=0.4, zorder=2)
    thickness = agreement.quantity == "thickness"
    unit = "µm" if thickness else "percentage points"
    what = f"{agreement.name} thickness" if thickness else f"{agreement.name} area in {agreement.host}"
    axis_unit = "µm" if thickness else "%"
    ticks = MaxNLocator(5).tick_values(*limits)
    axis.set(xticks=ticks, yticks=ticks)
    axis.set(xlim=limits, ylim=limits, aspect="equal", xlabel=f"true, {axis_unit}", ylabel=f"measured, {axis_unit}")
    error, bias = agreement.mean_absolute_error, agreement.bias
    axis.set_title(f"{what}, n = {len(true)}\nmean error {error:.2f}, bias {bias:+.2f} {unit}".replace("-", "−"))


def _name_lines(axis: Axes, x: float, ends: dict[str, float]) -> None:
    """Write each line's name at its end, moved down where names would cover each other."""
    last = math.inf
    for name, y in sorted(((n, y) for n, y in ends.items() if math.isfinite(y)), key=lambda item: -item[1]):
        last = min(y, last - 0.055)
        axis.annotate(name, (x, last), xytext=(4, 0), textcoords="offset points", va="center", fontsize=7,
                      color="#555555", annotation_clip=False)  # fmt: skip


def _svg(figure: Figure, name: str) -> str:
    """SVG element without XML prologue; `name` keeps the ids of two figures in one page apart."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue().partition("<svg")[1] + text.getvalue().partition("<svg")[2]
