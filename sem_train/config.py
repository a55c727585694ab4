"""Training and experiment settings: what a user may write in configs/train and configs/experiments."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
    model_validator,
)

from sem_train.classes import ClassMap
from semforge.settings import Settings

UNLABELLED = 255  # class id of pixels that count neither in training nor in scores
PATCH_PX = 32  # encoders halve five times, so crops are multiples of this

Share = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]
Classes = Annotated[ClassMap, BeforeValidator(lambda v: {"classes": v} if isinstance(v, list | tuple) else v)]


class SyntheticData(Settings):
    """Samples of a shard or dataset.h5."""

    path: Path
    held_out: int = Field(0, ge=0)  # the last n samples are for validation and never trained on
    limit: PositiveInt | None = None  # use only the first n samples
    scale: float | None = Field(None, gt=0, le=1)  # resized by this; left out: as all images
    made_by: str | None = None  # the command that makes the file, told to who lacks it


class RealData(Settings):
    """Labelled images in folders, with the specimen each was taken of.

    `images` and `labels` are paths below `root` with columns of the index in braces. Without an
    index `{name}` is whatever file is found, and every image is a specimen of its own.
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


class DataSettings(Settings):
    """What is trained on, and how images reach the model."""

    synthetic: tuple[SyntheticData, ...] = ()
    real: tuple[RealData, ...] = ()
    real_fraction: Share | None = None  # share of real crops in a batch; left out: all of what there is, else half
    crop_px: int = Field(256, ge=PATCH_PX, multiple_of=PATCH_PX)
    scale: float = Field(1.0, gt=0, le=1)  # images are resized by this, in training and in prediction
    normalisation: Literal["percentile", "standard", "none"] = "percentile"

    @model_validator(mode="after")
    def _has_what_it_mixes(self) -> "DataSettings":
        if not self.synthetic and not self.real:
            raise ValueError("neither 'synthetic' nor 'real' data is given, expected one at least")
        if self.real_share > 0 and not self.real:
            raise ValueError("'real_fraction' is above 0 but there is no 'real' data")
        if self.real_share < 1 and not self.synthetic:
            raise ValueError("'real_fraction' is below 1 but there is no 'synthetic' data")
        return self

    @property
    def real_share(self) -> float:
        """Share of real crops in a batch."""
        if self.real_fraction is not None:
            return self.real_fraction
        return 0.0 if not self.real else 1.0 if not self.synthetic else 0.5


_DECODER_CHANNELS = (128, 64, 48, 32, 16)
MODEL_OPTIONS: dict[str, dict[str, Any]] = {  # what each model can be told, and what it does if not told
    "unet": {"encoder": "resnet18", "weights": "none", "decoder_channels": _DECODER_CHANNELS},
    "unetplusplus": {"encoder": "resnet18", "weights": "none", "decoder_channels": _DECODER_CHANNELS},
    "deeplabv3plus": {"encoder": "resnet18", "weights": "none", "width": 256, "output_stride": 16, "dropout": 0.5},
    "segformer": {"encoder": "mit_b0", "weights": "none", "width": 256},
    "swin_unetr": {"width": 24},
    "fno": {"width": 32, "blocks": 8, "wavelength_px": 8.0},
}


