"""Segmentation networks by name: one grey channel of any size in, one logit a class and pixel out."""

from collections.abc import Callable

import segmentation_models_pytorch as smp
import timm
import torch
from monai.networks import nets
from torch import nn

from sem_train.config import ModelSettings
from sem_train.models.any_size import AnySize
from sem_train.models.encoder_weights import TIMM, load_encoder
from sem_train.models.fno import SpectralSegmenter
from semforge.errors import InputError


class UNet(AnySize, smp.Unet):
    """U-Net (Ronneberger et al. 2015) over a classification encoder."""


class UNetPlusPlus(AnySize, smp.UnetPlusPlus):
    """U-Net++ (Zhou et al. 2018): nested, dense skip connections."""


class DeepLabV3Plus(AnySize, smp.DeepLabV3Plus):
    """DeepLabV3+ (Chen et al. 2018): atrous spatial pyramid pooling and a light decoder."""


class SegFormer(AnySize, smp.Segformer):
    """SegFormer (Xie et al. 2021): a hierarchical transformer encoder and an all-MLP decoder."""


class SwinUNETR(AnySize, nets.SwinUNETR):
    """Swin UNETR (Hatamizadeh et al. 2022) in two dimensions: shifted-window attention, convolutional decoder."""

    least = 64  # its instance normalisation needs more than one pixel at a stride of 32


class FNO(AnySize, SpectralSegmenter):
    """Fourier neural operator after FNOSeg (Wong et al. 2023)."""

    multiple = least = 2


def build_model(settings: ModelSettings, n_classes: int, seed: int, load_weights: bool = True) -> nn.Module:
    """A network (N, 1, H, W) float -> (N, n_classes, H, W) logits, for any H and W.

    The seed fixes its initial weights and leaves the global random state alone. `load_weights` False skips
    `settings.weights`, for a model that gets all of its weights from a checkpoint.
    Raises InputError for an unknown or unsuitable encoder, or for weights that are not there or do not fit.
    """
    if settings.encoder is not None:
        _refuse_unknown(settings.encoder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = MODELS[settings.name](settings, n_classes)
        except (ValueError, RuntimeError) as error:  # in the library's words: no dilation, no features at every stride
            raise InputError(f"model.encoder {settings.encoder!r} cannot serve a {settings.name}: {error}") from error
    if load_weights and settings.weights not in (None, "none"):
        load_encoder(model.encoder, settings.encoder, settings.weights)
    return model


def _refuse_unknown(encoder: str) -> None:
    of_timm = encoder.startswith(TIMM) and timm.is_model(encoder.removeprefix(TIMM))
    if encoder not in smp.encoders.encoders and not of_timm:
        raise InputError(
            f"model.encoder {encoder!r} is unknown, expected e.g. resnet18, resnet34, efficientnet-b0, "
            "mobilenet_v2, mit_b0 or another encoder of segmentation-models-pytorch, "
            f"or {TIMM}NAME for the network NAME of timm"
        )


def _unet(settings: ModelSettings, n_classes: int) -> nn.Module:
    return UNet(settings.encoder, decoder_channels=settings.decoder_channels, **_grey_to(n_classes))


def _unetplusplus(settings: ModelSettings, n_classes: int) -> nn.Module:
    return UNetPlusPlus(settings.encoder, decoder_channels=settings.decoder_channels, **_grey_to(n_classes))


def _deeplabv3plus(settings: ModelSettings, n_classes: int) -> nn.Module:
    return DeepLabV3Plus(
        settings.encoder, decoder_channels=settings.width, encoder_output_stride=settings.output_stride,
        decoder_aspp_dropout=settings.dropout, **_grey_to(n_classes),
    )  # fmt: skip


def _segformer(settings: ModelSettings, n_classes: int) -> nn.Module:
    return SegFormer(settings.encoder, decoder_segmentation_channels=settings.width, **_grey_to(n_classes))


def _swin_unetr(settings: ModelSettings, n_classes: int) -> nn.Module:
    return SwinUNETR(1, n_classes, feature_size=settings.width, spatial_dims=2)


def _fno(settings: ModelSettings, n_classes: int) -> nn.Module:
    return FNO(n_classes, settings.width, settings.blocks, settings.wavelength_px)


MODELS: dict[str, Callable[[ModelSettings, int], nn.Module]] = {
    "unet": _unet,
    "unetplusplus": _unetplusplus,
    "deeplabv3plus": _deeplabv3plus,
    "segformer": _segformer,
    "swin_unetr": _swin_unetr,
    "fno": _fno,
}


def _grey_to(n_classes: int) -> dict:
    return {"encoder_weights": None, "in_channels": 1, "classes": n_classes}
