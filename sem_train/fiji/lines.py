"""Evenly spaced lines across each layer, as they are laid by hand in Fiji."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sem_train.measure.section import Section

LINES = 10  # a layer, where nobody says how many


@dataclass(frozen=True)
class MeasuringLine:
    """One line across a layer, from its outer to its inner boundary."""

    layer: str
    number: int  # from 1 on, along the layer
    ends: np.ndarray  # (2, 2) (x, y) in pixels of the image as given; twice the same point where the layer is missing
    missing: bool = False

    @property
    def length_px(self) -> float:
        """Zero where the layer is missing."""
        return 0.0 if self.missing else float(np.hypot(*(self.ends[1] - self.ends[0])))


@dataclass(frozen=True)
class LineStatistics:
    """Thickness by lines, in the unit asked for; lines where the layer is missing count as zero."""

    n: int
    mean: float | None  # None without a line
    sd: float | None  # None with fewer than two


def lay_lines(section: Section, number: int = LINES) -> dict[str, tuple[MeasuringLine, ...]]:
    """Lines along the local normals of each layer, evenly spaced over the length at which the frame shows it.

    Where both boundaries are inside the frame a line runs from one to the other; where the layer is missing, though
    the frame would show it, it has no length. A layer that is shorter than that many pixels gets fewer, and one of
    which the map shows no midline gets none.
    """
    return {layer: _lay(section, layer, number) for layer in section.envelopes}


def _lay(section: Section, layer: str, number: int) -> tuple[MeasuringLine, ...]:
    normals = section.normals[layer]
    if normals is None:
        return ()
    seen = np.flatnonzero(normals.usable | normals.absent)
    if len(seen) == 0:
        return ()
    number = min(number, len(seen))
    chosen = seen[((np.arange(number) + 0.5) * len(seen) / number).astype(int)]
    there = normals.usable[chosen]
    offsets = np.where(there, [normals.outer[chosen], normals.inner[chosen]], 0.0)
    ends = normals.points[chosen] + offsets[:, :, None] * normals.directions[chosen]  # (2, number, 2)
    in_image = section.in_image(np.moveaxis(ends, 0, 1))
    return tuple(
        MeasuringLine(layer, k + 1, in_image[k], missing=not bool(there[k])) for k in range(number)
    )  # fmt: skip


def line_statistics(lengths_px: Iterable[float], pixel: float) -> LineStatistics:
    """Mean and standard deviation (n − 1) of lengths; `pixel` is the edge of a pixel in the unit wanted."""
    lengths = np.array(list(lengths_px), dtype=np.float64) * pixel
    return LineStatistics(
        len(lengths),
        float(lengths.mean()) if len(lengths) else None,
        float(lengths.std(ddof=1)) if len(lengths) > 1 else None,
    )
