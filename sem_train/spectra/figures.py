"""Figures of X-ray spectra and maps. Each function gives a Matplotlib figure; `as_svg` and `as_png` write it."""

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

from sem_train.certificate.numbers import SUPERSCRIPT
from sem_train.colours import COLOURS
from sem_train.figures import BLUE, GREEN, GREY, STYLE, VERMILION, WIDTH_IN
from sem_train.scale_bars import scale_bar
from sem_train.spectra.contents import NOT_NAMED, UNNAMED, Share, ShownElements, ShownPhases, ShownSpectrum
from sem_train.spectra.labels import seen_lines, spread, width_kev
from sem_train.spectra.pictures import block_means, grey_picture, nearest, pixel_shares
from semforge.errors import InputError
from semforge.spectra.axis import LOWEST_KEV
from semforge.spectra.lines import Line, lines_of

DOTS_PER_INCH = 170
INK = "#1d1f21"
FONTS = ["sans-serif", "DejaVu Sans"]  # the latter comes with matplotlib and has the raised digits that others lack
SPECTRUM_IN = 2.9  # height of a spectrum
ABOVE_IN, BELOW_IN = 0.66, 0.42  # of it for the names of lines and for the energies
LEFT_IN = 0.72  # for the counts
BESIDE = (VERMILION, BLUE, GREEN, "#cc79a7")
LABEL_PT = 7.5  # size of a line's name ...
LABEL_APART_PT = 9.5  # ... and how far the next one must stand off
LEAST_KEV = 3.0  # an energy axis reaches at least so far, where there are counts
MARK_SHARE = 0.07  # of the axes' height: the mark of the strongest line of a family
FAINT_MARK = 0.03  # lines of less than this share of their family are not marked
LONGEST_MAP_PX = 700
LEGEND_LETTERS = 110  # beside each other below a figure
MAP_COLOURS = "magma"  # even steps of lightness, also for colour-blind readers
CONFIDENCE_COLOURS = "cividis"
# of maps laid over each other; where they meet they add up to something lighter
TOGETHER = ((0.0, 0.55, 1.0), (1.0, 0.42, 0.0), (0.25, 0.75, 0.45))
OPACITY = 0.5


