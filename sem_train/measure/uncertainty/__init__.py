"""How sure a measured number is: standard uncertainties by source, 95 % intervals, several fields in one result."""

from sem_train.measure.uncertainty.budget import CORRECTED, SLOW, is_estimated, uncertainties
from sem_train.measure.uncertainty.estimate import Estimate, Spread
from sem_train.measure.uncertainty.fields import Combined, FieldRows, combine_fields, specimen_rows
from sem_train.measure.uncertainty.segmentation import (
    Measured,
    Observation,
    SegmentationError,
    fit_segmentation_error,
    model_digest,
    read_segmentation_error,
    write_segmentation_error,
)
from sem_train.measure.uncertainty.series import SeriesMean, series_mean
from sem_train.measure.uncertainty.sources import CALIBRATION_PERCENT, Sources

__all__ = ["CALIBRATION_PERCENT", "CORRECTED", "SLOW", "Combined", "Estimate", "FieldRows", "Measured", "Observation",
           "SegmentationError", "SeriesMean", "Sources", "Spread", "combine_fields", "fit_segmentation_error",
           "is_estimated", "model_digest", "read_segmentation_error", "series_mean", "specimen_rows", "uncertainties",
           "write_segmentation_error"]  # fmt: skip
