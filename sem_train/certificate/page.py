"""From a folder of analysed micrographs to the page."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from sem_train.analysis.record import (
    Distribution,
    FolderRecord,
    ImageRecord,
    Legend,
    read_folder_record,
    read_image_record,
)
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
from sem_train.certificate.numbers import joined, shown, unit_text
from sem_train.certificate.pictures import FEW_PICTURES, Budget, Pictures, budget, pictures, swatch_uri
from sem_train.certificate.warnings import Warning, WarningLine, collected, failures, of_image
from sem_train.certificate.words import Key, Line, Values, found_in_fields, key_results, table_lines
from sem_train.report import ScaleBar, scale_bar
from semforge import __version__
from semforge.errors import InputError
from semforge.files import write_text
from semforge.pages import page_environment

SIMPLIFIED = 0.6  # of a pixel of the picture: how far an outline may be from the boundary measured


PICTURE_WIDTH_PX, TALLEST_PX, CARD_PX, PLOT_PX = 560, 790, 190, 155  # on a wide screen: picture, around it, a profile


@dataclass(frozen=True)
class Analysed:
    """What a page is made of."""

    folder: Path
    record: FolderRecord
    images: tuple[ImageRecord, ...]
    missing: tuple[tuple[str, str], ...]  # images whose record cannot be read, with the reason


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


@dataclass(frozen=True)
class OverviewRow:
    """A specimen or an image in an overview table."""

    name: str
    link: str
    group: str
    fields: int
    keys: dict[str, Key]
    warned: int
    search: str


@dataclass(frozen=True)
class Specimen:
    """A specimen with the values of all its fields together."""

    name: str
    fields: int
    keys: tuple[Key, ...]
    lines: tuple[Line, ...]
    link: str
    combined: bool


def read_analysed(folder: Path, specimens: Sequence[str] = ()) -> Analysed:
    """Read what 'sem-train analyse' left; with `specimens` only their images.

    A record that cannot be read is named in `missing`. Raises InputError if the folder was not analysed, or if
    nothing is left to show.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected one that 'sem-train analyse' wrote")
    record = read_folder_record(folder)
    images, missing = [], []
    for name in record.images:
        try:
            images.append(read_image_record(folder / f"{name}.json"))
        except InputError as error:
            missing.append((name, str(error).removeprefix(f"{folder}/")))
    known = sorted({image.specimen for image in images})
    for name in specimens:
        if name not in known:
            raise InputError(f"no specimen {name!r} in {folder}, it has {', '.join(known) or 'none'}")
    if specimens:
        images = [image for image in images if image.specimen in specimens]
    elif not images and not record.failures and not missing:
        raise InputError(f"{folder}: has no analysed images")
    return Analysed(folder, record, tuple(images), tuple(missing))


def write_certificate(path: Path, folder: Path, title: str = "", specimens: Sequence[str] = ()) -> int:
    """Write the page of an analysed folder, whole or not at all; returns the number of images on it.

    Raises InputError as `read_analysed`.
    """
    analysed = read_analysed(folder, specimens)
    write_text(path, render(analysed, title))
    return len(analysed.images)


def render(analysed: Analysed, title: str = "") -> str:
    """The page as text."""
    images = analysed.images
    limit = budget(len(images))
    everywhere = set.intersection(*({*of_image(image)} for image in images)) if len(images) > 1 else set()
    cards = [_card(analysed.folder, image, f"image-{i + 1}", limit, everywhere) for i, image in enumerate(images)]
    specimens = _specimens(analysed, cards)
    batch = len(specimens) > 1
    shared = _shared_provenance(analysed)
    environment = page_environment("sem_train")
    environment.filters |= {"unit": unit_text, "shown": shown, "compact": _compact}
    failed: list[Warning] = failures(analysed.record, analysed.missing)
    said: list[WarningLine] = collected(images, analysed.record)
    return environment.get_template("certificate.html.j2").render(
        title=title or _title(analysed, specimens),
        today=date.today().isoformat(),
        summary=_summary(images, specimens, failed),
        failed=failed,
        warnings=said,
        batch=batch,
        many=len(images) > FEW_PICTURES,
        specimens=specimens,
        columns=_columns(specimens, cards),
        specimen_rows=_specimen_rows(specimens, cards) if batch else [],
        image_rows=_image_rows(cards) if len(images) > 1 else [],
        cards=cards,
        pooled=_histograms(images) if not batch and len(images) > 1 else [],
        provenance=shared,
        own_provenance=_own_provenance(images, shared),
        command=analysed.record.command,
        version=__version__,
    )


