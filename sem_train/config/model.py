"""Which network, from which weights."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, model_validator

from semforge.settings import Settings

ANY_MODEL = ("name", "start_from")  # settings that every model has
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
    start_from: Path | None = None  # run folder or checkpoint whose weights a run begins with, of an equal network
    encoder: str | None = None  # any of segmentation-models-pytorch; tu-NAME: of timm
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
        strange = [key for key in given if key in cls.model_fields and key not in ANY_MODEL and key not in options]
        if strange:
            raise ValueError(
                f"{strange[0]!r} is not a setting of {name}, which has {', '.join(options)}; "
                f"another network is set as a whole, e.g. model='{{name: {name}}}'"
            )
        return {**options, **given}

    @model_validator(mode="after")
    def _can_be_built(self) -> "ModelSettings":
        if self.name == "swin_unetr" and self.width % 12:
            raise ValueError(f"'width' of swin_unetr is {self.width}, expected a multiple of 12")
        return self
