"""The section of one layer and the frame over it: where its inclusions and cracks may go."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from manifold3d import CrossSection

from blender_gen.slicing import Polygons, area_um2, lies_between, strip
from blender_gen.specimen import View


@dataclass(frozen=True)
class Region:
    """The section of a layer and the frame over it."""

    view: View
    x_um: np.ndarray  # (nx,)
    outer_um: np.ndarray  # (nx,) height of the outer interface in the section plane
    inner_um: np.ndarray  # (nx,)

    @cached_property
    def visible(self) -> CrossSection:
        """The layer's section inside the frame."""
        return CrossSection([strip(self.x_um, self.outer_um, self.inner_um)]) ^ CrossSection([self.view.corners])

    def visible_area_um2(self) -> float:
        """Area of the layer's section inside the frame."""
        return self.visible.area()

    def area_inside_um2(self, polygons: Polygons) -> float:
        """Area of a cut that lies in the layer and in the frame."""
        points = np.concatenate(polygons)
        low, high = points.min(axis=0), points.max(axis=0)
        centre, reach = np.array(self.view.centre_um), np.array(self.view.reach_um)
        if np.any(low > centre + reach) or np.any(high < centre - reach):
            return 0.0
        corners = np.array([low, high, (low[0], high[1]), (high[0], low[1])])
        if self.view.contains(corners).all() and lies_between(low, high, self.x_um, self.outer_um, self.inner_um):
            return area_um2(polygons)
        return (CrossSection(list(polygons)) ^ self.visible).area()

    def point(self, x: float, depth_fraction: float) -> tuple[float, float]:
        """The point at a relative depth below the outer interface."""
        outer, inner = np.interp(x, self.x_um, self.outer_um), np.interp(x, self.x_um, self.inner_um)
        return x, float(outer + depth_fraction * (inner - outer))

    def visible_heights(self) -> tuple[float, float]:
        """Lowest and highest y of the frame."""
        _, half = self.view.reach_um
        return self.view.centre_um[1] - half, self.view.centre_um[1] + half
