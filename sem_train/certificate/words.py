"""What quantities are called in a certificate, and how they are looked up."""

import re
from collections.abc import Iterable

from sem_train.certificate.numbers import Stated, stated
from sem_train.measure.tables.rows import Row

NAMES = {
    "thickness_mean": "mean thickness",
    "thickness_sd": "spread of thickness along the layer (sd)",
    "thickness_min": "smallest thickness",
    "thickness_max": "largest thickness",
    "thickness_mean_over_all": "mean thickness, zero where missing",
    "thickness_mean_censored": "mean thickness, what leaves the frame estimated",
    "local_thickness_mean": "local thickness, mean",
    "local_thickness_sd": "local thickness, sd",
    "local_thickness_max": "local thickness, largest",
    "normals": "normals measured",
    "normals_usable": "normals with both boundaries in the frame",
    "normals_with_several_boundaries": "normals that meet the layer more than once",
    "usable_length": "length measured",
    "tilt": "tilt in the image",
    "section_tilt": "tilt of the section",
    "censored": "leaves the frame somewhere",
    "area_percent": "area fraction",
    "count": "number",
    "count_whole": "number not cut by the frame",
    "ecd_mean": "diameter of equal area, mean",
    "ecd_sd": "diameter of equal area, sd",
    "ecd_median": "diameter of equal area, median",
    "feret_max_mean": "largest Feret diameter, mean",
    "feret_min_mean": "smallest Feret diameter, mean",
    "score": "excess over chance",
    "depth": "depth below the surface",
    "depth_fraction": "relative depth (0 outer, 1 inner boundary)",
    "length_total": "total length",
    "length_mean": "mean length",
    "length_max": "largest length",
    "opening_mean": "mean opening",
    "opening_max": "largest opening",
    "per_length": "number per length of the layer",
    "length_density": "length per area of the layer",
    "through": "number through the whole layer",
    "nearest_neighbour_mean": "distance to the nearest neighbour, mean",
    "nearest_neighbour_ratio": "nearest neighbour over that of chance",
    "nearest_neighbour_used": "neighbours used",
    "needed_d50_number": "particles needed for D50 by number to 5 %",
    "needed_d50_volume": "particles needed for D50 by volume to 5 %",
    "circularity_iso_mean": "circularity (ISO 9276-6), mean",
    "circularity_imagej_mean": "circularity (ImageJ), mean",
    "lognormal_a2": "lognormal fit, A²",
    "lognormal_p": "lognormal fit, p",
}
# said after the name of a quantity
ENDINGS = {
    "_corrected": "less the model's bias",
    "_fields_still_needed": "fields still needed",
    "_fields": "fields",
    "_field_min": "smallest field",
    "_field_max": "largest field",
    "_field_sd": "sd of the fields",
    "_relative_accuracy": "relative accuracy",
}
PATTERNS = (
    (r"thickness_p0*(\d+)", r"thickness, \1th percentile"),
    (r"d(\d+)_(number|area|volume)", r"D\1 by \2"),
    (r"(outer|inner)_([RWP][aqz])", r"\1 interface, \2"),
    (r"(outer|inner)_(cutoff|evaluation_length)", r"\1 interface, \2 of roughness"),
    (r"(outward|inward)_(mean|sd|share)", r"\1 part, \2"),
    (r"distance_to_(outer|inner)_mean", r"distance to the \1 interface, mean"),
)
TRUTHS = {"present", "resolved", "complete", "censored"}  # 1 and 0 mean yes and no
KINDS = {"layer": "", "inclusion": "", "line": "line", "crack": "", "particle": ""}


class Values:
    """The rows of one image or specimen, by what they are of."""

    def __init__(self, rows: Iterable[Row]):
        self.rows = tuple(rows)
        self._found = {(row.kind, row.name, row.quantity): row for row in self.rows}

    def row(self, kind: str, name: str, quantity: str) -> Row | None:
        """The row, or None."""
        return self._found.get((kind, name, quantity))

    def value(self, kind: str, name: str, quantity: str) -> float | int | None:
        """The value, None where there is none."""
        row = self.row(kind, name, quantity)
        return None if row is None else row.value

    def names(self, kind: str) -> list[str]:
        """Classes that have rows of a kind, in order."""
        return list(dict.fromkeys(row.name for row in self.rows if row.kind == kind))

    def host(self, kind: str, name: str) -> str:
        """The layer that a class lies in; empty if none is known."""
        return next((row.host for row in self.rows if (row.kind, row.name) == (kind, name)), "")


def quantity_name(quantity: str) -> str:
    """E.g. "thickness_mean" as "mean thickness"."""
    for ending, words in ENDINGS.items():
        if quantity.endswith(ending) and quantity != ending[1:]:
            return f"{quantity_name(quantity.removesuffix(ending))}: {words}"
    name = NAMES.get(quantity)
    if name is None:
        changed = (re.sub(pattern, words, quantity) for pattern, words in PATTERNS if re.fullmatch(pattern, quantity))
        name = next(changed, quantity).replace("_", " ")
    return name


def subject(row: Row) -> str:
    """What a row is about: "Fe2Al5", "pore in Fe2Al5", "pore line in Fe2Al5"."""
    what = KINDS.get(row.kind, "")
    name = f"{row.name} {what}" if what else row.name
    return f"{name} in {row.host}" if row.host else name


def whole(row: Row) -> float | int | None:
    """Counts as whole numbers."""
    whole = isinstance(row.value, float) and row.unit == "" and row.value.is_integer()
    return int(row.value) if whole and row.value is not None else row.value


def stated_of(row: Row) -> Stated | None:
    return stated(row.value, row.standard_uncertainty, row.low_95, row.high_95)


def half_of(row: Row) -> float | None:
    found = stated_of(row)
    return found.half if found else None
