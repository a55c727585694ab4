"""A label map made ready for measuring: turned upright, cracks bridged, layers outlined, normals cast."""

from dataclasses import dataclass

import numpy as np

from sem_train.classes import ClassMap
from sem_train.measure.envelope import bridge_cracks, envelope, quarter_turns
from sem_train.measure.layers.normals import Normals, cast_normals
from semforge.errors import InputError


@dataclass(frozen=True)
class Section:
    """One field of view with its layers along the rows and the outer surface at the top.

    Lengths are in pixels; keys are names of layer classes.
    """

    labels: np.ndarray  # (H, W) uint8 class ids, upright
    classes: ClassMap
    turns: int  # quarter turns, counter-clockwise, from the image to `labels` (np.rot90)
    bridged: np.ndarray  # (H, W) uint8, `labels` with cracks given to what they cross
    envelopes: dict[str, np.ndarray]  # (H, W) bool: a layer with its inclusions
    normals: dict[str, Normals | None]  # None where a layer shows no midline

    def mask(self, name: str) -> np.ndarray:
        """(H, W) bool: the pixels of a class."""
        return self.labels == self.classes.id_of(name)

    def in_image(self, points: np.ndarray) -> np.ndarray:
        """Upright (row, column) points (..., 2) as (x, y) of the image as it was given, pixel centres whole numbers."""
        row, column = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)
        height, width = self.labels.shape
        x, y = {
            0: (column, row),
            1: (height - 1 - row, column),
            2: (width - 1 - column, height - 1 - row),
            3: (row, width - 1 - column),
        }[self.turns % 4]
        return np.stack([x, y], axis=-1)


def prepare(labels: np.ndarray, classes: ClassMap) -> Section:
    """Make class ids (H, W) ready for measuring. Raises InputError if an id has no class."""
    labels = checked(labels, classes)
    turns = quarter_turns(labels, classes)
    labels = np.ascontiguousarray(np.rot90(labels, turns))
    bridged = bridge_cracks(labels, classes)
    envelopes = {c.name: envelope(bridged, classes, c.name) for c in classes.with_role("layer")}
    normals = {name: cast_normals(mask) for name, mask in envelopes.items()}
    return Section(labels, classes, turns, bridged, envelopes, normals)


def checked(labels: np.ndarray, classes: ClassMap) -> np.ndarray:
    """Class ids (H, W) as uint8. Raises InputError if the array is no such map."""
    if labels.ndim != 2 or labels.size == 0 or labels.dtype.kind not in "iu":
        raise InputError(f"label map is {labels.dtype} of shape {labels.shape}, expected class ids (height, width)")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(classes):
        strange = high if high >= len(classes) else low
        raise InputError(f"label map has class id {strange}, the class map has ids 0 to {len(classes) - 1}")
    return labels.astype(np.uint8, copy=False)
