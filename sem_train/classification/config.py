"""What a user may write in configs/classify."""

from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from sem_train.config.augment import AugmentSettings
from sem_train.config.mixing import require_what_is_mixed
from sem_train.config.shared import NonNegative, Share
from sem_train.config.training import TrainingSettings
from semforge.settings import Settings
from semforge.spectra.axis import EnergyAxis

Inputs = Literal["image", "spectrum", "late_fusion", "cross_attention"]


class ParticleClass(Settings):
    """One class. Its id is its position in the list."""

    name: str = Field(min_length=1)
    populations: tuple[str, ...] | None = None  # of synthetic samples; left out: the one of the class's name
    labels: tuple[str, ...] | None = None  # in the class column of real folders; left out: the class's name

    def takes(self, name: str, kind: Literal["populations", "labels"]) -> bool:
        """Whether a population or a label is of this class."""
        given = self.populations if kind == "populations" else self.labels
        return name in (given if given is not None else (self.name,))


class CropSettings(Settings):
    """How a particle's picture is cut out of a micrograph."""

    side_px: int = Field(64, ge=16, multiple_of=16)  # of the square that the network sees
    context: NonNegative = 0.25  # margin on each side, in longer sides of the particle's box
    # of what else the crop shows: all stays; other particles are painted over with the substrate's grey; and the
    # substrate as well
    around: Literal["kept", "neighbours_masked", "masked"] = "kept"
    normalisation: Literal["percentile", "standard", "none"] = "percentile"  # of the micrograph's grey levels
    size_input: bool = True  # the network is told how large the particle is, in µm where the scale is known
    shortest_px: PositiveInt = 6  # a particle whose box is smaller on both sides is left out
    most_occluded: Share = 0.5  # a particle of which more is hidden is left out
    cut: bool = False  # also particles that the frame cuts


class SyntheticParticles(Settings):
    """Samples of a shard or dataset.h5."""

    path: Path
    take: Literal["particles", "pictures"] = "particles"  # pictures: the whole one, where it shows one class only
    held_out: int = Field(0, ge=0)  # the last n samples are for validation and never trained on
    excluded: int = Field(0, ge=0)  # the n samples before those are kept out of the run altogether, for a test
    limit: PositiveInt | None = None  # train on the first n samples only
    made_by: str | None = None  # the command that makes the file, told to who lacks it


class RealParticles(Settings):
    """Pictures of one particle or one kind of particle each, listed in a CSV file below `root`."""

    root: Path  # relative paths are sought in the working folder, then below SEMFORGE_DATA
    index: str = "index.csv"
    file: str = "file"  # its column with the picture's path below root
    label: str = "class"  # its column with the class
    # its column that says which pictures show one specimen, or a pattern with one group that is matched in the path
    specimen: str | None = None
    fold: str | None = None  # its column with the fold
    spectrum: str | None = None  # its column with a spectrum file below root, empty where there is none
    pixel_size_um: str | None = None  # its column with the edge of a pixel, empty where it is unknown
    held_out: tuple[str, ...] = ()  # folds (without such a column: specimens) for validation, never trained on
    excluded: tuple[str, ...] = ()  # likewise, kept out of the run altogether, for a test
    held_out_share: float = Field(0, ge=0, lt=1)  # share of the specimens left to train on that validate instead
    limit: PositiveInt | None = None  # train on so many specimens only, drawn by the seed
    ignored: tuple[str, ...] = ()  # values of the class column that are no class; other unknown ones are an error


class SpectraSettings(Settings):
    """What a spectrum is to the network."""

    channels: PositiveInt = 1024
    width_ev: PositiveFloat = 10.0
    offset_ev: float = 0.0
    fewest_counts: PositiveInt = 20  # a spectrum with fewer above the zero peak counts as missing
    # training thins spectra to a share of their counts, log-uniform from this to 1, as shorter live times would
    thinned_to: float = Field(1.0, gt=0, le=1)

    @property
    def axis(self) -> EnergyAxis:
        """The axis that all spectra are brought to."""
        return EnergyAxis(self.channels, self.width_ev, self.offset_ev)


