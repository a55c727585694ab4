"""What is trained on, and how images reach the model."""

import itertools
from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from sem_train.config.mixing import AnnealedShare, require_what_is_mixed
from sem_train.config.shared import PATCH_PX, Share
from semforge.settings import Settings

MOST_SCALE = 4


class SyntheticData(Settings):
    """Samples of a shard or dataset.h5."""

    path: Path
    held_out: int = Field(0, ge=0)  # the last n samples are for validation and never trained on
    limit: PositiveInt | None = None  # use only the first n samples
    scale: float | None = Field(None, gt=0, le=MOST_SCALE)  # resized by this; left out: as all images
    # new: training takes new micrographs of the specimens every epoch, of samples rendered with imaging.keep_passes
    imaging: Literal["stored", "new"] = "stored"
    made_by: str | None = None  # the command that makes the file, told to who lacks it


class RealData(Settings):
    """Labelled images in folders, with the specimen each was taken of.

    `images` and `labels` are paths below `root` with columns of the index in braces; `.*` at their end is
    any of PNG, TIFF and JPEG. Without an index `{name}` is whatever file is found, and every image is a
    specimen of its own.
    """

    root: Path  # relative paths are sought in the working folder, then below SEMFORGE_DATA
    images: str = "images/{name}.png"
    labels: str = "labels/{name}.png"
    # instances: 0 is background, every other value one particle and read as 1
    labels_are: Literal["classes", "instances"] = "classes"
    index: str | None = None  # CSV file below root
    specimen: str = "specimen"  # its column that says which images show one specimen
    unlabelled: tuple[int, ...] = ()  # grey values of labels that count neither in training nor in scores
    held_out: tuple[str, ...] = ()  # specimens for validation, never trained on
    excluded: tuple[str, ...] = ()  # specimens kept out of the run altogether, for a test
    only: tuple[str, ...] = ()  # names of the images to train on; left out: all that are left


class DataSettings(Settings):
    """What is trained on, and how images reach the model."""

    synthetic: tuple[SyntheticData, ...] = ()
    real: tuple[RealData, ...] = ()
    # share of real crops in a batch, constant or annealed; left out: all of what there is, else half
    real_fraction: Share | AnnealedShare | None = None
    crop_px: int = Field(256, ge=PATCH_PX, multiple_of=PATCH_PX)
    # images are resized by this, in training and in prediction; above 1 for networks that decide at a part of the size
    scale: float = Field(1.0, gt=0, le=MOST_SCALE)
    # of grey levels, in training and in prediction
    normalisation: Literal["percentile", "standard", "none", "clahe", "reference"] = "percentile"
    reference_levels: tuple[float, ...] = ()  # quantiles for `reference`; left out: taken from the training images

    @model_validator(mode="after")
    def _has_what_it_mixes(self) -> "DataSettings":
        levels = self.reference_levels
        if levels and self.normalisation != "reference":
            raise ValueError(f"'reference_levels' are for normalisation reference, found {self.normalisation}")
        if levels and (len(levels) < 2 or any(b < a for a, b in itertools.pairwise(levels))):
            raise ValueError("'reference_levels' are not two or more quantiles in rising order")
        require_what_is_mixed(bool(self.synthetic), bool(self.real), self.real_share)
        return self

    @property
    def real_share(self) -> float:
        """Share of real crops in all batches together."""
        return self.mixing.mean if isinstance(self.mixing, AnnealedShare) else self.mixing

    @property
    def mixing(self) -> float | AnnealedShare:
        """Share of real crops in a batch, constant or over the training."""
        if self.real_fraction is not None:
            return self.real_fraction
        return 0.0 if not self.real else 1.0 if not self.synthetic else 0.5
