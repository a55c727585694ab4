"""What a model measures beside what is true, image by image: what its segmentation error is calibrated from."""

from typing import Any

import numpy as np

from sem_train.agreement import true_area_percent, true_thickness_um
from sem_train.classes import ClassMap
from sem_train.measure import FieldMeasurement, measure_label_map
from sem_train.measure.tables.rows import rows_of
from sem_train.measure.uncertainty.budget import estimated_rows
from sem_train.measure.uncertainty.sampling import Key
from sem_train.measure.uncertainty.segmentation import Measured, Observation


def observe(
    case: str,
    truth: dict[str, Any],
    true_labels: np.ndarray,
    measured: FieldMeasurement,
    classes: ClassMap,
    pixel_size_um: float,
) -> Observation:
    """One image of known truth.

    True are the mean thickness and the area shares of the specimen's geometry; all else is measured in the exact label
    map (H, W) as in the predicted one.
    """
    exact = measure_label_map(true_labels, classes, pixel_size_um)
    return Observation(case, pixel_size_um, _quantities(measured), _quantities(exact) | _of_geometry(truth, classes))


def _quantities(field: FieldMeasurement) -> dict[Key, Measured]:
    """By kind, name and quantity; of layers only those that are there."""
    return {
        (row.kind, row.name, row.quantity): Measured(float(row.value or 0.0), row.unit)
        for row in estimated_rows(rows_of("", field))
        if row.kind != "layer" or field.layers[row.name].present
    }


def _of_geometry(truth: dict[str, Any], classes: ClassMap) -> dict[Key, Measured]:
    found = {}
    for layer in classes.with_role("layer"):
        if (thickness := true_thickness_um(truth, layer)) is not None:
            found[("layer", layer.name, "thickness_mean")] = Measured(thickness, "um")
    for inclusion in classes.with_role("inclusion"):
        host = classes.classes[classes.id_of(str(inclusion.host))]
        if (share := true_area_percent(truth, inclusion, host)) is not None:
            found[("inclusion", inclusion.name, "area_percent")] = Measured(share, "%")
    return found
