"""The table of all values, as text."""

from collections.abc import Sequence
from dataclasses import dataclass

from sem_train.certificate.numbers import expanded, interval, shown, typeset, unit_text
from sem_train.certificate.words import TRUTHS, half_of, quantity_name, subject, whole
from sem_train.measure.tables.rows import Row


def row_text(row: Row) -> str:
    """The value of a row without its unit; truths as yes and no."""
    if row.quantity in TRUTHS and row.value is not None:
        return "yes" if row.value else "no"
    return shown(whole(row), half_of(row))


@dataclass(frozen=True)
class Line:
    """One row of the table of all values, as text, with what it sorts by."""

    subject: str
    quantity: str
    value: str
    sort: float | int | str
    unit: str
    uncertainty: str
    interval: str
    low: float | str
    method: str
    note: str
    first: bool  # of its subject


def table_lines(rows: Sequence[Row]) -> list[Line]:
    """Rows with a value as the page shows them; what notes of one subject have in common is said once."""
    found: list[Line] = []
    said: set[str] = set()
    for row in (r for r in rows if r.value is not None):
        about = subject(row)
        first = not found or found[-1].subject != about
        said = set() if first else said
        note = [part for part in row.note.split("; ") if part not in said]
        said |= set(note)
        found.append(
            Line(
                subject=about, quantity=quantity_name(row.quantity), value=row_text(row),
                sort="" if row.value is None else row.value, unit=unit_text(row.unit),
                uncertainty=expanded(half_of(row)),
                interval=interval(row.low_95, row.high_95), low="" if row.low_95 is None else row.low_95,
                method=row.method, note=typeset("; ".join(note)), first=first,
            )
        )  # fmt: skip
    return found