class ParticleData(Settings):
    """What is trained on, and how it reaches the model."""

    synthetic: tuple[SyntheticParticles, ...] = ()
    real: tuple[RealParticles, ...] = ()
    real_fraction: Share | None = None  # of a batch; left out: all of what there is, else half
    balance: Literal["classes", "none"] = "classes"  # classes: each as often as any other
    crops: CropSettings = CropSettings()
    spectra: SpectraSettings = SpectraSettings()

    @model_validator(mode="after")
    def _has_what_it_mixes(self) -> "ParticleData":
        require_what_is_mixed(bool(self.synthetic), bool(self.real), self.real_share)
        return self

    @property
    def real_share(self) -> float:
        """Share of real particles in a batch."""
        if self.real_fraction is not None:
            return self.real_fraction
        return 0.0 if not self.real else 1.0 if not self.synthetic else 0.5


class ImageBranchSettings(Settings):
    """What looks at the picture."""

    name: str = "small"  # small, or a network of timm: resnet18, efficientnet_b0, mobilenetv3_small_100, vgg11_bn …
    width: PositiveInt = 24  # channels of the first stage of `small`
    # none, imagenet (fetched by timm), a file, or a run of ours or its checkpoint, whose image branch is taken
    weights: str = "none"
    frozen: bool | int = False  # all of it, or the first n stages, stay as they began


class ClassifierSettings(Settings):
    """Which network, from which weights."""

    name: Inputs = "late_fusion"
    image: ImageBranchSettings = ImageBranchSettings()
    width: PositiveInt = 128  # features of each branch, and of what joins them
    dropout: float = Field(0.2, ge=0, lt=1)
    start_from: Path | None = None  # run folder or checkpoint whose weights a run begins with, of an equal network
    # probability with which training leaves out the picture or the spectrum of a particle that has both
    drop_image: float = Field(0.15, ge=0, lt=1)
    drop_spectrum: float = Field(0.15, ge=0, lt=1)

    @model_validator(mode="after")
    def _keeps_something(self) -> "ClassifierSettings":
        if self.drop_image + self.drop_spectrum >= 1:
            raise ValueError("'drop_image' and 'drop_spectrum' leave no particle with both, expected a sum below 1")
        return self

    @property
    def sees_image(self) -> bool:
        """Whether pictures are looked at."""
        return self.name != "spectrum"

    @property
    def sees_spectrum(self) -> bool:
        """Whether spectra are looked at."""
        return self.name != "image"


class CalibrationSettings(Settings):
    """What is worked out on the held-out particles at the end of a training."""

    # what says that a particle is like none that was trained on
    reject: Literal["relative_mahalanobis", "mahalanobis", "energy", "max_probability"] = "relative_mahalanobis"
    false_rejection: float = Field(0.05, gt=0, lt=1)  # share of known particles that are rejected
    # how frequent classes are taken to be where training balanced them: as among the particles trained on (the real
    # ones, if there are any), or all alike
    prior: Literal["training", "equal"] = "training"


class ClassifyPlan(Settings):
    """Everything about a training but its name and place."""

    data: ParticleData
    classes: tuple[ParticleClass, ...] = Field(min_length=2, max_length=255)
    model: ClassifierSettings = ClassifierSettings()
    augment: AugmentSettings = AugmentSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    training: TrainingSettings = TrainingSettings(batch_size=64)

    @model_validator(mode="after")
    def _classes_differ(self) -> "ClassifyPlan":
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"'classes' name {max(self.names, key=self.names.count)!r} twice")
        for kind in ("populations", "labels"):
            taken = [
                name for c in self.classes for name in (getattr(c, kind) if getattr(c, kind) is not None else [c.name])
            ]
            twice = sorted({name for name in taken if taken.count(name) > 1})
            if twice:
                raise ValueError(f"'classes' have {twice[0]!r} twice among their {kind}")
        return self

    @model_validator(mode="after")
    def _can_be_done(self) -> "ClassifyPlan":
        if self.augment.levels:
            raise ValueError("'augment.levels' is not for particles, expected 0")
        if (self.training.devices or 1) > 1 or (self.training.num_nodes or 1) > 1:
            raise ValueError("'training.devices' and 'training.num_nodes' are more than 1, expected one process")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in order of id."""
        return tuple(c.name for c in self.classes)


class ClassifyConfig(ClassifyPlan):
    """A training run. Its folder `out` holds checkpoints, history and this configuration."""

    name: str = Field(min_length=1)
    out: Path
