"""What looks at a particle's picture: a small network of our own, or one of timm, cut off before its pooling."""

from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from sem_train.classification.config import ImageBranchSettings
from sem_train.models.encoder_weights import load_encoder
from semforge.errors import InputError

PREFIX = "network.image.maps."  # of these weights in a checkpoint of ours


class Maps(Protocol):
    """Feature maps (N, `channels`, h, w) of crops (N, 1, side, side) about -1 to 1, and the stages they come from."""

    channels: int
    stages: list[str]  # names of the modules that its stages end with, in their order


class Residual(nn.Module):
    """Two convolutions beside a short cut; the first may halve the sides."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after),
        )  # fmt: skip
        short = [nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)]
        self.short = nn.Identity() if (before, stride) == (after, 1) else nn.Sequential(*short)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features of half or the same sides."""
        return torch.relu(self.body(x) + self.short(x))


class SmallMaps(nn.Module):
    """A residual network of four stages for crops of some 64 pixels; maps have 1/16 of their sides."""

    def __init__(self, width: int):
        super().__init__()
        widths = [width, 2 * width, 4 * width, 4 * width]
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 5, 2, padding=2, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        )  # fmt: skip
        self.stage1 = Residual(width, widths[0], 1)
        self.stage2 = Residual(widths[0], widths[1], 2)
        self.stage3 = Residual(widths[1], widths[2], 2)
        self.stage4 = Residual(widths[2], widths[3], 2)
        self.channels = widths[-1]
        self.stages = ["stem", "stage1", "stage2", "stage3", "stage4"]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, channels, side / 16, side / 16)."""
        return self.stage4(self.stage3(self.stage2(self.stage1(self.stem(x)))))


class TimmMaps(nn.Module):
    """A network of timm for one grey channel. Raises InputError for a name it does not know or that has no maps."""

    def __init__(self, name: str):
        super().__init__()
        self.network = _timm_network(name)
        no_maps = InputError(f"model.image.name {name!r}: has no feature maps, expected a convolutional network")
        try:
            with torch.no_grad():
                maps = self.eval()(torch.zeros(1, 1, 64, 64))
        except (AssertionError, RuntimeError) as error:  # those that look at patches want a size of their own
            raise no_maps from error
        if maps.ndim != 4:
            raise no_maps
        self.train()
        self.channels = maps.shape[1]
        self.stages = [f"network.{stage['module']}" for stage in getattr(self.network, "feature_info", [])]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, channels, h, w), of most networks 1/32 of the sides."""
        return self.network.forward_features(x)


def build_maps(settings: ImageBranchSettings, load_weights: bool) -> nn.Module:
    """The network that `settings` name, with its weights if `load_weights`, its frozen part frozen.

    Raises InputError for an unknown name, and for weights that are not there or do not fit.
    """
    maps = SmallMaps(settings.width) if settings.name == "small" else TimmMaps(settings.name)
    if load_weights and settings.weights != "none":
        _load(maps, settings)
    freeze(maps, settings.frozen)
    return maps


def freeze(maps: nn.Module, frozen: bool | int) -> None:
    """Freeze all weights, or those of the first stages. Raises InputError if there are not so many stages."""
    if frozen is False or frozen == 0:
        return
    order = {name: i for i, (name, _) in enumerate(maps.named_modules())}
    if frozen is not True and frozen > len(maps.stages):
        raise InputError(f"model.image.frozen is {frozen}, expected true or at most {len(maps.stages)} stages")
    last = len(order)
    if frozen is not True:
        end = maps.stages[frozen - 1]
        last = max(i for name, i in order.items() if name == end or name.startswith(f"{end}."))
    for name, weight in maps.named_parameters():
        weight.requires_grad_(order[name.rpartition(".")[0]] > last)


def still(module: nn.Module) -> None:
    """Let normalisation whose weights are frozen keep its statistics too."""
    for part in module.modules():
        own = list(part.parameters(recurse=False))
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and own and not any(w.requires_grad for w in own):
            part.eval()


def _timm_network(name: str) -> nn.Module:
    import timm

    if name not in timm.list_models(name):
        near = timm.list_models(f"{name}*")[:5] or ["resnet18", "efficientnet_b0", "mobilenetv3_small_100", "vgg11_bn"]
        raise InputError(f"model.image.name {name!r} is unknown, expected small or one of timm, e.g. {', '.join(near)}")
    # of a VGG, timm builds the large dense layers behind the maps even where they are not asked for
    options = {"mlp_ratio": 1 / 512} if name.startswith("vgg") else {}
    try:
        network = timm.create_model(name, pretrained=False, in_chans=1, num_classes=0, global_pool="", **options)
    except (TypeError, RuntimeError, AssertionError) as error:
        raise InputError(f"model.image.name {name!r}: timm cannot build it for grey crops: {error}") from error
    if name.startswith("vgg"):
        network.pre_logits = nn.Identity()
    return network


def _load(maps: nn.Module, settings: ImageBranchSettings) -> None:
    path = Path(settings.weights)
    if settings.weights == "imagenet":
        _load_imagenet(maps, settings.name)
    elif path.is_dir() or path.suffix == ".ckpt":
        _load_own(maps, path)
    elif settings.name == "small":
        raise InputError(f"model.image.weights {settings.weights!r}: 'small' has weights of an earlier run only; "
                         "give its folder or checkpoint")  # fmt: skip
    else:
        load_encoder(maps.network, settings.name, str(path))


def _load_imagenet(maps: nn.Module, name: str) -> None:
    import timm

    if name == "small":
        raise InputError("model.image.weights 'imagenet': there are none for small; choose a network of timm")
    try:
        fetched = timm.create_model(name, pretrained=True, in_chans=1, num_classes=0, global_pool="").state_dict()
    except Exception as error:  # no network, no host, no such weights: all mean the same to the user
        raise InputError(
            f"model.image.weights 'imagenet': the weights of {name} cannot be fetched; get model.safetensors of "
            f"https://huggingface.co/timm/{name} or one of its variants elsewhere "
            "and set model.image.weights to the file"
        ) from error
    maps.network.load_state_dict({key: fetched[key] for key in maps.network.state_dict()})


def _load_own(maps: nn.Module, path: Path) -> None:
    from sem_train.classification.checkpoint import read_weights

    stored = {k.removeprefix(PREFIX): v for k, v in read_weights(path).items() if k.startswith(PREFIX)}
    wanted = maps.state_dict()
    misfits = [key for key, value in wanted.items() if key not in stored or stored[key].shape != value.shape]
    if misfits:
        raise InputError(f"model.image.weights: {path} has no image branch of this kind ({misfits[0]} does not fit), "
                         "expected a run with the same model.image.name and width")  # fmt: skip
    maps.load_state_dict({key: stored[key] for key in wanted})