class ModelSettings(Settings):
    """Which network, from which weights. What is left out is as `MODEL_OPTIONS` has it, None if the model has none."""

    name: Literal["unet", "unetplusplus", "deeplabv3plus", "segformer", "swin_unetr", "fno"] = "unet"
    encoder: str | None = None  # any of segmentation-models-pytorch
    weights: str | None = None  # of the encoder: none, imagenet, micronet, imagenet-micronet, or a file
    decoder_channels: tuple[PositiveInt, ...] | None = Field(None, min_length=5, max_length=5)
    width: PositiveInt | None = None  # channels: of the decoder, of the first stage (swin_unetr), of a layer (fno)
    output_stride: Literal[8, 16] | None = None  # of the encoder with atrous convolution
    dropout: float | None = Field(None, ge=0, lt=1)  # behind the pyramid pooling
    blocks: PositiveInt | None = None  # spectral blocks
    wavelength_px: float | None = Field(None, ge=4)  # the shortest wave that a spectral convolution sees

    @model_validator(mode="before")
    @classmethod
    def _as_the_model_has_them(cls, values: Any) -> Any:
        name = values.get("name", "unet") if isinstance(values, dict) else None
        if name not in MODEL_OPTIONS:
            return values  # refused by the fields
        given = {key: value for key, value in values.items() if value is not None}
        options = MODEL_OPTIONS[name]
        strange = [key for key in given if key in cls.model_fields and key != "name" and key not in options]
        if strange:
            raise ValueError(f"{strange[0]!r} is not a setting of {name}, which has {', '.join(options)}")
        return {**options, **given}

    @model_validator(mode="after")
    def _can_be_built(self) -> "ModelSettings":
        if self.name == "swin_unetr" and self.width % 12:
            raise ValueError(f"'width' of swin_unetr is {self.width}, expected a multiple of 12")
        return self


class LossSettings(Settings):
    """Factor of each loss in the sum that is minimised, 0 for none of it, and weights of the classes in all of them."""

    dice: NonNegative = 1.0
    cross_entropy: NonNegative = 1.0
    focal: NonNegative = 0.0
    focal_gamma: float = Field(2.0, ge=1)  # how little a pixel counts that is right already
    tversky: NonNegative = 0.0
    tversky_alpha: NonNegative = 0.3  # weight of false positives
    tversky_beta: NonNegative = 0.7  # and of false negatives
    lovasz: NonNegative = 0.0
    boundary: NonNegative = 0.0  # about 0.01, beside another: distances are in pixels
    class_weights: Literal["none", "inverse_frequency", "median_frequency"] | tuple[NonNegative, ...] = "none"
    weight_cap: float = Field(10.0, ge=1)  # limit of weights from frequencies

    @model_validator(mode="after")
    def _is_a_loss(self) -> "LossSettings":
        names = ("dice", "cross_entropy", "focal", "tversky", "lovasz", "boundary")
        if not any(getattr(self, name) for name in names):
            raise ValueError(f"{', '.join(names)} are all 0, expected one above 0")
        if self.tversky_alpha + self.tversky_beta == 0:
            raise ValueError("'tversky_alpha' and 'tversky_beta' are both 0, expected one above 0")
        return self


class AugmentSettings(Settings):
    """Random changes of training crops; 0 turns one off. Intensities are in units of the normalised image."""

    flip: Literal["none", "horizontal", "vertical", "both"] = "both"
    rotate_degrees: float = Field(0, ge=0, le=180)  # angle uniform within ±
    zoom: float = Field(0, ge=0, lt=1)  # factor uniform within 1 ±
    contrast: float = Field(0, ge=0, lt=1)  # gamma uniform within 1 ±
    brightness: NonNegative = 0  # offset uniform within ±
    blur_px: NonNegative = 0  # Gaussian sd uniform from 0
    noise: NonNegative = 0  # Gaussian sd uniform from 0
    levels: int = Field(0, ge=0, le=20)  # control points of a random monotone change of grey levels; at least 3
    invert: Share = 0  # probability that bright and dark change places

    @model_validator(mode="after")
    def _enough_points(self) -> "AugmentSettings":
        if self.levels in (1, 2):
            raise ValueError(f"'levels' is {self.levels}, expected 0 or at least 3")
        return self


