"""What is trained, in whatever setting."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sem_train.classes import ClassMap
from sem_train.config import MODEL_OPTIONS, PATCH_PX, LossSettings, ModelSettings, TrainConfig, TrainingSettings
from semforge.errors import InputError
from semforge.settings import load_settings

# As the libraries (segmentation-models-pytorch, MONAI) build them if told nothing but the encoder
LIBRARY_DEFAULTS = {
    "unet": {"decoder_channels": (256, 128, 64, 32, 16)},
    "unetplusplus": {"decoder_channels": (256, 128, 64, 32, 16)},
    "deeplabv3plus": {"width": 256, "output_stride": 16, "dropout": 0.5},
    "segformer": {"width": 256},
    "swin_unetr": {"width": 24},
}
CROP_PX = 256
CLASSES = ClassMap.model_validate({
    "classes": [
        {"name": "outside", "role": "outside"}, {"name": "coat", "role": "layer"},
        {"name": "steel", "role": "substrate"}, {"name": "pore", "role": "inclusion", "host": "coat"},
    ]
})  # fmt: skip


@dataclass(frozen=True)
class Job:
    """A network with random weights, its loss, and of the training steps, batch, optimiser, rate and clipping."""

    model: ModelSettings
    loss: LossSettings
    training: TrainingSettings
    classes: ClassMap
    crop_px: int

    @property
    def library_model(self) -> ModelSettings:
        """The same network as its library has it."""
        return self.model.model_copy(update=LIBRARY_DEFAULTS.get(self.model.name, {}))

    def of_steps(self, steps: int) -> "Job":
        """The same with a schedule over so many steps."""
        changes = {"steps": steps, "warmup_steps": min(self.training.warmup_steps, steps - 1)}
        return replace(self, training=self.training.model_copy(update=changes))


def jobs_of(models: Sequence[str], config: Path | None, batch: int | None, crop_px: int | None) -> list[Job]:
    """A job for each model, or that of a training's settings; `batch` and `crop_px` if given.

    Raises InputError for what cannot be trained.
    """
    if models and config:
        raise InputError("--model and --config are both given, expected one of them")
    if config:
        told = load_settings(config, TrainConfig)
        jobs = [Job(told.model, told.loss, told.training, told.classes, told.data.crop_px)]
    else:
        for name in models:
            if name not in MODEL_OPTIONS:
                raise InputError(f"--model {name!r} is unknown, expected one of {', '.join(MODEL_OPTIONS)}")
        chosen = [ModelSettings(name=name) for name in dict.fromkeys(models or ["unet"])]
        jobs = [Job(model, LossSettings(), TrainingSettings(), CLASSES, CROP_PX) for model in chosen]
    jobs = [_sized(job, batch or job.training.batch_size, crop_px or job.crop_px) for job in jobs]
    for job in jobs:
        if job.crop_px % PATCH_PX:
            raise InputError(f"--crop is {job.crop_px}, expected a multiple of {PATCH_PX}")
        if job.model.name == "deeplabv3plus" and job.training.batch_size == 1:
            raise InputError("--batch is 1, expected at least 2: deeplabv3plus pools crops to one pixel")
    return jobs


def _sized(job: Job, batch: int, crop_px: int) -> Job:
    return replace(job, training=job.training.model_copy(update={"batch_size": batch}), crop_px=crop_px)
