"""The page of X-ray results: maps, spectra and tables of one or many fields, complete in itself."""

import base64
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from numbers import Real
from pathlib import Path
from typing import TypeGuard

import numpy as np
from PIL import Image

from sem_train.analysis.record import Legend
from sem_train.certificate.numbers import DASH, interval, shown
from sem_train.certificate.pictures import (
    LABEL_SHARE,
    Budget,
    Name,
    budget,
    jpeg_uri,
    mask_uri,
    placed_name,
    swatch_uri,
)
from sem_train.colours import COLOURS
from sem_train.scale_bars import ScaleBar, scale_bar
from sem_train.spectra.contents import (
    NOT_NAMED,
    Card,
    Share,
    ShownElements,
    ShownPhases,
    ShownPicture,
    ShownSpectrum,
    ShownTable,
    Value,
)
from sem_train.spectra.figures import as_svg, confidence_figure, element_map_figures, spectrum_figure
from sem_train.spectra.pictures import grey_picture, nearest, pixel_shares
from semforge import __version__
from semforge.files import write_text
from semforge.pages import page_environment

# inches of figures, about as wide as they stand on the page, so that all letters are alike
SPECTRUM_WIDTH_IN, MAP_WIDTH_IN, CONFIDENCE_WIDTH_IN = 5.2, 2.4, 3.3
MAPS_A_ROW = 4  # on a wide screen
OPEN_SPECTRA = 6  # of a card; the others are drawn when asked for
MOST_ROWS = 2000  # of a table
LEAST_MAP_PX = 480  # the longer side of a map of phases in the page, however few pixels it has
FADE = 80  # percent that phases cover of a micrograph at first
NO_ID = 4096  # in a map: no phase


@dataclass(frozen=True)
class SpectrumView:
    """A spectrum as the page shows it; figures are data URIs."""

    name: str
    note: str
    linear: str
    logarithmic: str
    said: str  # what somebody who cannot see it is told


@dataclass(frozen=True)
class ShareRow:
    """A phase or class in the table of shares."""

    name: str
    share: str
    interval: str
    count: str
    note: str
    percent: float  # length of its bar
    low: float | None  # ends of its interval, in percent
    high: float | None
    swatch: str  # data URI; empty where it has no colour
    colour: str
    sort: float


@dataclass(frozen=True)
class PhasesView:
    """A map of phases as the page shows it; pictures are data URIs."""

    micrograph: str
    mask: str
    width: int
    height: int
    names: tuple[Name, ...]
    bar: ScaleBar | None
    fade: int  # percent that the phases cover at first
    confidence: str
    legend: str  # names of the phases there are
    note: str
    what: str


@dataclass(frozen=True)
class Cell:
    """A value of a table, and what it sorts by."""

    text: str
    sort: str
    number: bool


@dataclass(frozen=True)
class TableView:
    """A table as the page shows it."""

    title: str
    headings: tuple[tuple[str, str], ...]  # words, and whether it sorts as number or text
    rows: tuple[tuple[Cell, ...], ...]
    note: str


@dataclass(frozen=True)
class CardView:
    """A card as the page shows it."""

    id: str
    name: str
    facts: tuple[str, ...]
    cautions: tuple[str, ...]
    phases: PhasesView | None
    shares: tuple[ShareRow, ...]
    elements: tuple[tuple[str, str], ...]  # what is mapped, and the map
    elements_note: str
    spectra: tuple[SpectrumView, ...]
    pictures: tuple[tuple[ShownPicture, str], ...]
    tables: tuple[TableView, ...]
    search: str
    height_px: int  # about, on a wide screen, so that the scroll bar is right before it was ever drawn