def as_svg(figure: Figure, name: str) -> str:
    """A figure as SVG text that is complete in itself; the same figure and name give the same text."""
    text = io.StringIO()
    with _style({"svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def as_png(figure: Figure) -> bytes:
    """A figure as PNG."""
    picture = io.BytesIO()
    with _style():
        figure.savefig(picture, format="png", dpi=DOTS_PER_INCH)
    return picture.getvalue()


def spectrum_figure(
    shown: ShownSpectrum, logarithmic: bool = False, families: bool = True, width_in: float = WIDTH_IN
) -> Figure:
    """A spectrum with its lines named, others beside it, and what decided shaded.

    `families`: short marks at the bottom for all lines of the named elements, as high as their share of the family.
    """
    with _style():
        figure = Figure(figsize=(width_in, SPECTRUM_IN))
        _spectrum(figure.subplots(gridspec_kw=_margins(width_in, SPECTRUM_IN)), shown, logarithmic, families)
        return figure


def spectra_figure(shown: Sequence[ShownSpectrum], logarithmic: bool = False) -> Figure:
    """Several spectra, one below the other."""
    with _style():
        high = SPECTRUM_IN * len(shown)
        figure = Figure(figsize=(WIDTH_IN, high))
        grid = {**_margins(WIDTH_IN, high), "hspace": SPECTRUM_IN / (SPECTRUM_IN - ABOVE_IN - BELOW_IN) - 1}
        for axis, one in zip(figure.subplots(len(shown), 1, squeeze=False, gridspec_kw=grid)[:, 0], shown, strict=True):
            _spectrum(axis, one, logarithmic, families=False)
            axis.text(0.99, 0.93, one.name, transform=axis.transAxes, ha="right", va="top", fontweight="bold")
        return figure


def comparison_figure(shown: ShownSpectrum, logarithmic: bool = True) -> Figure:
    """A measured spectrum, what is simulated of it (`shown.beside`), and below the ratio of the two.

    The ratio is of counts summed over the width of a line, where there are at least ten in both.
    """
    if not shown.beside:
        raise InputError(f"{shown.name}: nothing to compare it with; give a spectrum to stand beside it")
    with _style():
        figure = Figure(figsize=(WIDTH_IN, 4.1))
        upper, lower = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True, gridspec_kw=_margins(WIDTH_IN, 4.1))
        _spectrum(upper, shown, logarithmic, families=True)
        upper.set_xlabel("")
        energies = shown.axis.energies_kev
        for (name, other), colour in zip(shown.beside.items(), BESIDE, strict=False):
            mine, its = _smoothed(shown.counts, shown), _smoothed(other, shown)
            enough = (mine >= 10) & (its >= 10) & (energies >= LOWEST_KEV)
            ratio = np.divide(its, mine, out=np.full(len(mine), np.nan), where=enough)
            lower.plot(energies, ratio, color=colour, linewidth=1.1, label=name)
        lower.axhline(1, color=INK, linewidth=0.7)
        lower.set(yscale="log", ylim=(0.1, 10), ylabel="÷ measured", xlabel="energy, keV")
        lower.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        lower.yaxis.set_minor_locator(NullLocator())
        return figure


def summed(shown: Sequence[ShownSpectrum], name: str) -> ShownSpectrum:
    """Several spectra as one: counts added, the elements of all. Raises InputError if they are on different axes."""
    first = shown[0]
    for other in shown[1:]:
        if other.axis != first.axis:
            raise InputError(f"{other.name} has {other.axis.describe()}, {first.name} {first.axis.describe()}; "
                             "rebin them before adding")  # fmt: skip
    elements = tuple(dict.fromkeys(symbol for one in shown for symbol in one.elements))
    beams = [one.beam_kev for one in shown if one.beam_kev is not None]
    counts = np.sum([one.counts for one in shown], axis=0)
    return ShownSpectrum(name, counts, first.axis, max(beams) if beams else None, elements)


def element_maps_figure(shown: ShownElements, width_in: float = WIDTH_IN, a_row: int = 3) -> Figure:
    """Maps with a colour bar of counts and a scale bar each; first, where asked for, some of them over each other."""
    panels = (1 if shown.together else 0) + len(shown.maps)
    columns = max(2, min(panels, a_row))
    rows = math.ceil(panels / columns)
    height, width = next(iter(shown.maps.values())).shape
    wide = width_in / columns
    with _style():
        figure = Figure(figsize=(width_in, rows * min(wide * 0.84 * height / width + 0.3, 6.0)), layout="constrained")
        axes = iter(figure.subplots(rows, columns, squeeze=False).ravel())
        if shown.together:
            _together(next(axes), shown)
        for (name, counts), axis in zip(shown.maps.items(), axes, strict=False):
            _map(figure, axis, name, counts, shown.pixel_size_um)
        for axis in axes:
            axis.set_visible(False)
        return figure


def element_map_figures(shown: ShownElements, width_in: float) -> list[tuple[str, Figure]]:
    """The same as one small figure each, by name, so that a page can arrange them as it has room."""
    height, width = next(iter(shown.maps.values())).shape
    size = width_in, 0.8 * width_in * height / width + 0.42
    found = []
    with _style():
        if shown.together:
            figure = Figure(figsize=size, layout="constrained")
            _together(figure.subplots(), shown)
            found.append((", ".join(shown.together), figure))
        for name, counts in shown.maps.items():
            figure = Figure(figsize=size, layout="constrained")
            _map(figure, figure.subplots(), name, counts, shown.pixel_size_um)
            found.append((name, figure))
    return found


def phase_map_figure(shown: ShownPhases) -> Figure:
    """Phases over the micrograph, with a legend that gives the share of each; beside it the confidence, if known."""
    shares = shown.shares or pixel_shares(shown)
    height, width = shown.phases.shape
    panels = 1 if shown.confidence is None else 2
    with _style():
        wide = WIDTH_IN / panels
        figure = Figure(figsize=(WIDTH_IN, min(wide * height / width, 7.0) + 0.75), layout="constrained")
        axes = figure.subplots(1, panels, squeeze=False)[0]
        _phases(axes[0], shown)
        if shown.confidence is not None:
            _confidence(figure, axes[1], shown)
        handles = [Patch(color=_css(k), label=_share_label(name, shares)) for k, name in enumerate(shown.names)
                   if (shown.phases == k).any()]  # fmt: skip
        if (shown.phases == UNNAMED).any():
            handles.append(Patch(facecolor="none", edgecolor=GREY, label=_share_label(NOT_NAMED, shares)))
        longest = max((len(handle.get_label()) for handle in handles), default=0)
        columns = max(1, min(4, LEGEND_LETTERS // (longest + 6)))
        figure.set_figheight(figure.get_figheight() + 0.16 * max(0, -(-len(handles) // columns) - 3))
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=7.5)
        return figure


def confidence_figure(shown: ShownPhases, width_in: float = 0.62 * WIDTH_IN) -> Figure:
    """How sure each pixel's name is; pixels without a name are grey. Raises InputError if nothing says."""
    if shown.confidence is None:
        raise InputError("no confidence is known of this map of phases")
    height, width = shown.phases.shape
    with _style():
        high = min(width_in * 0.86 * height / width, 7.0) + 0.35
        figure = Figure(figsize=(width_in, high), layout="constrained")
        _confidence(figure, figure.subplots(), shown)
        return figure


def picture_figure(picture: np.ndarray) -> Figure:
    """A picture by itself, without a frame."""
    figure = Figure(figsize=(WIDTH_IN / 2, WIDTH_IN / 2 * picture.shape[0] / picture.shape[1]), layout="constrained")
    axis = figure.subplots()
    axis.imshow(picture, cmap="gray", interpolation="none")
    axis.set_axis_off()
    return figure


def _margins(wide: float, high: float) -> dict[str, float]:
    """The same room beside the axes of all spectra, so that they stand exactly one below the other."""
    return {"left": LEFT_IN / wide, "right": 0.99, "bottom": BELOW_IN / high, "top": 1 - ABOVE_IN / high}


def _spectrum(axis: Axes, shown: ShownSpectrum, logarithmic: bool, families: bool) -> None:
    lines = seen_lines(shown.counts, shown.axis, shown.elements, shown.beam_kev)
    low, high = max(shown.axis.low_kev, 0.0), _end_kev(shown, lines)
    energies = shown.axis.energies_kev
    inside = (energies >= low) & (energies <= high)
    counts = np.asarray(shown.counts, dtype=float)
    others = {name: np.asarray(other, dtype=float) for name, other in shown.beside.items()}
    every = np.stack([counts, *others.values()])[:, inside & (energies >= LOWEST_KEV)]
    top = float(every.max()) if every.size and every.max() > 0 else 1.0
    bottom = _bottom(every, top) if logarithmic else 0.0
    axis.set(xlim=(low, high), yscale="log" if logarithmic else "linear")
    axis.set_ylim(bottom, top * (2 if logarithmic else 1.06))
    drawn = np.maximum(counts[inside], bottom)
    axis.fill_between(energies[inside], drawn, bottom, color="#c6ccd2", linewidth=0, zorder=1)
    axis.plot(energies[inside], drawn, color=INK, linewidth=0.9, zorder=3)
    for (_, other), colour in zip(others.items(), BESIDE, strict=False):
        axis.plot(energies[inside], np.maximum(other[inside], bottom), color=colour, linewidth=1.1, zorder=4)
    for start, end, weight in shown.deciding:
        axis.axvspan(start, end, color=BLUE if weight > 0 else VERMILION, alpha=0.12 + 0.3 * min(abs(weight), 1.0),
                     linewidth=0, zorder=0)  # fmt: skip
    if families:
        _family_marks(axis, lines, shown, high)
    _names(axis, lines, counts, shown, bottom)
    if others:
        handles = [Line2D([], [], color=INK, label=shown.name)]
        handles += [Line2D([], [], color=c, label=name) for name, c in zip(others, BESIDE, strict=False)]
        axis.legend(handles=handles, loc="upper right", fontsize=7.5)
    axis.set(xlabel="energy, keV", ylabel="counts")
    if logarithmic:
        axis.yaxis.set_minor_locator(NullLocator())
        axis.yaxis.set_major_formatter(FuncFormatter(_power))
    else:
        axis.yaxis.set_major_locator(MaxNLocator(5))
        axis.yaxis.set_major_formatter(FuncFormatter(_grouped))


def _names(axis: Axes, lines: Sequence[Line], counts: np.ndarray, shown: ShownSpectrum, bottom: float) -> None:
    """The lines' names above the axes, upright, each with a thin line down to its peak."""
    low, high = axis.get_xlim()
    inches = axis.get_position().width * axis.figure.get_figwidth()
    apart = LABEL_APART_PT / (72 * inches) * (high - low)
    peak = lambda line: float(counts[shown.axis.channel_of(line.energy_kev)])
    room = int((high - low) / apart)
    kept = sorted(sorted(lines, key=peak)[-room:], key=lambda line: line.energy_kev)
    places = spread([line.energy_kev for line in kept], apart, low, high)
    above = axis.get_xaxis_transform()
    energies = [line.energy_kev for line in kept]
    thin: dict[str, Any] = {"colors": GREY, "linewidths": 0.45}
    axis.vlines(energies, [max(peak(line), bottom) for line in kept], axis.get_ylim()[1], zorder=2, **thin)
    slants = [((energy, 1.0), (x, 1.045)) for energy, x in zip(energies, places, strict=True)]
    axis.add_collection(LineCollection(slants, transform=above, clip_on=False, **thin), autolim=False)
    for line, x in zip(kept, places, strict=True):
        axis.text(x, 1.055, line.name, transform=above, rotation=90, ha="center", va="bottom", fontsize=LABEL_PT)


def _family_marks(axis: Axes, lines: Sequence[Line], shown: ShownSpectrum, high: float) -> None:
    marks = []
    for line in lines:
        if line.name.endswith("Kβ"):
            continue
        family = [one for one in lines_of(line.element, shown.beam_kev) if one.shell[0] == line.shell[0]]
        strongest = max(one.weight for one in family)
        marks += [
            ((one.energy_kev, 0.0), (one.energy_kev, MARK_SHARE * one.weight / strongest))
            for one in family
            if one.weight > FAINT_MARK * strongest and LOWEST_KEV < one.energy_kev < high
        ]
    drawn = LineCollection(marks, colors=VERMILION, linewidths=0.8, transform=axis.get_xaxis_transform(), zorder=5)
    axis.add_collection(drawn, autolim=False)


def _end_kev(shown: ShownSpectrum, lines: Sequence[Line]) -> float:
    """Where the energy axis ends: behind the last line or the last noteworthy counts, at the beam energy at most."""
    counts = np.asarray(shown.counts, dtype=float)
    energies = shown.axis.energies_kev
    above = np.flatnonzero((counts > 0.002 * counts[energies >= LOWEST_KEV].max(initial=0)) & (energies >= LOWEST_KEV))
    last = float(energies[above[-1]]) if len(above) else 0.0
    wanted = max([LEAST_KEV, 1.03 * last, *(1.06 * line.energy_kev for line in lines)])
    return min(wanted, shown.beam_kev or shown.axis.high_kev, shown.axis.high_kev)


def _bottom(counts: np.ndarray, top: float) -> float:
    """Where a logarithmic axis of counts begins."""
    if np.array_equal(counts, np.rint(counts)):
        return 0.5
    return max(top * 1e-5, float(np.quantile(counts[counts > 0], 0.02)) / 2)


def _smoothed(counts: np.ndarray, shown: ShownSpectrum) -> np.ndarray:
    """Counts summed over the width of a line at 2 keV."""
    channels = max(1, round(1000 * width_kev(2.0) / shown.axis.width_ev))
    return np.convolve(np.asarray(counts, dtype=float), np.ones(channels), mode="same")


def _map(figure: Figure, axis: Axes, name: str, counts: np.ndarray, pixel_size_um: float | None) -> None:
    small = block_means(counts, LONGEST_MAP_PX)
    top = max(float(np.quantile(small, 0.998)), float(small.max()) * 1e-3, 1e-12)
    drawn = axis.imshow(small, cmap=MAP_COLOURS, vmin=0, vmax=top, interpolation="none")
    axis.set_title(name)
    axis.set_axis_off()
    bar = _colour_bar(figure, axis, drawn, "counts")
    bar.locator = MaxNLocator(4)
    _draw_scale_bar(axis, counts.shape[1], small.shape[1], pixel_size_um)


def _together(axis: Axes, shown: ShownElements) -> None:
    names = [name for name in shown.together if name in shown.maps][: len(TOGETHER)]
    layers = [block_means(shown.maps[name], LONGEST_MAP_PX) for name in names]
    scaled = [layer / max(float(np.quantile(layer, 0.998)), 1e-12) for layer in layers]
    colour = np.zeros((*layers[0].shape, 3))
    for layer, tint in zip(scaled, TOGETHER, strict=False):
        colour += layer.clip(0, 1)[..., None] * np.array(tint)
    axis.imshow(colour.clip(0, 1), interpolation="none")
    axis.set_axis_off()
    axis.set_title("together")
    handles = [Patch(color=tint, label=name) for name, tint in zip(names, TOGETHER, strict=False)]
    axis.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=3, fontsize=6.5,
                handlelength=1, columnspacing=1)  # fmt: skip
    _draw_scale_bar(axis, shown.maps[names[0]].shape[1], colour.shape[1], shown.pixel_size_um)


def _phases(axis: Axes, shown: ShownPhases) -> None:
    if shown.micrograph is None:
        grey = np.full((*nearest(shown.phases, LONGEST_MAP_PX).shape, 3), 235.0)
    else:
        grey = nearest(grey_picture(shown.micrograph), LONGEST_MAP_PX).astype(float)
    index = nearest(shown.phases, LONGEST_MAP_PX, grey.shape[:2])
    opacity = OPACITY if shown.micrograph is not None else 1.0
    for k in range(len(shown.names)):
        here = index == k
        grey[here] = (1 - opacity) * grey[here] + opacity * np.array(COLOURS[k % len(COLOURS)])
    axis.imshow(np.rint(grey).astype(np.uint8), interpolation="none")
    axis.set_title(f"{shown.what} of each pixel" if shown.what == "phase" else shown.what)
    axis.set_axis_off()
    _draw_scale_bar(axis, shown.phases.shape[1], index.shape[1], shown.pixel_size_um)


def _confidence(figure: Figure, axis: Axes, shown: ShownPhases) -> None:
    confidence = np.where(shown.phases == UNNAMED, np.nan, np.asarray(shown.confidence, dtype=float))
    colours = matplotlib.colormaps[CONFIDENCE_COLOURS].with_extremes(bad="#c8c8c8")
    small = nearest(confidence, LONGEST_MAP_PX)
    drawn = axis.imshow(np.ma.masked_invalid(small), cmap=colours, vmin=0, vmax=1, interpolation="none")
    axis.set_title("confidence")
    axis.set_axis_off()
    _colour_bar(figure, axis, drawn, "probability of the name given")
    _draw_scale_bar(axis, shown.phases.shape[1], small.shape[1], shown.pixel_size_um)


def _colour_bar(figure: Figure, axis: Axes, drawn: Any, label: str) -> Any:
    """A colour bar as high as the map beside it."""
    bar = figure.colorbar(drawn, cax=axis.inset_axes((1.03, 0, 0.04, 1)))
    bar.ax.tick_params(labelsize=6.5, length=2)
    bar.outline.set_linewidth(0.4)
    bar.set_label(label, fontsize=6.5)
    return bar


def _draw_scale_bar(axis: Axes, width_px: int, shown_px: int, pixel_size_um: float | None) -> None:
    """In a map of `width_px` pixels that is drawn with `shown_px`."""
    if pixel_size_um is None:
        return
    bar = scale_bar(width_px, pixel_size_um)
    drawn = AnchoredSizeBar(
        axis.transData, bar.share * shown_px, bar.label, "lower right", pad=0.35, borderpad=0.5, sep=2.5, color="white",
        size_vertical=0.012 * shown_px, fontproperties=FontProperties(size=6.5),
    )  # fmt: skip
    drawn.patch.set(facecolor="black", alpha=0.65, linewidth=0)
    axis.add_artist(drawn)


def _share_label(name: str, shares: Sequence[Share]) -> str:
    found = next((one for one in shares if one.name == name), None)
    if found is None:
        return name
    interval = ""
    if found.low_95 is not None and found.high_95 is not None:
        interval = f" ({100 * found.low_95:.1f} to {100 * found.high_95:.1f})"
    return f"{name} {100 * found.share:.1f} %{interval}"


def _css(k: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(*COLOURS[k % len(COLOURS)])


def _grouped(value: float, _: Any) -> str:
    """Thousands apart, as a count is printed."""
    if abs(value) >= 10_000:
        return f"{value:,.0f}".replace(",", "\u202f")
    return f"{value:g}".replace("-", "−")


def _power(value: float, _: Any) -> str:
    """A power of ten without mathematical type, which takes long to set."""
    exponent = round(math.log10(value))
    return f"{value:g}" if 0 <= exponent < 3 else f"10{str(exponent).translate(SUPERSCRIPT)}"


@contextmanager
def _style(more: Mapping[str, Any] | None = None) -> Iterator[None]:
    with matplotlib.rc_context({**STYLE, "font.family": FONTS, **(more or {})}):
        yield


__all__ = [
    "as_png", "as_svg", "comparison_figure", "confidence_figure", "element_map_figures", "element_maps_figure",
    "phase_map_figure", "picture_figure", "spectra_figure", "spectrum_figure", "summed",
]  # fmt: skip
