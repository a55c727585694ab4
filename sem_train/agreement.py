"""Measured against true: what a specimen is, what a predicted label map says, and the error between them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sem_train.classes import ClassMap, LabelClass
from sem_train.measure import FieldMeasurement


@dataclass(frozen=True)
class Pair:
    """One quantity of one image."""

    case: str
    true: float
    measured: float


@dataclass(frozen=True)
class Agreement:
    """A quantity over all images: thickness in µm, or area in percent of the host, error then in percentage points."""

    quantity: Literal["thickness", "area_percent"]
    name: str  # the class
    host: str  # of an inclusion; empty for layers
    pairs: tuple[Pair, ...]

    @property
    def unit(self) -> str:
        """Unit of value and error."""
        return "µm" if self.quantity == "thickness" else "percentage points"

    @property
    def errors(self) -> np.ndarray:
        """Measured minus true, (N,) float64."""
        return np.array([p.measured - p.true for p in self.pairs])

    @property
    def bias(self) -> float:
        """Mean of measured minus true; NaN without pairs."""
        return float(self.errors.mean()) if self.pairs else float("nan")

    @property
    def mean_absolute_error(self) -> float:
        """Mean of |measured − true|; NaN without pairs."""
        return float(np.abs(self.errors).mean()) if self.pairs else float("nan")

    @property
    def mean_true(self) -> float:
        """Mean of the true values; NaN without pairs."""
        return float(np.mean([p.true for p in self.pairs])) if self.pairs else float("nan")

    def relative_percent(self, value: float) -> float:
        """A bias or error in percent of the mean true value."""
        return 100 * value / self.mean_true if self.mean_true else float("nan")


@dataclass(frozen=True)
class Detection:
    """How often something was found where it is, and where it is not. Counts of images."""

    what: Literal["layer", "line"]
    name: str  # the class
    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int


@dataclass(frozen=True)
class Comparison:
    """One image: the truth of its specimen beside the measurement of its prediction."""

    case: str
    truth: dict[str, Any]
    measured: FieldMeasurement


def is_measurable(truth: dict[str, Any] | None) -> bool:
    """Whether a truth has layers to compare with."""
    return bool(truth) and "layers" in (truth or {})


def agreements(comparisons: Sequence[Comparison], classes: ClassMap) -> tuple[Agreement, ...]:
    """Thickness of every layer class and area percent of every inclusion class, where both are known.

    Layers that a line splits in truth and in measurement also with their outward and inward part.
    """
    found = []
    for layer in classes.with_role("layer"):
        pairs = [
            Pair(c.case, true, measured)
            for c in comparisons
            if (true := true_thickness_um(c.truth, layer)) is not None
            and (measured := c.measured.layers[layer.name].mean) is not None
        ]
        found.append(Agreement("thickness", layer.name, "", tuple(pairs)))
        for side in ("outward", "inward"):
            pairs = [
                Pair(c.case, true, measured)
                for c in comparisons
                if (true := true_part_um(c.truth, layer, side)) is not None
                and (measured := _part(c.measured, layer, side)) is not None
            ]
            if pairs:
                found.append(Agreement("thickness", f"{layer.name}, {side} part", "", tuple(pairs)))
    for inclusion in classes.with_role("inclusion"):
        host = classes.classes[classes.id_of(str(inclusion.host))]
        pairs = [
            Pair(c.case, true, measured)
            for c in comparisons
            if (true := true_area_percent(c.truth, inclusion, host)) is not None
            and (measured := c.measured.inclusions[inclusion.name].area_percent) is not None
        ]
        found.append(Agreement("area_percent", inclusion.name, host.name, tuple(pairs)))
    return tuple(found)


def detections(comparisons: Sequence[Comparison], classes: ClassMap) -> tuple[Detection, ...]:
    """Presence of every layer class, and of a line of every inclusion class that can have one."""
    found = [
        _detection(
            "layer", c.name, [(layer_exists(x.truth, c), x.measured.layers[c.name].present) for x in comparisons]
        )
        for c in classes.with_role("layer")
    ]
    for c in classes.with_role("inclusion"):
        known = [(true, x.measured.lines[c.name].present) for x in comparisons
                 if (true := line_exists(x.truth, c)) is not None]  # fmt: skip
        if known:
            found.append(_detection("line", c.name, known))
    return tuple(found)


def true_thickness_um(truth: dict[str, Any], layer: LabelClass) -> float | None:
    """Mean thickness of a layer class: the sum over its phases, one above the other. None where absent or unknown."""
    parts = [truth["layers"][p] for p in layer.phases if p in truth["layers"]]
    means = [p["mean_um"] for p in parts if p["present"] and p.get("mean_um") is not None]
    unknown = any(p["present"] and p.get("mean_um") is None for p in parts)
    return float(sum(means)) if means and not unknown else None


def true_part_um(truth: dict[str, Any], layer: LabelClass, side: Literal["outward", "inward"]) -> float | None:
    """Mean thickness of one part of a layer class that a line splits. None where none does.

    Data sets rendered before truth had parts tell the depth of the line, which is the thickness of the outward part.
    """
    records = {p: truth["layers"][p] for p in layer.phases if p in truth["layers"]}
    if len(records) != 1:
        return None
    phase, record = next(iter(records.items()))
    if "parts" in record:
        return float(record["parts"][side]["mean_um"])
    lines = [x for x in truth.get("pore_lines", {}).values() if x["host"] == phase and x["present"]]
    if not lines or lines[0]["depth_um"] is None or record.get("mean_um") is None:
        return None
    outward = float(lines[0]["depth_um"])
    return outward if side == "outward" else float(record["mean_um"]) - outward


def _part(measured: FieldMeasurement, layer: LabelClass, side: Literal["outward", "inward"]) -> float | None:
    return next((part.mean for part in measured.layers[layer.name].parts if part.side == side), None)


def layer_exists(truth: dict[str, Any], layer: LabelClass) -> bool:
    """Whether any phase of a layer class is present as a layer."""
    return any(truth["layers"].get(p, {}).get("present", False) for p in layer.phases)


def true_area_percent(truth: dict[str, Any], inclusion: LabelClass, host: LabelClass) -> float | None:
    """Area of an inclusion class in percent of its host's, inclusions included. None where there is no host."""
    host_area = sum(truth["layers"][p].get("area_um2", 0.0) for p in host.phases if p in truth["layers"])
    if host_area <= 0:
        return None
    records = [truth.get("inclusions", {}).get(p) for p in inclusion.phases]
    return 100 * sum(r["area_um2"] for r in records if r and r["host"] in host.phases) / host_area


def line_exists(truth: dict[str, Any], inclusion: LabelClass) -> bool | None:
    """Whether an inclusion class forms a line. None where the recipe does not ask for one."""
    lines = [truth.get("pore_lines", {}).get(p) for p in inclusion.phases]
    return any(line["present"] for line in lines if line) if any(lines) else None


def _detection(what: Literal["layer", "line"], name: str, pairs: Sequence[tuple[bool, bool]]) -> Detection:
    counts = np.zeros((2, 2), dtype=int)  # true, measured
    for true, measured in pairs:
        counts[int(true), int(measured)] += 1
    return Detection(what, name, *(int(counts[i]) for i in ((1, 1), (0, 1), (1, 0), (0, 0))))