def _title(analysed: Analysed, specimens: Sequence[Specimen]) -> str:
    if len(specimens) == 1:
        return f"Specimen {specimens[0].name}"
    return f"{len(specimens)} specimens" if specimens else analysed.folder.resolve().name


def _summary(images: Sequence[ImageRecord], specimens: Sequence[Specimen], failed: Sequence[Warning]) -> str:
    said = [f"{len(images)} micrograph{'' if len(images) == 1 else 's'}"]
    if len(specimens) > 1:
        said.append(f"{len(specimens)} specimens")
    if failed:
        said.append(f"{len(failed)} not analysed")
    return " · ".join(said)


def _card(folder: Path, image: ImageRecord, identity: str, limit: Budget, everywhere: Collection[str]) -> Card:
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
        histograms=tuple(_histograms([image])),
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


def _histograms(images: Sequence[ImageRecord]) -> list[Histogram]:
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


def _specimens(analysed: Analysed, cards: Sequence[Card]) -> list[Specimen]:
    """In order of their first image. Fields that nobody combined have their own values only."""
    combined = {specimen.name: specimen for specimen in analysed.record.specimens}
    found = []
    for name in dict.fromkeys(card.image.specimen for card in cards):
        fields = [card for card in cards if card.image.specimen == name]
        if name in combined and combined[name].rows:
            rows = combined[name].rows
            each = [Values(card.image.rows) for card in fields]
            keys, lines = found_in_fields(each, key_results(Values(rows))), table_lines(rows)
        elif len(fields) == 1:
            keys, lines = list(fields[0].keys), []
        else:
            keys, lines = _ranges(fields), []
        found.append(
            Specimen(name, len(fields), tuple(keys), tuple(lines), f"#{fields[0].id}", name in combined and bool(lines))
        )
    return found


def _ranges(fields: Sequence[Card]) -> list[Key]:
    """Of fields that were not combined: from the smallest to the largest value, which is no result of the specimen."""
    found = []
    for name in dict.fromkeys(key.name for card in fields for key in card.keys):
        keys = [key for card in fields for key in card.keys if key.name == name]
        values = sorted(key.value for key in keys if key.value is not None)
        if len({key.unit for key in keys if key.unit}) > 1:
            found.append(Key(name, "not combined", "fields with and without a scale", None))
        elif len({key.text for key in keys}) == 1 and not any(values):
            found.append(keys[0])  # absent, or none, in every field
        elif values:
            unit = next((key.unit for key in keys if key.unit), "")
            text = joined(f"{shown(values[0])} to {shown(values[-1])}", unit)
            found.append(Key(name, text, f"{len(keys)} fields, not combined", sum(values) / len(values), unit))
    return found


def _columns(specimens: Sequence[Specimen], cards: Sequence[Card]) -> list[str]:
    """Key results that the overview tables have columns for."""
    return list(dict.fromkeys(key.name for one in (*specimens, *cards) for key in one.keys))


def _specimen_rows(specimens: Sequence[Specimen], cards: Sequence[Card]) -> list[OverviewRow]:
    return [
        OverviewRow(
            s.name, s.link, "", s.fields, {key.name: key for key in s.keys},
            sum(len(card.warnings) for card in cards if card.image.specimen == s.name),
            " ".join(card.search for card in cards if card.image.specimen == s.name),
        )
        for s in specimens
    ]  # fmt: skip


def _image_rows(cards: Sequence[Card]) -> list[OverviewRow]:
    return [
        OverviewRow(
            card.title, f"#{card.id}", card.image.specimen, 1, {key.name: key for key in card.keys},
            len(card.warnings), card.search,
        )
        for card in cards
    ]  # fmt: skip


def _shared_provenance(analysed: Analysed) -> dict[str, str]:
    """What is the same for all images, and what the folder says of itself."""
    images = analysed.images
    same = {
        key: value
        for key, value in (images[0].provenance if images else {}).items()
        if all(image.provenance.get(key) == value for image in images)
    }
    return {**analysed.record.provenance, **same}


def _own_provenance(images: Sequence[ImageRecord], shared: dict[str, str]) -> dict[str, dict[str, str]]:
    """By image, what differs from the others."""
    found = {}
    for image in images:
        own = {"file": image.source, "SHA-256": image.sha256}
        if image.scale_note:
            own["scale"] = image.scale_note
        own |= {f"instrument: {key}": value for key, value in image.instrument.items()}
        own |= {key: value for key, value in image.provenance.items() if shared.get(key) != value}
        found[image.name] = own
    return found


def _compact(value: object) -> str:
    """JSON without spaces, for attributes."""
    return json.dumps(value, separators=(",", ":"))
