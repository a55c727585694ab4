"""One micrograph as the page shows it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from sem_train.analysis.record import Distribution, ImageRecord, Legend
from sem_train.certificate.charts import (
    STATIONS,
    STATIONS_IN_BATCH,
    Histogram,
    Outline,
    ProfileChart,
    histogram,
    outline,
    profile_chart,
)
from sem_train.certificate.keys import Key, key_results
from sem_train.certificate.numbers import joined, shown
from sem_train.certificate.pictures import Budget, Pictures, pictures, swatch_uri
from sem_train.certificate.table import Line, table_lines
from sem_train.certificate.warnings import of_image
from sem_train.certificate.words import Values
from sem_train.scale_bars import ScaleBar, scale_bar

SIMPLIFIED = 0.6  # of a pixel of the picture: how far an outline may be from the boundary measured


PICTURE_WIDTH_PX, TALLEST_PX, CARD_PX, PLOT_PX = 560, 790, 190, 155  # on a wide screen: picture, around it, a profile


@dataclass(frozen=True)
class LegendEntry:
    """A class with its colour and pattern."""

    name: str
    swatch: str  # data URI
    colour: str


@dataclass(frozen=True)
class Card:
    """One micrograph as the page shows it."""

    id: str
    image: ImageRecord
    title: str
    facts: tuple[str, ...]
    warnings: tuple[str, ...]
    keys: tuple[Key, ...]
    pictures: Pictures
    bar: ScaleBar | None
    legend: tuple[LegendEntry, ...]
    outlines: tuple[tuple[Outline, str], ...]  # with the layer's colour
    profiles: tuple[tuple[ProfileChart, str], ...]
    histograms: tuple[Histogram, ...]
    lines: tuple[Line, ...]
    search: str
    height_px: int  # about, on a wide screen, so that the scroll bar is right before it was ever drawn


def make_card(folder: Path, image: ImageRecord, identity: str, limit: Budget, everywhere: Collection[str]) -> Card:
    """The card of one image; warnings in `everywhere` hold for all images and are not said again."""
    seen = pictures(folder, image, limit)
    pixel = image.pixel_size_um if image.unit == "um" and image.pixel_size_um else 1.0
    colours = {c.name: _css(c) for c in image.classes}
    tolerance = SIMPLIFIED * image.width_px / seen.width
    stations = STATIONS if limit.longest_px > 1000 else STATIONS_IN_BATCH
    charts = [
        (profile_chart(name, profile, (image.width_px, image.height_px), pixel, stations), colours.get(name, "#888"))
        for name, profile in image.profiles.items()
    ]
    warnings = [text for text in of_image(image) if text not in everywhere]
    warnings += [f"{seen.problem}."] if seen.problem else []
    return Card(
        id=identity,
        image=image,
        title=image.name,
        facts=tuple(_facts(image)),
        warnings=tuple(warnings),
        keys=tuple(key_results(Values(image.rows))),
        pictures=seen,
        bar=scale_bar(image.width_px, image.pixel_size_um) if image.pixel_size_um else None,
        legend=tuple(
            LegendEntry(c.name, swatch_uri(k, c), _css(c))
            for k, c in enumerate(c for c in image.classes if c.colour is not None)
            if seen.shares.get(c.id, 0) > 0
        ),
        outlines=tuple((outline(n, p, tolerance), colours.get(n, "#888")) for n, p in image.profiles.items()),
        profiles=tuple((chart, colour) for chart, colour in charts if chart is not None),
        histograms=tuple(histograms_of([image])),
        lines=tuple(table_lines(image.rows)),
        height_px=round(min(PICTURE_WIDTH_PX * seen.height / seen.width, TALLEST_PX) + CARD_PX + PLOT_PX * len(charts)),
        search=f"{image.name} {image.specimen} {Path(image.source).name}".lower(),
    )


def _facts(image: ImageRecord) -> list[str]:
    size = f"{image.width_px} × {image.height_px} pixels"
    if image.pixel_size_um is None:
        return [size, "no scale known"]
    source = {"metadata": "from the file", "given": "given by the operator", "scale_bar": "read off the scale bar"}
    said = source.get(image.scale_source, image.scale_source)
    width, height = (shown(n * image.pixel_size_um) for n in (image.width_px, image.height_px))
    return [
        size,
        joined(f"{width} × {height}", "um"),
        f"{_pixel_text(image.pixel_size_um)} a pixel, {said}",
    ]


def _pixel_text(size_um: float) -> str:
    """In nanometres where that reads better."""
    return joined(f"{1000 * size_um:.4g}", "nm") if size_um < 0.1 else joined(f"{size_um:.4g}", "um")


def _css(kind: Legend) -> str:
    return "#888" if kind.colour is None else "#{:02x}{:02x}{:02x}".format(*kind.colour)


def histograms_of(images: Sequence[ImageRecord]) -> list[Histogram]:
    """Of each distribution; images whose lengths have another unit than the first one's are left out."""
    values: dict[str, list[float]] = {}
    about: dict[str, tuple[str, str, str]] = {}
    for image in images:
        colours = {c.name: _css(c) for c in image.classes if c.colour is not None}
        for key, d in _distributions(image).items():
            title, unit, _ = about.setdefault(key, (d.title, d.unit, _colour_of(key, colours)))
            if (title, unit) == (d.title, d.unit):
                values.setdefault(key, []).extend(d.values)
    found = [histogram(*about[key], v, objects=not key.endswith("thickness")) for key, v in values.items()]
    return [one for one in found if one is not None]


def _distributions(image: ImageRecord) -> dict[str, Distribution]:
    """What the record has, and the thickness of layers from their profiles where it has not."""
    keys = {layer: f"{layer} thickness" for layer in image.profiles}
    thickness = {
        keys[layer]: Distribution(
            title=f"{layer}, thickness", unit=image.unit, values=tuple(t for t in profile.thickness if t)
        )
        for layer, profile in image.profiles.items()
    }
    return {**thickness, **image.distributions}


def _colour_of(key: str, colours: dict[str, str]) -> str:
    """The colour of the class that a distribution is named after: the longest name that its key begins with."""
    names = sorted((name for name in colours if key.startswith(name)), key=len)
    return colours[names[-1]] if names else "#56b4e9"
