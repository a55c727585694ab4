"""The picture of tasks on nodes over time: a row a slot of a node, a bar an attempt."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from render_farm.views.accounts import Kind, Pause, Stint

# Okabe and Ito's colours, told apart also by colour-blind readers; their vermilion is kept for what was lost
POOL_COLOURS = ("#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8a8a8a")
LOST, INK = "#d0021b", "#222222"
WIDTH_IN = 10.0
ROW_IN = (0.05, 0.26)  # least and most
TALLEST_IN = 11.0
LABEL_IN = 0.13  # between the names of two nodes, least
JOINED = 1 / 4000  # of the time axis: stretches that are closer are drawn as one
SINGLE = 1 / 250  # of the time axis: samples that take so long are drawn one by one
TALL = 60  # rows, from which on they are too thin for outlines
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif", "font.sans-serif": ["Arial", "Liberation Sans", "DejaVu Sans"], "font.size": 8.5,
    "axes.linewidth": 0.7, "axes.labelcolor": INK, "hatch.linewidth": 0.6, "legend.frameon": False,
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A slot of a node: the attempts that followed each other on it."""

    node: str
    stints: tuple[Stint, ...]

    @property
    def pool(self) -> str:
        """Of the first of them."""
        return self.stints[0].pool


def rows(stints: Iterable[Stint]) -> list[Row]:
    """As few slots a node as its attempts need; by pool, then by node, numbers in names by size."""
    by_node: dict[tuple[str, str], list[Stint]] = defaultdict(list)
    for stint in sorted(stints, key=lambda stint: stint.begin):
        by_node[stint.pool, stint.node].append(stint)
    order = list(dict.fromkeys(pool for pool, _ in by_node))
    found = []
    for (_, node), own in sorted(by_node.items(), key=lambda item: (order.index(item[0][0]), _natural(item[0][1]))):
        slots: list[list[Stint]] = []
        for stint in own:
            free = next((slot for slot in slots if slot[-1].end <= stint.begin), None)
            if free is None:
                slots.append([stint])
            else:
                free.append(stint)
        found += [Row(node, tuple(slot)) for slot in slots]
    return found


def unit(seconds: float) -> tuple[float, str]:
    """What to divide by, and its name, for an axis of that length."""
    if seconds < 180:
        return 1.0, "s"
    return (60.0, "min") if seconds < 3 * 3600 else (3600.0, "h")


