"""Weights for an encoder: ImageNet or MicroNet by name, or a file."""

from pathlib import Path

import segmentation_models_pytorch as smp
import torch
from torch import nn

from semforge.errors import InputError
from semforge.files import existing_file

TIMM = "tu-"  # before the name of a network of timm, as segmentation-models-pytorch has it
MICRONET_ADDRESS = "https://nasa-public-data.s3.amazonaws.com/microscopy_segmentation_models/"
MICRONET_ENCODERS = frozenset({
    "densenet121", "densenet161", "densenet169", "densenet201",
    "dpn107", "dpn131", "dpn68", "dpn68b", "dpn92", "dpn98",
    "efficientnet-b0", "efficientnet-b1", "efficientnet-b2", "efficientnet-b3", "efficientnet-b4", "efficientnet-b5",
    "inceptionresnetv2", "inceptionv4", "mobilenet_v2",
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d",
    "se_resnet50", "se_resnet101", "se_resnet152", "se_resnext50_32x4d", "se_resnext101_32x4d", "senet154",
    "vgg11_bn", "vgg13_bn", "vgg16_bn", "xception",
})  # fmt: skip
MICRONET_ONLY = frozenset({"resnext101_32x8d"})  # no address is published for its weights that began at ImageNet's
IMAGENET_FIRST_ONLY = frozenset({"efficientnet-b6", "efficientnet-b7"})


def load_encoder(encoder: nn.Module, name: str, weights: str) -> None:
    """Load `weights` (imagenet, micronet, imagenet-micronet or a file) into the encoder called `name`.

    A first convolution over RGB is summed over its input channels. Raises InputError if the weights
    are not to be had, with the address and where to put them, or do not fit.
    """
    known = {"imagenet": _imagenet_file, "micronet": _micronet_file, "imagenet-micronet": _imagenet_micronet_file}
    path = known[weights](name) if weights in known else Path(weights)
    kinds = "encoder weights (none, imagenet, micronet, imagenet-micronet, or a .pth, .tar or .safetensors file)"
    stored = _read_weights(existing_file(path, kinds))
    stored = {_plain(key): value for key, value in stored.items()}
    wanted = encoder.state_dict()
    chosen = {key: _one_channel(stored[key], value) for key, value in wanted.items() if key in stored}
    misfits = [key for key, value in chosen.items() if value.shape != wanted[key].shape]
    missing = [key for key in wanted if key not in stored and not key.endswith("num_batches_tracked")]
    if missing or misfits:
        raise InputError(
            f"{path}: has no {(missing + misfits)[0]!r} that fits a {name}, "
            f"expected the weights of this encoder ({len(missing + misfits)} of {len(wanted)} tensors do not fit)"
        )
    encoder.load_state_dict(chosen, strict=False)


def _plain(key: str) -> str:
    """Name of a weight without what storing it from a parallel or a larger network put before it."""
    return key.removeprefix("module.").removeprefix("encoder.").replace("features.module.", "features.", 1)


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        stored = torch.load(path, map_location="cpu", weights_only=True)
        return stored.get("state_dict", stored)
    except Exception as error:  # each format fails in its own ways
        raise InputError(f"{path}: cannot be read as encoder weights, expected .pth, .tar or .safetensors") from error


def _one_channel(stored: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """A first convolution over RGB acts on a grey image as the sum over its input channels."""
    colour_to_grey = stored.ndim == 4 and stored.shape[1] == 3 and wanted.shape[1] == 1
    return stored.sum(dim=1, keepdim=True) if colour_to_grey else stored


def _imagenet_file(encoder: str) -> Path:
    """The ImageNet weights of an encoder, from the Hugging Face cache or the network."""
    from huggingface_hub import hf_hub_download

    known = smp.encoders.encoders.get(encoder)  # those of timm are not among them
    source = known["pretrained_settings"].get("imagenet") if known else None
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


def _micronet_file(encoder: str) -> Path:
    """Weights of an encoder trained on MicroNet alone, 100,000 micrographs of materials (Stuckner et al. 2022)."""
    _refuse_unknown("micronet", encoder, MICRONET_ENCODERS)
    # NASA's pretrained-microscopy-models has these two exceptions to the rule
    name = "resnext101" if encoder == "resnext101_32x8d" else encoder
    version = "1.1" if encoder == "resnet50" else "1.0"
    return _fetched("micronet", encoder, f"{name}_pretrained_microscopynet_v{version}.pth.tar")


def _imagenet_micronet_file(encoder: str) -> Path:
    """Weights of an encoder trained on ImageNet, then on MicroNet (Stuckner et al. 2022)."""
    _refuse_unknown("imagenet-micronet", encoder, MICRONET_ENCODERS - MICRONET_ONLY | IMAGENET_FIRST_ONLY)
    return _fetched("imagenet-micronet", encoder, f"{encoder}_pretrained_imagenet-microscopynet_v1.0.pth.tar")


def _refuse_unknown(weights: str, encoder: str, encoders: frozenset[str]) -> None:
    if encoder not in encoders:
        raise InputError(
            f"model.weights {weights!r}: there are none for {encoder!r}; expected one of {', '.join(sorted(encoders))}"
        )


def _fetched(weights: str, encoder: str, file: str) -> Path:
    """Path of a MicroNet file in PyTorch's cache, fetched from NASA unless it is there.

    Addresses are built as NASA's package `pretrained-microscopy-models` builds them.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / file
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(MICRONET_ADDRESS + file, str(path), progress=False)
    except Exception as error:  # no network, no host, refused, no room: all mean the same to the user
        raise InputError(
            f"model.weights {weights!r}: the weights of {encoder} cannot be fetched; get {MICRONET_ADDRESS}{file} "
            f"elsewhere and save it as {path}, or set model.weights to the file"
        ) from error
    return path
