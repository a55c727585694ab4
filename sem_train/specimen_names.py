"""Which specimen an image shows, as a table beside the images says it."""

import csv
from pathlib import Path

from semforge.errors import InputError


def read_specimen_names(path: Path) -> dict[str, str] | None:
    """Specimen by image name, from a CSV with the columns name and specimen; None if it has no such rows.

    Raises InputError if it cannot be read as CSV.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV") from error
    if not rows or not {"name", "specimen"} <= rows[0].keys():
        return None
    return {row["name"]: row["specimen"] for row in rows}
