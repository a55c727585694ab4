"""What selections are called, so that they sort, and which class and line a name means."""

import re

from sem_train.classes import ClassMap

MISSING = "missing"


def line_name(layer: str, number: int, of: int, missing: bool = False) -> str:
    """`Fe2Al5 03`, or `Fe2Al5 03 missing` where the layer is not there."""
    digits = max(2, len(str(of)))
    return f"{layer} {number:0{digits}d}" + (f" {MISSING}" if missing else "")


def outline_name(layer: str, number: int) -> str:
    """`Fe2Al5 outline 1`."""
    return f"{layer} outline {number}"


def class_in(name: str, classes: ClassMap) -> str | None:
    """The class that a name begins with as a whole word, whatever its case; the longest if there are several."""
    fits = [c for c in classes.names if re.match(rf"{re.escape(c)}(?![^\s_.:,-])", name.strip(), re.IGNORECASE)]
    return max(fits, key=len, default=None)


def number_in(name: str, layer: str) -> int | None:
    """The number of a line of that layer; None where the name has none, or says something else first."""
    found = re.match(r"[\s_.:,-]*(\d+)", name.strip()[len(layer) :])
    return int(found[1]) if found else None


def says_missing(name: str) -> bool:
    """Whether a name says that the layer is not there."""
    return re.search(rf"\b{MISSING}\b", name, re.IGNORECASE) is not None