def write_page(
    path: Path,
    title: str,
    cards: Sequence[Card],
    *,
    about: str = "Phases named by their X-ray spectra",
    keys: Sequence[tuple[str, str]] = (),
    warnings: Sequence[str] = (),
    shares: Sequence[Share] = (),
    spectra: Sequence[ShownSpectrum] = (),
    tables: Sequence[ShownTable] = (),
    provenance: Mapping[str, str] | None = None,
    command: str = "",
) -> None:
    """Write the page, whole or not at all.

    `about` is the line below the title. `keys` are large numbers with what they are ("0.93", "accuracy"). `shares`,
    `spectra` and `tables` are of all cards together. `provenance` says model, files, versions.
    """
    limit = budget(len(cards))
    legend = legend_of(cards, shares)
    views = [card_view(card, f"field-{k + 1}", limit, legend) for k, card in enumerate(cards)]
    page = page_environment("sem_train").get_template("spectra.html.j2").render(
        title=title, about=about, today=date.today().isoformat(), keys=keys, warnings=warnings,
        shares=share_rows(shares, legend),
        spectra=[spectrum_view(one, f"together-{k}") for k, one in enumerate(spectra)],
        tables=[table_view(table) for table in tables], cards=views,
        open_spectra=OPEN_SPECTRA, fade=FADE, provenance=provenance or {}, command=command, version=__version__,
    )  # fmt: skip
    write_text(path, page)


def legend_of(cards: Sequence[Card], shares: Sequence[Share] = ()) -> dict[str, Legend]:
    """Each phase and class on the page with its colour and id, by name: the same on all cards."""
    names = [name for card in cards if card.phases for name in card.phases.names]
    names += [share.name for rows in (shares, *(card.shares for card in cards)) for share in rows]
    named = [name for name in dict.fromkeys(names) if name != NOT_NAMED]
    return {
        name: Legend(id=k, name=name, role="phase", colour=COLOURS[k % len(COLOURS)]) for k, name in enumerate(named)
    }


def card_view(card: Card, identity: str, limit: Budget, legend: Mapping[str, Legend]) -> CardView:
    """One card, drawn."""
    shares = card.shares
    if card.phases:
        shares = card.phases.shares or card.shares or pixel_shares(card.phases)
    elements: tuple[tuple[str, str], ...] = ()
    if _has_maps(card.elements):
        drawn = element_map_figures(card.elements, MAP_WIDTH_IN)
        elements = tuple((name, svg_uri(as_svg(figure, f"{identity}-{name}"))) for name, figure in drawn)
    return CardView(
        id=identity, name=card.name, facts=card.facts, cautions=card.cautions,
        phases=phases_view(card.phases, limit, legend) if card.phases else None,
        shares=tuple(share_rows(shares, legend)),
        elements=elements,
        elements_note=card.elements.note if card.elements else "",
        spectra=tuple(spectrum_view(one, f"{identity}-{k}") for k, one in enumerate(card.spectra)),
        pictures=tuple((one, _picture_uri(one, limit)) for one in card.pictures),
        tables=tuple(table_view(table) for table in card.tables),
        search=f"{card.name} {' '.join(share.name for share in shares)}".lower(), height_px=_height_px(card),
    )  # fmt: skip


def phases_view(shown: ShownPhases, limit: Budget, legend: Mapping[str, Legend]) -> PhasesView:
    """A map of phases over its micrograph, or over nothing."""
    if shown.micrograph is None:
        longest = max(LEAST_MAP_PX, *shown.phases.shape)
        scale = longest / max(shown.phases.shape)
        size = tuple(max(1, round(n * scale)) for n in shown.phases.shape)
        backdrop = np.full((*size, 3), 236, dtype=np.uint8)
    else:
        backdrop = grey_picture(shown.micrograph)
    micrograph, (width, height) = jpeg_uri(Image.fromarray(backdrop), limit)
    ids = np.array([*(legend[name].id for name in shown.names), NO_ID])  # what is not named comes last
    labels = ids[nearest(shown.phases, 0, (height, width)).astype(int)]
    shares = np.bincount(labels[labels != NO_ID], minlength=NO_ID) / labels.size
    confidence = ""
    if shown.confidence is not None:
        confidence = svg_uri(as_svg(confidence_figure(shown, CONFIDENCE_WIDTH_IN), "confidence"))
    there = [kind for kind in legend.values() if shares[kind.id] > 0]
    return PhasesView(
        micrograph=micrograph, mask=mask_uri(labels, list(legend.values())), width=width, height=height,
        names=tuple(placed_name(labels, kind) for kind in there if shares[kind.id] >= LABEL_SHARE),
        bar=scale_bar(shown.phases.shape[1], shown.pixel_size_um) if shown.pixel_size_um else None,
        fade=FADE if shown.micrograph is not None else 100, confidence=confidence,
        legend=", ".join(kind.name for kind in there) or "none", note=shown.note, what=shown.what,
    )  # fmt: skip


