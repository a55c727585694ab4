"""What belongs to a layer: its own pixels, its inclusions, and the cracks that cross it.

All functions take label maps (H, W) of class ids. A map is *upright* when its layers run
along the rows and the outer surface is at the top.
"""

import numpy as np
from scipy import ndimage

from sem_train.classes import ClassMap
from sem_train.measure.windows import rows_around

SEED_SHARE = 0.1  # islands this large against the largest show where the layer runs
SMALLEST_ISLAND_PX = 4  # fewer pixels are noise of a classifier
EIGHT = np.ones((3, 3), dtype=bool)


def quarter_turns(labels: np.ndarray, classes: ClassMap) -> int:
    """Quarter turns, counter-clockwise (np.rot90), after which the layers run along the rows, outer side up.

    The layers run along the axis that crosses fewer boundaries. The outer side is where the
    classes of role `outside` are, or else opposite to those of role `substrate`; a map with
    neither is taken as it stands.
    """
    structure = _structure_ids(classes)[labels]
    down = np.count_nonzero(structure[1:] != structure[:-1])
    across = np.count_nonzero(structure[:, 1:] != structure[:, :-1])
    turns = 1 if across > down else 0
    return turns + 2 if _outer_side_is_down(np.rot90(structure, turns), classes) else turns


def bridge_cracks(labels: np.ndarray, classes: ClassMap) -> np.ndarray:
    """Give each crack pixel to the nearest layer or substrate, so that no crack interrupts a layer."""
    cracks = _mask(labels, classes, "crack")
    if not cracks.any():
        return labels
    solid = _mask(labels, classes, "layer", "substrate", "inclusion")
    if not solid.any():
        return labels
    bridged = labels.copy()
    rows, cols = _window(cracks, solid)
    nearest = ndimage.distance_transform_edt(~solid[rows, cols], return_distances=False, return_indices=True)
    inner = cracks[rows, cols]
    bridged[rows, cols][inner] = labels[rows, cols][tuple(nearest[:, inner])]
    return bridged


def envelope(bridged: np.ndarray, classes: ClassMap, layer: str) -> np.ndarray:
    """Mask (H, W) of a layer with its inclusions, holes filled, stray islands left out.

    `bridged` is an upright map without cracks (`bridge_cracks`). Islands of at least
    `SEED_SHARE` of the largest show where the layer runs; of the others those count that lie
    within one and a half mean thicknesses of that course.
    """
    table = np.zeros(256, dtype=bool)
    table[[classes.id_of(layer), *(classes.id_of(c.name) for c in classes.within(layer))]] = True
    mask = table[bridged]
    rows = rows_around(mask, 1)
    mask[rows] = _pieces(mask[rows], bridged[rows] == classes.id_of(layer))
    return mask


def _pieces(mask: np.ndarray, layer: np.ndarray) -> np.ndarray:
    """A mask (H, W) bool without holes and stray islands; those without a pixel of the `layer` (H, W) are stray."""
    if not mask.any():
        return mask
    islands, count = ndimage.label(_filled(mask), EIGHT)
    # Inclusions alone, somewhere in another layer or in the resin, are no piece of this layer.
    own = np.bincount(islands[layer], minlength=count + 1)[1:]
    area = np.bincount(islands.ravel())[1:]
    area = np.where(own > 0, area, 0)
    keep = area >= max(SMALLEST_ISLAND_PX, SEED_SHARE * area.max())
    if keep.any() and not keep.all():
        course, thickness_px = _course(np.concatenate([[False], keep])[islands])
        centres = np.array(ndimage.center_of_mass(islands > 0, islands, np.arange(1, count + 1)))
        off = np.abs(centres[:, 0] - course[np.rint(centres[:, 1]).astype(int)])
        keep |= (off <= 1.5 * max(thickness_px, 3.0)) & (area >= SMALLEST_ISLAND_PX)
    return np.concatenate([[False], keep])[islands]


def _filled(mask: np.ndarray) -> np.ndarray:
    """A mask (H, W) bool with its holes filled: what is outside reaches the rim, over pixel sides."""
    outside, count = ndimage.label(~mask)
    rim = np.zeros(count + 1, dtype=bool)
    for side in (outside[0], outside[-1], outside[:, 0], outside[:, -1]):
        rim[side] = True
    rim[0] = False
    return ~rim[outside]


def _course(mask: np.ndarray) -> tuple[np.ndarray, float]:
    """Row (W,) at which a layer runs, straight on beyond its ends, and its mean height in pixels."""
    height = mask.sum(axis=0)
    columns = np.flatnonzero(height)
    middle = (mask * np.arange(len(mask))[:, None]).sum(axis=0)[columns] / height[columns]
    every = np.arange(mask.shape[1])
    line = np.polyfit(columns, middle, 1) if len(columns) > 1 else np.array([0.0, middle[0]])
    straight = np.polyval(line, every)
    off = np.interp(every, columns, middle - straight[columns], left=0.0, right=0.0)
    return straight + off, float(height[columns].mean())


def _structure_ids(classes: ClassMap) -> np.ndarray:
    """Table (256,) from class id to the class whose shape it shares: an inclusion has its host's."""
    table = np.arange(256, dtype=np.uint8)
    for i, c in enumerate(classes.classes):
        if c.host is not None:
            table[i] = classes.id_of(c.host)
    return table


def _outer_side_is_down(structure: np.ndarray, classes: ClassMap) -> bool:
    centre = _mean_row(_mask(structure, classes, "layer"))
    clear = 0.05 * len(structure)  # free-standing sections have the outside on both sides
    for role, sign in (("outside", 1.0), ("substrate", -1.0)):
        shift = sign * (_mean_row(_mask(structure, classes, role)) - centre)
        if abs(shift) > clear:
            return bool(shift > 0)
    return False


def _mean_row(mask: np.ndarray) -> float:
    """Mean row of a mask, NaN where it is empty."""
    weight = mask.sum(axis=1)
    return float(weight @ np.arange(len(mask)) / weight.sum()) if weight.any() else float("nan")


def _mask(labels: np.ndarray, classes: ClassMap, *roles: str) -> np.ndarray:
    table = np.zeros(256, dtype=bool)
    table[[i for i, c in enumerate(classes.classes) if c.role in roles]] = True
    return table[labels]


def _window(cracks: np.ndarray, solid: np.ndarray) -> tuple[slice, ...]:
    """The part of the map around the cracks that surely has their nearest solid pixels."""
    margin = 64
    window = tuple(
        slice(max(0, s.start - margin), s.stop + margin) for s in ndimage.find_objects(cracks.astype(np.uint8))[0]
    )
    return window if solid[window].any() else (slice(None), slice(None))
