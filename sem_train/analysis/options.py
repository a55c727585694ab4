"""What a user decides of an analysis."""

import hashlib
import json
from pathlib import Path

from pydantic import Field

from sem_train.inference import TrainedModel
from sem_train.measure.uncertainty import CALIBRATION_PERCENT, SegmentationError, Sources
from sem_train.provenance import versions
from semforge.settings import Settings


class AnalysisOptions(Settings):
    """How images are read and measured. Angles in degrees."""

    pixel_size_um: float | None = Field(None, gt=0, allow_inf_nan=False)  # edge of a square pixel
    accept_scale_bar: bool = False  # take the pixel size off the scale bar where nothing else says it
    section_tilt_deg: float = Field(0.0, ge=0, le=45)  # of the section against the layer's normal
    calibration_percent: float | None = Field(None, ge=0, allow_inf_nan=False)  # standard uncertainty of the scale
    roughness_cutoff: float | None = Field(None, gt=0, allow_inf_nan=False)  # µm, or pixels without a scale
    lines: int = Field(10, ge=0)  # measurement lines across each layer for Fiji; 0 writes none


def sources_of(scale_source: str, options: AnalysisOptions, segmentation: SegmentationError | None) -> Sources:
    """The sources of uncertainty of images whose scale is from there."""
    stated = options.calibration_percent
    return Sources(
        calibration_percent=CALIBRATION_PERCENT[scale_source] if stated is None else stated,
        tilt_deg=options.section_tilt_deg,
        segmentation=segmentation,
    )


def settings_digest(options: AnalysisOptions, checkpoint_sha256: str, segmentation: SegmentationError | None) -> str:
    """Of all that decides a result beside the image: equal digests, equal results."""
    error = None if segmentation is None else segmentation.model_dump(mode="json")
    about = {"options": options.model_dump(mode="json"), "model": checkpoint_sha256, "segmentation": error,
             "versions": versions()}  # fmt: skip
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]


def provenance_of(model: TrainedModel, run: Path, checkpoint_sha256: str) -> dict[str, str]:
    """Where results of a model come from, as a page names it."""
    plan = model.config
    return {
        "model": f"{run} ({plan.model.name}, scale {plan.data.scale:g})",
        "checkpoint SHA-256": checkpoint_sha256,
        **{f"{name} version": version for name, version in versions().items()},
    }
