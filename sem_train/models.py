"""Segmentation networks by name: one grey channel in, one logit a class out."""

from collections.abc import Callable
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
from torch import nn

from sem_train.config import ModelSettings
from semforge.errors import InputError
from semforge.files import existing_file


def build_model(settings: ModelSettings, n_classes: int, seed: int, load_weights: bool = True) -> nn.Module:
    """A network (N, 1, H, W) float -> (N, n_classes, H, W) logits; H and W must be multiples of 32.

    The seed fixes its initial weights and leaves the global random state alone. `load_weights` False skips
    `settings.weights`, for a model that gets all of its weights from a checkpoint.
    Raises InputError for an unknown encoder, or for weights that are not there or do not fit.
    """
    if settings.encoder not in smp.encoders.encoders:
        raise InputError(
            f"model.encoder {settings.encoder!r} is unknown, expected e.g. resnet18, resnet34, efficientnet-b0, "
            "mobilenet_v2 or another encoder of segmentation-models-pytorch"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MODELS[settings.name](settings, n_classes)
    if load_weights and settings.weights != "none":
        _load_encoder(model.encoder, settings)
    return model


def build_unet(settings: ModelSettings, n_classes: int) -> nn.Module:
    """U-Net (Ronneberger et al. 2015) over a classification encoder."""
    return smp.Unet(
        settings.encoder, encoder_weights=None, in_channels=1, classes=n_classes,
        decoder_channels=settings.decoder_channels,
    )  # fmt: skip


MODELS: dict[str, Callable[[ModelSettings, int], nn.Module]] = {"unet": build_unet}


def _load_encoder(encoder: nn.Module, settings: ModelSettings) -> None:
    path = _imagenet_file(settings.encoder) if settings.weights == "imagenet" else Path(settings.weights)
    stored = _read_weights(existing_file(path, "encoder weights (none, imagenet, or a .pth or .safetensors file)"))
    stored = {key.removeprefix("module.").removeprefix("encoder."): value for key, value in stored.items()}
    wanted = encoder.state_dict()
    chosen = {key: _one_channel(stored[key], value) for key, value in wanted.items() if key in stored}
    misfits = [key for key, value in chosen.items() if value.shape != wanted[key].shape]
    missing = [key for key in wanted if key not in stored and not key.endswith("num_batches_tracked")]
    if missing or misfits:
        raise InputError(
            f"{path}: has no {(missing + misfits)[0]!r} that fits a {settings.encoder}, "
            f"expected the weights of this encoder ({len(missing + misfits)} of {len(wanted)} tensors do not fit)"
        )
    encoder.load_state_dict(chosen, strict=False)


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        stored = torch.load(path, map_location="cpu", weights_only=True)
        return stored.get("state_dict", stored)
    except Exception as error:  # each format fails in its own ways
        raise InputError(f"{path}: cannot be read as encoder weights, expected .pth or .safetensors") from error


def _one_channel(stored: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """A first convolution over RGB acts on a grey image as the sum over its input channels."""
    colour_to_grey = stored.ndim == 4 and stored.shape[1] == 3 and wanted.shape[1] == 1
    return stored.sum(dim=1, keepdim=True) if colour_to_grey else stored


def _imagenet_file(encoder: str) -> Path:
    """The ImageNet weights of an encoder, from the Hugging Face cache or the network."""
    from huggingface_hub import hf_hub_download

    source = smp.encoders.encoders[encoder]["pretrained_settings"].get("imagenet")
    if source is None:
        raise InputError(f"model.weights 'imagenet': there are none for {encoder!r}; use none or a file")
    try:
        return Path(hf_hub_download(source["repo_id"], "model.safetensors", revision=source["revision"]))
    except Exception as error:  # no network, no host, refused: all mean the same to the user
        raise InputError(
            f"model.weights 'imagenet': the weights of {encoder} cannot be fetched; get "
            f"https://huggingface.co/{source['repo_id']}/resolve/{source['revision']}/model.safetensors "
            "elsewhere and set model.weights to the file"
        ) from error
