"""The metallographic cut: a specimen's exact outlines in the section plane."""

from dataclasses import dataclass
from itertools import chain, groupby

import numpy as np
from manifold3d import CrossSection, FillRule

from blender_gen.columns import ranges
from blender_gen.slicing import Polygons, lies_between, perimeter_um, strip
from blender_gen.specimen import Specimen, View
from semforge.errors import RejectedSpecimen

ROUNDED = 2e-3  # share of the pixels along boundaries that rounding may move across; seen: up to 4e-4
ROUNDED_LEAST = 8


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
    strips = {s.phase: CrossSection([strip(specimen.x_um, s.outer_um[-1], s.inner_um[-1])]) for s in specimen.strata}
    outlines = []
    for number in _near_the_frame(specimen):
        polygons = _cut_body(number, specimen, strips)
        if polygons:
            outlines.append(Outline(specimen.bodies[number].phase, number + 1, polygons))
    visible, covered = _visible(outlines, frame)
    layers = {phase: strip ^ frame for phase, strip in strips.items()}
    visible.update({phase: layer - covered for phase, layer in layers.items()})
    areas = {phase: layer.area() for phase, layer in layers.items()}
    return Section(specimen, tuple(outlines), visible, areas)


def audit(section: Section, phase: np.ndarray) -> None:
    """Compare the label map with the exact outlines, pixel centre by pixel centre.

    A centre that lies within rounding of a boundary may come out on either side of it. Raises RejectedSpecimen if
    more of them do than a share ROUNDED of the pixels along all boundaries.
    """
    wrong = phase_map(section) != phase
    count = int(wrong.sum())
    if count > ROUNDED_LEAST + ROUNDED * _boundary_px(section):
        name = section.specimen.phase_names[int(np.bincount(phase[wrong]).argmax())]
        raise RejectedSpecimen(f"{count} pixels of the label map are off the exact outlines, most of them in {name}")


def phase_map(section: Section) -> np.ndarray:
    """Phase id (H, W) at each pixel's centre, from the outlines alone.

    Along a row the phase changes where a boundary is crossed: by its id on the way in, by minus its id on the way out.
    """
    view = section.view
    rings = [(phase, ring) for phase, region in section.visible.items() for ring in region.to_polygons()]
    start = view.to_picture(np.concatenate([ring for _, ring in rings]))
    end = view.to_picture(np.concatenate([np.roll(ring, -1, axis=0) for _, ring in rings]))
    step = np.repeat([phase for phase, _ in rings], [len(ring) for _, ring in rings])
    falls = end[:, 1] > start[:, 1]  # material lies to the right of an edge that runs down the picture
    upper, lower = np.where(falls[:, None], start, end), np.where(falls[:, None], end, start)
    first, last = (np.clip(np.ceil(rows[:, 1]), 0, view.height_px).astype(np.int64) for rows in (upper, lower))
    row, edge = ranges(first, last)
    slope = (lower[edge, 0] - upper[edge, 0]) / (lower[edge, 1] - upper[edge, 1])
    column = np.ceil(upper[edge, 0] + (row - upper[edge, 1]) * slope)
    column = np.clip(column, 0, view.width_px).astype(np.int64)
    width = view.width_px + 1
    changes = np.bincount(row * width + column, np.where(falls, step, -step)[edge], minlength=view.height_px * width)
    return np.cumsum(changes.reshape(view.height_px, width), axis=1)[:, :-1].astype(np.int64)


def _boundary_px(section: Section) -> float:
    """Length of all boundaries in pixels, each from both sides."""
    rings = [ring for region in section.visible.values() for ring in region.to_polygons()]
    return sum(map(perimeter_um, rings)) / section.view.pixel_size_um


def _near_the_frame(specimen: Specimen) -> list[int]:
    """Positions of the bodies that the frame's bounding box meets."""
    extents = specimen.extents_um[..., :2]
    centre, reach = np.array(specimen.view.centre_um), np.array(specimen.view.reach_um)
    apart = (extents[:, 0] > centre + reach) | (extents[:, 1] < centre - reach)
    return np.flatnonzero(~apart.any(axis=1)).tolist()


def _cut_body(number: int, specimen: Specimen, strips: dict[int, CrossSection]) -> Polygons:
    body, polygons, (low, high) = specimen.bodies[number], specimen.cuts[number], specimen.extents_um[number]
    if not polygons or not body.clipped:
        return polygons
    host = next(s for s in specimen.strata if s.phase == body.host)
    if lies_between(low, high, specimen.x_um, host.outer_um[-1], host.inner_um[-1]):
        return polygons
    return tuple((CrossSection(list(polygons)) ^ strips[body.host]).to_polygons())


def _visible(bodies: list[Outline], frame: CrossSection) -> tuple[dict[int, CrossSection], CrossSection]:
    """What is seen of each phase, and all that bodies cover. The later body hides the earlier."""
    visible: dict[int, CrossSection] = {}
    covered = CrossSection()
    for phase, group in groupby(reversed(bodies), key=lambda outline: outline.phase):
        polygons = list(chain.from_iterable(outline.polygons for outline in group))
        # a point is in as many bodies as rings wind about it
        region = CrossSection(polygons, FillRule.Positive) ^ frame
        seen = region - covered
        visible[phase] = visible[phase] + seen if phase in visible else seen
        covered = covered + region
    return visible, covered