def gantt(stints: Sequence[Stint], pauses: Sequence[Pause] = ()) -> Figure:
    """The picture; `stints` on a clock that stands still in the `pauses`, which are marked.

    Raises ValueError without a stint.
    """
    if not stints:
        raise ValueError("no attempt to draw")
    shown = rows(stints)
    begin, end = min(stint.begin for stint in stints), max(stint.end for stint in stints)
    scale, name = unit(end - begin)
    row_in = min(ROW_IN[1], max(ROW_IN[0], (TALLEST_IN - 1.2) / len(shown)))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, max(1.6, 1.2 + row_in * len(shown))), layout="constrained")
        axes = figure.subplots()
        pools = list(dict.fromkeys(row.pool for row in shown))
        colours = {pool: POOL_COLOURS[k % len(POOL_COLOURS)] for k, pool in enumerate(pools)}
        _draw(axes, shown, colours, begin, scale, end - begin)
        _name_rows(axes, shown, row_in)
        for pause in _shifted(pauses):
            axes.axvline((pause - begin) / scale, color=INK, linewidth=0.8, linestyle=(0, (4, 2)), zorder=5)
        axes.set(xlim=(0, max((end - begin) / scale, 1e-9)), ylim=(len(shown) - 0.4, -0.6), xlabel=f"time, {name}")
        axes.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        if len(shown) > TALL:
            axes.tick_params(axis="x", labeltop=True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        figure.legend(handles=_legend(colours, stints, bool(pauses)), loc="outside upper left", ncols=8, fontsize=8)
        return figure


def joined(spans: Iterable[tuple[float, float]], gap: float) -> list[tuple[float, float]]:
    """Stretches that overlap or are closer than `gap`, as one."""
    found: list[tuple[float, float]] = []
    for begin, end in sorted(spans):
        if found and begin - found[-1][1] <= gap:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found


def _draw(
    axes: Axes, shown: Sequence[Row], colours: dict[str, str], begin: float, scale: float, length: float
) -> None:  # fmt: skip
    boxes: dict[tuple[str, str], list[list[tuple[float, float]]]] = defaultdict(list)
    again: list[tuple[float, float]] = []
    edge = 0.0 if len(shown) > TALL else 0.5
    samples = [b - a for row in shown for stint in row.stints for a, b in _of_kind(stint, "samples")]
    one_by_one = len(shown) <= TALL and bool(samples) and sum(samples) / len(samples) > SINGLE * length

    def add(layer: str, pool: str, y: int, spans: Iterable[tuple[float, float]], half: float) -> None:
        for a, b in spans:
            x0, x1 = (a - begin) / scale, (max(b, a + length / 2000) - begin) / scale
            boxes[layer, pool].append([(x0, y - half), (x1, y - half), (x1, y + half), (x0, y + half)])

    for y, row in enumerate(shown):
        for stint in row.stints:
            add("slot", row.pool, y, [(stint.begin, stint.end)], 0.4)
            for kind in ("start-up", "samples", "lost"):
                spans = _of_kind(stint, kind)
                if not (kind == "samples" and one_by_one):
                    spans = joined(spans, length * JOINED)
                add(kind, row.pool, y, spans, 0.4)
            if stint.repeated:
                again.append(((stint.begin - begin) / scale, y))
    looks: dict[str, dict[str, Any]] = {
        "slot": {"alpha": 0.22, "edgecolors": "none"},
        "start-up": {"facecolors": "white", "hatch": "//////"},
        "samples": {"edgecolors": "white", "linewidths": edge},
        "lost": {"facecolors": LOST, "edgecolors": "none"},
    }
    for z, (layer, look) in enumerate(looks.items()):
        for pool, colour in colours.items():
            if polygons := boxes.get((layer, pool)):
                own: dict[str, Any] = {"facecolors": colour, "edgecolors": colour, "linewidths": edge}
                axes.add_collection(PolyCollection(polygons, zorder=2 + z * 0.1, **(own | look)))
    if again:
        size = 26 if len(shown) <= TALL else 7
        x, y_again = zip(*again, strict=True)
        axes.scatter(
            x, y_again, marker="D", s=size, color=INK, edgecolor="white", linewidth=0.5, zorder=4, clip_on=False
        )


def _of_kind(stint: Stint, kind: Kind | str) -> list[tuple[float, float]]:
    return [(span.begin, span.end) for span in stint.spans if span.kind == kind]


def _name_rows(axes: Axes, shown: Sequence[Row], row_in: float) -> None:
    """The node, without its domain, at its first row, as many of them as find room; lines between pools."""
    firsts = [
        y for y, row in enumerate(shown) if y == 0 or (row.pool, row.node) != (shown[y - 1].pool, shown[y - 1].node)
    ]
    ticks: list[int] = []
    for y in firsts:
        if not ticks or (y - ticks[-1]) * row_in >= LABEL_IN:
            ticks.append(y)
    axes.set_yticks(ticks, [shown[y].node.partition(".")[0] for y in ticks], fontsize=8 if row_in > 0.15 else 6.5)
    axes.tick_params(axis="y", length=0)
    for y in range(1, len(shown)):
        if shown[y].pool != shown[y - 1].pool:
            axes.axhline(y - 0.5, color=INK, linewidth=0.6)


def _shifted(pauses: Sequence[Pause]) -> list[float]:
    """Where the pauses stand on the clock that leaves them out."""
    found, left_out = [], 0.0
    for pause in pauses:
        found.append(pause.begin - left_out)
        left_out += pause.end - pause.begin
    return found


def _legend(colours: dict[str, str], stints: Sequence[Stint], pauses: bool) -> list[Any]:
    handles: list[Any] = [Patch(facecolor=colour, label=f"samples, {pool}") for pool, colour in colours.items()]
    handles.append(Patch(facecolor="white", edgecolor=INK, hatch="//////", linewidth=0.5, label="start-up"))
    handles.append(Patch(facecolor=next(iter(colours.values())), alpha=0.22, label="waiting, writing"))
    if any(span.kind == "lost" for stint in stints for span in stint.spans):
        handles.append(Patch(facecolor=LOST, label="failed or lost"))
    if any(stint.repeated for stint in stints):
        handles.append(Line2D([], [], marker="D", color=INK, linestyle="none", markersize=4.5, label="begun again"))
    if pauses:
        handles.append(Line2D([], [], color=INK, linewidth=0.8, linestyle=(0, (4, 2)), label="pause left out"))
    return handles


def _natural(name: str) -> list[tuple[int, int | str]]:
    """`n2` before `n10`."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name) if part]
