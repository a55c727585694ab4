"""The metallographic cut: a specimen's exact outlines in the section plane."""

from dataclasses import dataclass
from itertools import chain, groupby

import numpy as np
from manifold3d import CrossSection, FillRule

from blender_gen.slicing import Polygons, rings
from blender_gen.specimen import Body, Specimen, View
from semforge.errors import RejectedSpecimen


@dataclass(frozen=True)
class Outline:
    """One body's cut: polygons (n, 2) in µm, outer rings anticlockwise, holes clockwise."""

    phase: int
    instance: int  # 1, 2, ... in the order of the specimen's bodies
    polygons: Polygons


@dataclass(frozen=True)
class Section:
    """The section plane."""

    specimen: Specimen
    outlines: tuple[Outline, ...]  # of bodies, in painter's order: where two overlap, the later one is seen
    visible: dict[int, CrossSection]  # phase -> the region inside the frame where it is seen
    layer_area_um2: dict[int, float]  # layer phase -> area between its interfaces inside the frame

    @property
    def view(self) -> View:
        """The part of the plane that the micrograph shows."""
        return self.specimen.view


def cut(specimen: Specimen) -> Section:
    """Cut a specimen at z = 0."""
    frame = CrossSection([specimen.view.corners])
    strips = {s.phase: CrossSection([_strip(specimen.x_um, s.outer_um[-1], s.inner_um[-1])]) for s in specimen.strata}
    outlines = []
    for instance, body in enumerate(specimen.bodies, start=1):
        polygons = _cut_body(body, specimen, strips)
        if polygons:
            outlines.append(Outline(body.phase, instance, polygons))
    visible, covered = _visible(outlines, frame)
    layers = {phase: strip ^ frame for phase, strip in strips.items()}
    visible.update({phase: layer - covered for phase, layer in layers.items()})
    areas = {phase: layer.area() for phase, layer in layers.items()}
    return Section(specimen, tuple(outlines), visible, areas)


def audit(section: Section, phase: np.ndarray) -> None:
    """Compare the label map's areas with the exact ones.

    A straight boundary of n pixels along the pixel grid can put every one of them on the wrong side
    by half, so the areas may differ by n/2. Raises RejectedSpecimen on more.
    """
    pixel = section.specimen.view.pixel_size_um
    counts = np.bincount(phase.ravel(), minlength=len(section.specimen.phase_names))
    for number, name in enumerate(section.specimen.phase_names):
        region = section.visible.get(number, CrossSection())
        rings = region.to_polygons()
        boundary = sum(np.linalg.norm(np.diff(r, axis=0, append=r[:1]), axis=1).sum() for r in rings) / pixel
        error = abs(counts[number] - region.area() / pixel**2)
        if error > boundary / 2 + 4:
            raise RejectedSpecimen(f"{name} covers {counts[number]} pixels, {error:.0f} off its exact area")


def _cut_body(body: Body, specimen: Specimen, strips: dict[int, CrossSection]) -> Polygons:
    low, high = body.mesh[0].min(axis=0), body.mesh[0].max(axis=0)
    centre, reach = np.array(specimen.view.centre_um), np.array(specimen.view.reach_um)
    if np.any(low[:2] > centre + reach) or np.any(high[:2] < centre - reach):
        return ()
    polygons = rings(body.mesh)
    if not polygons or not body.clipped or _inside(low, high, body.host, specimen):
        return polygons
    return tuple((CrossSection(list(polygons)) ^ strips[body.host]).to_polygons())


def _inside(low: np.ndarray, high: np.ndarray, host: int, specimen: Specimen) -> bool:
    stratum = next(s for s in specimen.strata if s.phase == host)
    first, last = np.searchsorted(specimen.x_um, [low[0], high[0]])
    over = slice(max(first - 1, 0), last + 1)
    outer, inner = stratum.outer_um[-1][over], stratum.inner_um[-1][over]
    return outer.size > 0 and bool(outer.min() > high[1] and inner.max() < low[1])


def _visible(bodies: list[Outline], frame: CrossSection) -> tuple[dict[int, CrossSection], CrossSection]:
    """What is seen of each phase, and all that bodies cover. The later body hides the earlier."""
    visible: dict[int, CrossSection] = {}
    covered = CrossSection()
    for phase, group in groupby(reversed(bodies), key=lambda outline: outline.phase):
        polygons = list(chain.from_iterable(outline.polygons for outline in group))
        region = (
            CrossSection(polygons, FillRule.Positive) ^ frame
        )  # a point is in as many bodies as rings wind about it
        seen = region - covered
        visible[phase] = visible[phase] + seen if phase in visible else seen
        covered = covered + region
    return visible, covered


def _strip(x: np.ndarray, outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    return np.concatenate([np.stack([x, inner], axis=1), np.stack([x, outer], axis=1)[::-1]])
