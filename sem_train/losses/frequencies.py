"""Class weights from how often each class is seen."""

import logging

import numpy as np

from sem_train.classes import ClassMap
from sem_train.config import LossSettings

log = logging.getLogger(__name__)


def class_weights(settings: LossSettings, class_share: np.ndarray, classes: ClassMap) -> np.ndarray | None:
    """Weight a class (C,) float64, or None where all count alike; only ratios between weights matter.

    `inverse_frequency`: 1 for the most frequent class, largest share / share for others, at most `weight_cap`.
    `median_frequency`: median share / share (Eigen & Fergus 2015), within 1/`weight_cap` and `weight_cap`.
    A class that the training data never shows counts like the rarest one that it shows, and is warned of:
    the model cannot learn it, but it may well learn the others.
    """
    if settings.class_weights == "none":
        return None
    if isinstance(settings.class_weights, tuple):
        return np.array(settings.class_weights, dtype=np.float64)
    shown = class_share > 0
    if not shown.all():
        unseen = ", ".join(name for name, there in zip(classes.names, shown, strict=True) if not there)
        log.warning("no pixel of the training data shows %s; the model will not learn it", unseen)
    rarest, median = class_share[shown].min(), np.median(class_share[shown])
    class_share = np.where(shown, class_share, rarest)
    if settings.class_weights == "inverse_frequency":
        return np.minimum(class_share.max() / class_share, settings.weight_cap)
    return np.clip(median / class_share, 1 / settings.weight_cap, settings.weight_cap)
