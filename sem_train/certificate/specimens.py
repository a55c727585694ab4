"""Specimens with the results of all their fields, and the overview tables."""

from collections.abc import Sequence
from dataclasses import dataclass

from sem_train.analysis.record import FolderRecord
from sem_train.certificate.cards import Card
from sem_train.certificate.keys import Key, found_in_fields, key_results
from sem_train.certificate.numbers import joined, shown
from sem_train.certificate.table import Line, table_lines
from sem_train.certificate.words import Values


@dataclass(frozen=True)
class Specimen:
    """A specimen with the values of all its fields together."""

    name: str
    fields: int
    keys: tuple[Key, ...]
    lines: tuple[Line, ...]
    link: str
    combined: bool


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


def specimens_of(folder: FolderRecord, cards: Sequence[Card]) -> list[Specimen]:
    """In order of their first image. Fields that nobody combined have their own values only."""
    combined = {specimen.name: specimen for specimen in folder.specimens}
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


def columns_of(specimens: Sequence[Specimen], cards: Sequence[Card]) -> list[str]:
    """Key results that the overview tables have columns for."""
    keys = [key for s in specimens for key in s.keys] + [key for card in cards for key in card.keys]
    return list(dict.fromkeys(key.name for key in keys))


def specimen_rows(specimens: Sequence[Specimen], cards: Sequence[Card]) -> list[OverviewRow]:
    """The overview of specimens."""
    return [
        OverviewRow(
            s.name, s.link, "", s.fields, {key.name: key for key in s.keys},
            sum(len(card.warnings) for card in cards if card.image.specimen == s.name),
            " ".join(card.search for card in cards if card.image.specimen == s.name),
        )
        for s in specimens
    ]  # fmt: skip


def image_rows(cards: Sequence[Card]) -> list[OverviewRow]:
    """The overview of images."""
    return [
        OverviewRow(
            card.title, f"#{card.id}", card.image.specimen, 1, {key.name: key for key in card.keys},
            len(card.warnings), card.search,
        )
        for card in cards
    ]  # fmt: skip
