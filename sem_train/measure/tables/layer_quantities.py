"""The numbers of one layer, named, with their units and by what definition."""

from collections.abc import Iterator

from sem_train.measure.layers.roughness import Interface
from sem_train.measure.layers.thickness import LayerMeasurement
from sem_train.measure.tables.quantities import Quantity

THICKNESS = "ISO 9220:2022, ISO 1463:2021"
CENSORED = "Kaplan-Meier mean of the normals"
LOCAL = "Hildebrand & Rüegsegger 1997"
ROUGHNESS = "ISO 21920-2:2021, section profile, Gaussian filter ISO 16610-21"
PARTS = "split at the line's share of the thickness"


def of_layer(layer: LayerMeasurement, unit: str) -> Iterator[tuple[Quantity, str]]:
    """All numbers of a layer, each with what a reader must know of it."""
    tilt = f"; section tilt {layer.section_tilt_deg:g} deg" if layer.section_tilt_deg else ""
    note = layer.note
    yield Quantity("present", int(layer.present), "", "coverage and thickness"), layer.evidence.words
    for quantity in _thickness(layer, unit, tilt):
        yield quantity, note
    yield Quantity("coverage", 100 * layer.coverage, "%", ""), note
    yield Quantity("normals", layer.normals, "", ""), note
    yield Quantity("normals_usable", 100 * layer.usable_fraction, "%", ""), note
    yield Quantity("usable_length", layer.usable_length, unit, ""), note
    yield Quantity("censored", int(layer.censored), "", ""), note
    yield Quantity("normals_with_several_boundaries", 100 * layer.several_boundaries, "%", ""), note
    yield Quantity("resolved", int(layer.resolved), "", ""), note
    yield Quantity("tilt", layer.tilt_deg, "deg", "in the image"), note
    yield Quantity("section_tilt", layer.section_tilt_deg, "deg", "as given"), note
    yield Quantity("area", layer.area, f"{unit}^2", ""), note
    yield from _local(layer, unit, tilt, note)
    for side, interface in layer.roughness.items():
        yield from _interface(side, interface, unit, tilt, note)
    for part in layer.parts:
        split = "; ".join(n for n in (note, f"split by the line of {part.line}") if n)
        yield Quantity(f"{part.side}_mean", part.mean, unit, PARTS + tilt), split
        yield Quantity(f"{part.side}_sd", part.sd, unit, PARTS + tilt), split
        yield Quantity(f"{part.side}_share", 100 * part.share, "%", PARTS), split


def _thickness(layer: LayerMeasurement, unit: str, tilt: str) -> Iterator[Quantity]:
    method = THICKNESS + tilt
    yield Quantity("thickness_mean", layer.mean, unit, method)
    yield Quantity("thickness_sd", layer.sd, unit, method)
    yield Quantity("thickness_min", layer.min, unit, method)
    for percent, value in layer.percentiles.items():
        yield Quantity(f"thickness_p{percent:02d}", value, unit, method)
    yield Quantity("thickness_max", layer.max, unit, method)
    yield Quantity("thickness_mean_over_all", layer.mean_over_all, unit, method)
    yield Quantity("thickness_mean_censored", layer.mean_censored, unit, CENSORED + tilt)


def _local(layer: LayerMeasurement, unit: str, tilt: str, note: str) -> Iterator[tuple[Quantity, str]]:
    local = layer.local_thickness
    if local is None:
        return
    for name, value in (("mean", local.mean), ("sd", local.sd), ("max", local.max)):
        yield Quantity(f"local_thickness_{name}", value, unit, LOCAL + tilt), note


def _interface(side: str, found: Interface, unit: str, tilt: str, note: str) -> Iterator[tuple[Quantity, str]]:
    coarse = "" if found.resolved else "roughness unresolved: pixel staircase"
    said = "; ".join(n for n in (note, coarse) if n)
    lengths = {"Ra": found.ra, "Rq": found.rq, "Rz": found.rz, "Wa": found.wa, "Wq": found.wq, "Pq": found.pq}
    for name, value in lengths.items():
        yield Quantity(f"{side}_{name}", value, unit, ROUGHNESS + tilt), said
    yield Quantity(f"{side}_cutoff", found.cutoff, unit, "ISO 16610-21"), said
    yield Quantity(f"{side}_evaluation_length", found.length, unit, ROUGHNESS), said
