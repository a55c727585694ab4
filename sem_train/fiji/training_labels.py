"""Corrected outlines as a label map to train on.

An outline says where its class is *and* where it is not:

- A pixel that an outline newly encloses, compared with the outlines that were written, takes its class.
- A pixel in the outlines of several classes keeps its class of the automatic map if that is one of
  them; else the class that comes later in the class map takes it. So does a pixel that several newly enclose, areas
  drawn of an inclusion or a crack before those of a layer.
- A pixel of a layer, or of an inclusion, that no outline of it encloses any more takes the class of the nearest
  pixel that is of another one: what lies beside the layer. Stray pixels that belonged to no outline take the class
  of the nearest pixel outside all layers.
- Inclusions of the automatic map stay where the outline of their host is; cracks stay everywhere.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from sem_train.classes import ClassMap
from sem_train.fiji.corrected import Outline
from sem_train.fiji.polygons import inside
from sem_train.fiji.selections import image_envelopes
from sem_train.measure.section import Section
from semforge.errors import InputError

NOTHING = 255  # in no outline
RANKS = {"layer": 1, "inclusion": 2, "crack": 3}  # of areas that were drawn of them; all other roles come first


def corrected_labels(labels: np.ndarray, section: Section, outlines: Sequence[Outline]) -> np.ndarray:
    """Class ids (H, W) uint8 of the automatic map `labels` (of which `section` was prepared) after correction.

    Raises InputError if there is no outline, or nothing beside the layers of which removed pixels could be.
    """
    classes = section.classes
    if not outlines:
        raise InputError("has no outlined area to make labels of; save all selections")
    before = image_envelopes(section)
    after: dict[str, np.ndarray] = {}
    for outline in outlines:
        after[outline.class_name] = after.get(outline.class_name, False) | inside(outline.polygons, labels.shape)
    order = sorted(
        after, key=lambda name: (RANKS.get(classes.classes[classes.id_of(name)].role, 0), classes.id_of(name))
    )
    own = _structure(classes)[labels]  # an inclusion is its host's
    drawn = np.full(labels.shape, NOTHING, dtype=np.uint8)
    for name in order:
        drawn[after[name]] = classes.id_of(name)
    for name in order:
        drawn[after[name] & (own == classes.id_of(name))] = classes.id_of(name)
    for name in order:
        gained = after[name] & ~before[name] if name in before else after[name]
        drawn[gained] = classes.id_of(name)
    result = _surroundings(labels, own, drawn, before, classes)
    is_drawn = drawn != NOTHING
    result[is_drawn] = drawn[is_drawn]
    return _with_bodies(result, labels, drawn, classes)


def _surroundings(
    labels: np.ndarray, own: np.ndarray, drawn: np.ndarray, before: dict[str, np.ndarray], classes: ClassMap
) -> np.ndarray:
    """What lies outside all outlines: as it was, and where a layer was, what is nearest of another class."""
    result = labels.copy()
    table = _table(classes, "layer")
    freed = (drawn == NOTHING) & table[own]
    if not freed.any():
        return result
    settled = np.where(drawn == NOTHING, own, drawn)
    solid = ~_table(classes, "inclusion", "crack")[settled] & ~freed
    for layer in np.unique(own[freed]):
        beside = solid & (settled != layer)
        around = beside & (drawn == NOTHING)
        if not beside.any():
            raise InputError(f"some of what was outlined as {classes.names[layer]} was taken away, and the map has "
                             "no other class that it could be; outline that too")  # fmt: skip
        outlined = before[classes.names[layer]]
        for at, sources in (
            (freed & (own == layer) & outlined, beside),
            (freed & (own == layer) & ~outlined, around if around.any() else beside),
        ):
            if at.any():
                nearest = ndimage.distance_transform_edt(~sources, return_distances=False, return_indices=True)
                result[at] = settled[tuple(nearest[:, at])]
    return result


def _with_bodies(result: np.ndarray, labels: np.ndarray, drawn: np.ndarray, classes: ClassMap) -> np.ndarray:
    """Put the automatic inclusions back where their host is, and the cracks everywhere, unless drawn over."""
    for i, kind in enumerate(classes.classes):
        if kind.role == "inclusion":
            result[(labels == i) & (result == classes.id_of(str(kind.host)))] = i
        elif kind.role == "crack":
            result[(labels == i) & ((drawn == NOTHING) | _table(classes, "layer")[drawn])] = i
    return result


def _structure(classes: ClassMap) -> np.ndarray:
    """Table (256,) from class id to that of its layer: of the host for an inclusion, its own for all else."""
    table = np.arange(256, dtype=np.uint8)
    for i, kind in enumerate(classes.classes):
        if kind.role == "inclusion":
            table[i] = classes.id_of(str(kind.host))
    return table


def _table(classes: ClassMap, *roles: str) -> np.ndarray:
    """Table (256,) bool: whether a class id has one of these roles."""
    table = np.zeros(256, dtype=bool)
    table[[i for i, kind in enumerate(classes.classes) if kind.role in roles]] = True
    return table
