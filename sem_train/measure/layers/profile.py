"""Thickness along a layer, and where on the image each length was taken."""

from dataclasses import dataclass

import numpy as np

from sem_train.measure.section import Section


@dataclass(frozen=True)
class Profile:
    """One entry a normal, in order along the midline."""

    along: np.ndarray  # (N,) float64, length of the midline up to the normal, in the field's unit
    thickness: np.ndarray  # (N,) likewise; NaN where a boundary is not in the frame, 0 where the layer is missing
    outer_xy: np.ndarray  # (N, 2) outer boundary in pixels of the image as given, (x, y); NaN where not in the frame
    inner_xy: np.ndarray  # (N, 2) inner boundary; both lie on the midline where the layer is missing


def profile_of(section: Section, name: str, pixel: float, across: float) -> Profile | None:
    """Thickness along a layer; None if it has no midline.

    `pixel` is the edge of a pixel in the unit wanted, `across` what a pixel stands for across the layer.
    """
    normals = section.normals[name]
    if normals is None:
        return None
    outer, inner = (np.where(normals.absent, 0.0, distance) for distance in (normals.outer, normals.inner))
    ends = (normals.points + distance[:, None] * normals.directions for distance in (outer, inner))
    outer_xy, inner_xy = (section.in_image(end) for end in ends)
    return Profile(normals.along * pixel, (inner - outer) * across, outer_xy, inner_xy)