class TrainingSettings(Settings):
    """Optimisation and the machine."""

    steps: PositiveInt = 1000
    batch_size: PositiveInt = 8  # crops a step, over all processes, which share it evenly
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: PositiveFloat = 2e-3  # the highest of the schedule
    schedule: Literal["one_cycle", "cosine", "poly", "constant"] = "one_cycle"
    momentum: float | None = Field(None, ge=0, lt=1, validate_default=True)  # of sgd; left out: 0.9
    weight_decay: NonNegative = 1e-2
    gradient_clip: NonNegative = 1.0  # largest norm; 0 turns it off
    precision: Literal["auto", "bf16", "32"] = "auto"
    channels_last: bool = True
    seed: int = Field(0, ge=0)
    val_every: PositiveInt = 100  # steps between validations and checkpoints
    checkpoint_minutes: PositiveFloat = 10  # between checkpoints, at most
    workers: int = Field(0, ge=0)  # loader processes, of each process that trains
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"  # auto: the GPU if there is one
    devices: PositiveInt | None = None  # processes a node, one a GPU; left out: as srun started them, or else 1
    num_nodes: PositiveInt | None = None  # left out: as srun started them, or else 1
    strategy: Literal["auto", "ddp"] = "auto"  # auto: DDP where there are several processes

    @field_validator("momentum")
    @classmethod
    def _is_of_sgd(cls, momentum: float | None, others: ValidationInfo) -> float | None:
        sgd = others.data.get("optimizer") == "sgd"
        if momentum is not None and not sgd:
            raise ValueError("adamw has no 'momentum', expected it with optimizer sgd")
        return 0.9 if momentum is None and sgd else momentum


class Plan(Settings):
    """Everything about a training but its name and place."""

    data: DataSettings
    classes: Classes
    model: ModelSettings = ModelSettings()
    loss: LossSettings = LossSettings()
    augment: AugmentSettings = AugmentSettings()
    training: TrainingSettings = TrainingSettings()

    @model_validator(mode="after")
    def _classes_fit(self) -> "Plan":
        n = len(self.classes)
        weights = self.loss.class_weights
        if isinstance(weights, tuple) and (len(weights) != n or sum(weights) == 0):
            raise ValueError(f"'loss.class_weights' has {len(weights)} values, expected {n}, one a class, not all 0")
        return self

    @model_validator(mode="after")
    def _batch_can_be_normalised(self) -> "Plan":
        if self.model.name == "deeplabv3plus" and self.training.batch_size == 1:
            raise ValueError("'training.batch_size' is 1, expected at least 2: deeplabv3plus pools crops to one pixel")
        return self


class TrainConfig(Plan):
    """A training run. Its folder `out` holds checkpoints, history and this configuration."""

    name: str = Field(min_length=1)
    out: Path


class FoldSettings(Settings):
    """Grouped cross-validation: the images of a specimen are all in one fold."""

    count: int = Field(ge=2)
    run: tuple[int, ...] | None = None  # which folds to run; left out: all
    seed: int = Field(0, ge=0)  # which specimens share a fold

    @model_validator(mode="after")
    def _exist(self) -> "FoldSettings":
        wrong = [fold for fold in self.run or () if not 0 <= fold < self.count]
        if wrong:
            raise ValueError(f"'run' names fold {wrong[0]}, expected 0 to {self.count - 1}")
        return self

    @property
    def chosen(self) -> tuple[int, ...]:
        """The folds to run."""
        return self.run if self.run is not None else tuple(range(self.count))


class ExperimentConfig(Settings):
    """Arms that differ only in the share of real crops, trained alike and tested on unseen specimens."""

    name: str = Field(min_length=1)
    out: Path
    arms: dict[str, Share]  # arm -> share of real crops in a batch
    baseline: str  # the arm that the others are compared with
    folds: FoldSettings
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0,), min_length=1)
    plan: Plan

    @model_validator(mode="after")
    def _consistent(self) -> "ExperimentConfig":
        if self.baseline not in self.arms:
            raise ValueError(f"baseline {self.baseline!r} is not one of the arms {', '.join(self.arms)}")
        data = self.plan.data
        if len(data.real) != 1:
            raise ValueError("plan.data.real needs exactly one real data set: its specimens are what is split")
        if not data.synthetic and min(self.arms.values()) < 1:
            raise ValueError("an arm has synthetic crops but plan.data.synthetic is empty")
        if data.real[0].held_out or any(source.held_out for source in data.synthetic):
            raise ValueError("plan.data holds data out, expected none: every arm is scored after its last step")
        return self