def spectrum_view(shown: ShownSpectrum, identity: str) -> SpectrumView:
    """A spectrum on a linear and on a logarithmic axis."""
    linear, logarithmic = (
        svg_uri(as_svg(spectrum_figure(shown, log, width_in=SPECTRUM_WIDTH_IN), f"{identity}-{log}"))
        for log in (False, True)
    )
    beside = f" beside {', '.join(shown.beside)}" if shown.beside else ""
    said = f"Spectrum of {shown.name}{beside}, {shown.axis.describe()}"
    return SpectrumView(shown.name, shown.note, linear, logarithmic, said)


def share_rows(shares: Sequence[Share], legend: Mapping[str, Legend]) -> list[ShareRow]:
    """Shares as rows of a table; `legend` gives the colours of those that have one."""
    order = list(legend)
    rows = []
    for one in shares:
        kind = legend.get(one.name)
        half = None
        if one.low_95 is not None and one.high_95 is not None and one.high_95 > one.low_95:
            half = 50 * (one.high_95 - one.low_95)
        low, high = (None if v is None else 100 * v for v in (one.low_95, one.high_95))
        rows.append(ShareRow(
            name=one.name, share=shown(100 * one.share, half), interval=interval(low, high),
            count=DASH if one.count is None else shown(int(one.count)), note=one.note, percent=100 * one.share,
            low=low, high=high, swatch=swatch_uri(order.index(one.name), kind) if kind else "",
            colour=_css(kind) if kind else "#8a8a8a", sort=one.share,
        ))  # fmt: skip
    return rows


def table_view(table: ShownTable) -> TableView:
    """A table as text; of one with very many rows the first."""
    rows = table.rows[:MOST_ROWS]
    numeric = [
        all(row[k] is None or isinstance(row[k], Real) for row in rows) and any(row[k] is not None for row in rows)
        for k in range(len(table.headings))
    ]
    note = table.note
    if len(rows) < len(table.rows):
        note = f"The first {shown(len(rows))} of {shown(len(table.rows))} rows. {note}".strip()
    return TableView(
        table.title,
        tuple((words, "number" if number else "text") for words, number in zip(table.headings, numeric, strict=True)),
        tuple(tuple(_cell(v, n) for v, n in zip(row, numeric, strict=True)) for row in rows),
        note,
    )


def svg_uri(text: str) -> str:
    """An SVG figure as a data URI, its paths cut to a hundredth of a point."""
    short = re.sub(r'\bd="[^"]*"', lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]), text)
    return "data:image/svg+xml;base64," + base64.b64encode(short.encode()).decode()


def _cell(value: Value, number: bool) -> Cell:
    if value is None or value == "":
        return Cell(DASH, "", number)
    if isinstance(value, str):
        return Cell(value, value, number)
    value = value.item() if isinstance(value, np.generic) else value
    return Cell(shown(value), f"{value:.10g}", number)


def _height_px(card: Card) -> int:
    """About how high a card is on a wide screen."""
    height = 80
    if card.phases:
        shape = card.phases.phases.shape
        height += 140 + round(min(580 * shape[0] / shape[1], 790))
    if _has_maps(card.elements):
        height += 190 * math.ceil((len(card.elements.maps) + bool(card.elements.together)) / MAPS_A_ROW)
    height += 290 * math.ceil(min(len(card.spectra), OPEN_SPECTRA) / 2) + (190 if card.pictures else 0)
    return height + 45 * len(card.tables)


def _css(kind: Legend) -> str:
    return "#{:02x}{:02x}{:02x}".format(*(kind.colour or (138, 138, 138)))


def _has_maps(elements: ShownElements | None) -> TypeGuard[ShownElements]:
    return elements is not None and len(elements.maps) > 0


def _picture_uri(one: ShownPicture, limit: Budget) -> str:
    return jpeg_uri(Image.fromarray(grey_picture(one.picture)), limit)[0]
