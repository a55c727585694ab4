"""Predicted against true label map: pixels, outlines, and the measurements that a laboratory takes from them."""

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from sem_train.classes import ClassMap
from sem_train.config import UNLABELLED
from sem_train.experiments.results import Measured, Score
from sem_train.measure import measure_section, prepare
from sem_train.measure.bodies.inclusions import area_percent
from sem_train.metrics import confusion


def score(predicted: np.ndarray, truth: np.ndarray, classes: ClassMap, unlabelled: int = UNLABELLED) -> Score:
    """Compare class ids (H, W). Lengths are in pixels, areas in percent of the host's, of particles of the image's.

    Pixels that are `unlabelled` in `truth` count neither for `counts` nor for outlines. For thickness and areas, which
    need whole maps, the rim without labels is cut off, and each unlabelled pixel further in gets the class of the
    nearest labelled one, in both maps.
    Raises ValueError if the shapes differ, InputError if an id has no class.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"predicted labels are {predicted.shape}, true ones {truth.shape}")
    known = truth != unlabelled
    thickness, area = _measured(predicted, truth, known, classes)
    counts = confusion(predicted, np.where(known, truth, UNLABELLED), len(classes))
    boundaries = {name: boundary_distance_px(predicted == i, truth == i, known) for i, name in enumerate(classes.names)}
    return Score(counts.tolist(), boundaries, thickness, area)


def boundary_distance_px(predicted: np.ndarray, truth: np.ndarray, known: np.ndarray | None = None) -> float | None:
    """Mean distance between the outlines of two masks (H, W) bool: one way, the other way, and the mean of both.

    An outline runs between pixels: it is the set of middles of the pixel sides that part the mask from the rest. The
    frame of the image is no outline, nor is a side with a pixel that is not `known`. None where a mask has no outline.
    """
    sides = [_outline(mask, np.ones(mask.shape, dtype=bool) if known is None else known) for mask in (predicted, truth)]
    if not all(len(points) for points in sides):
        return None
    one, other = (KDTree(points) for points in sides)
    return float((one.query(other.data)[0].mean() + other.query(one.data)[0].mean()) / 2)


def _outline(mask: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Middles (N, 2) of pixel sides with the mask on one hand only; pixel centres are whole numbers."""
    below = np.argwhere((mask[1:] != mask[:-1]) & known[1:] & known[:-1])
    beside = np.argwhere((mask[:, 1:] != mask[:, :-1]) & known[:, 1:] & known[:, :-1])
    return np.concatenate([below + np.array([0.5, 0.0]), beside + np.array([0.0, 0.5])])


def _measured(
    predicted: np.ndarray, truth: np.ndarray, known: np.ndarray, classes: ClassMap
) -> tuple[dict[str, Measured], dict[str, Measured]]:
    """Thickness of each layer, area percent of each inclusion, crack and particle class."""
    layers = [c.name for c in classes.with_role("layer")]
    areas = [c.name for c in classes.classes if c.role in ("inclusion", "crack", "particle")]
    if not known.any():
        return {name: Measured(None, None) for name in layers}, {name: Measured(None, None) for name in areas}
    true, seen = (_measures(whole, classes) for whole in _without_gaps(known, truth, predicted))
    return (
        {name: Measured(true[0][name], seen[0][name]) for name in layers},
        {name: Measured(true[1][name], seen[1][name]) for name in areas},
    )


def _measures(labels: np.ndarray, classes: ClassMap) -> tuple[dict[str, float | None], dict[str, float | None]]:
    section = prepare(labels, _without_particles(classes))
    field = measure_section(section, None)
    area = {name: inclusion.area_percent for name, inclusion in field.inclusions.items()}
    for crack in classes.with_role("crack"):
        area[crack.name] = area_percent(section.mask(crack.name), section.envelopes[str(crack.host)])
    for particle in classes.with_role("particle"):
        area[particle.name] = 100 * float(section.mask(particle.name).mean())
    return {name: layer.mean for name, layer in field.layers.items()}, area


def _without_particles(classes: ClassMap) -> ClassMap:
    """The classes with particles as background: measuring each of them takes long, and their area needs none of it."""
    plain = [c.model_copy(update={"role": "background"}) if c.role == "particle" else c for c in classes.classes]
    return classes.model_copy(update={"classes": tuple(plain)})


def _without_gaps(known: np.ndarray, *maps: np.ndarray) -> list[np.ndarray]:
    """The maps as far as labels reach, unlabelled pixels within filled from the nearest labelled one."""
    if known.all():
        return list(maps)
    window = tuple(slice(int(i.min()), int(i.max()) + 1) for i in np.nonzero(known))
    nearest = ndimage.distance_transform_edt(~known[window], return_distances=False, return_indices=True)
    return [labels[window][tuple(nearest)] for labels in maps]
