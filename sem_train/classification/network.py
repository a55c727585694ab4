"""The classifier: a branch for pictures, one for spectra, and what joins them. Either input may be missing."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from sem_train.classification.config import ClassifierSettings, ClassifyPlan, ImageBranchSettings
from sem_train.classification.image_branch import build_maps, still
from sem_train.classification.particles import SIZES
from sem_train.spectra.network import SpectrumNetwork

HEADS = 4  # of the attention


class Inputs(NamedTuple):
    """A batch of particles as the network sees them. What is missing is marked so, whatever stands in its place."""

    crops: torch.Tensor  # (N, 1, side, side) float32, about -1 to 1
    sizes: torch.Tensor  # (N, SIZES) float32
    spectra: torch.Tensor  # (N, C + 1) float32, as `spectra_input` makes them
    has_image: torch.Tensor  # (N,) bool
    has_spectrum: torch.Tensor  # (N,) bool


class Seen(NamedTuple):
    """What a branch says of a batch."""

    features: torch.Tensor  # (N, width)
    tokens: torch.Tensor  # (N, T, width): places of the picture, stretches of the spectrum


class ImageBranch(nn.Module):
    """Features of crops and sizes. `maps` is the network that looks, up to its last feature maps."""

    def __init__(self, settings: ImageBranchSettings, width: int, load_weights: bool):
        super().__init__()
        self.maps = build_maps(settings, load_weights)
        self.features = nn.Sequential(nn.Linear(self.maps.channels + SIZES, width), nn.ReLU())
        self.tokens = nn.Linear(self.maps.channels, width)

    def forward(self, crops: torch.Tensor, sizes: torch.Tensor) -> Seen:
        """Features (N, width), and a token a place of the last maps."""
        maps = self.maps(crops)
        places = maps.flatten(2).transpose(1, 2)
        return Seen(self.features(torch.cat([places.mean(1), sizes], dim=1)), self.tokens(places))


class SpectrumBranch(nn.Module):
    """Features of spectra (N, C + 1) as `spectra_input` makes them."""

    def __init__(self, channels: int, width: int, dropout: float):
        super().__init__()
        self.network = SpectrumNetwork(channels, classes=width, dropout=dropout)
        with torch.no_grad():
            count, filters = self.network.stretches(torch.zeros(1, channels + 1)).shape[1:]
        self.tokens = nn.Linear(filters, width)
        self.places = nn.Parameter(0.02 * torch.randn(count, width))  # which energy a token is of

    def forward(self, spectra: torch.Tensor) -> Seen:
        """Features (N, width), and a token a stretch of energies."""
        features = torch.relu(self.network(spectra))
        return Seen(features, self.tokens(self.network.stretches(spectra)) + self.places)


class OneInput(nn.Module):
    """Takes the features of the one branch there is."""

    def __init__(self, settings: ClassifierSettings):
        super().__init__()

    def forward(self, image: Seen | None, spectrum: Seen | None, inputs: Inputs) -> torch.Tensor:
        """(N, width)."""
        return (image or spectrum).features


class LateFusion(nn.Module):
    """Joins the features of both branches; what is missing is replaced by features that were learnt for that."""

    def __init__(self, settings: ClassifierSettings):
        super().__init__()
        width = settings.width
        self.absent = nn.Parameter(torch.zeros(2, width))
        self.join = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU())

    def forward(self, image: Seen, spectrum: Seen, inputs: Inputs) -> torch.Tensor:
        """(N, width)."""
        seen = torch.where(inputs.has_image[:, None], image.features, self.absent[0])
        read = torch.where(inputs.has_spectrum[:, None], spectrum.features, self.absent[1])
        return self.join(torch.cat([seen, read], dim=1))


class CrossAttention(nn.Module):
    """As late fusion, but first each branch asks the other's places or stretches what concerns it."""

    def __init__(self, settings: ClassifierSettings):
        super().__init__()
        width = settings.width
        self.absent = nn.Parameter(0.02 * torch.randn(2, width))
        self.of_image = nn.MultiheadAttention(width, HEADS, batch_first=True)
        self.of_spectrum = nn.MultiheadAttention(width, HEADS, batch_first=True)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.join = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU())

    def forward(self, image: Seen, spectrum: Seen, inputs: Inputs) -> torch.Tensor:
        """(N, width)."""
        image = _or_absent(image, inputs.has_image, self.absent[0])
        spectrum = _or_absent(spectrum, inputs.has_spectrum, self.absent[1])
        asked = self.of_spectrum(image.features[:, None], spectrum.tokens, spectrum.tokens, need_weights=False)[0][:, 0]
        looked = self.of_image(spectrum.features[:, None], image.tokens, image.tokens, need_weights=False)[0][:, 0]
        both = [self.norms[0](image.features + asked), self.norms[1](spectrum.features + looked)]
        return self.join(torch.cat(both, dim=1))


JOINS: dict[str, Callable[[ClassifierSettings], nn.Module]] = {
    "image": OneInput,
    "spectrum": OneInput,
    "late_fusion": LateFusion,
    "cross_attention": CrossAttention,
}


class Classifier(nn.Module):
    """Logits (N, classes) of particles.

    `image` and `spectrum` are its branches, None where it has none; `joined` gives the features that the last layer
    decides by.
    """

    def __init__(self, settings: ClassifierSettings, channels: int, classes: int, load_weights: bool = True):
        super().__init__()
        width = settings.width
        self.image = ImageBranch(settings.image, width, load_weights) if settings.sees_image else None
        self.spectrum = SpectrumBranch(channels, width, settings.dropout) if settings.sees_spectrum else None
        self.join = JOINS[settings.name](settings)
        self.dropout = nn.Dropout(settings.dropout)
        self.head = nn.Linear(width, classes)
        self.train()

    def joined(self, inputs: Inputs) -> torch.Tensor:
        """Features (N, width) of both inputs together."""
        image = self.image(inputs.crops, inputs.sizes) if self.image is not None else None
        spectrum = self.spectrum(inputs.spectra) if self.spectrum is not None else None
        return self.join(image, spectrum, inputs)

    def forward(self, inputs: Inputs) -> torch.Tensor:
        """(N, classes)."""
        return self.head(self.dropout(self.joined(inputs)))

    def train(self, mode: bool = True) -> "Classifier":
        super().train(mode)
        if self.image is not None:
            still(self.image)
        return self


def build_classifier(plan: ClassifyPlan, load_weights: bool = True) -> Classifier:
    """The network of a plan; the seed fixes its initial weights and leaves the global random state alone.

    `load_weights` False skips `model.image.weights`, for a network that gets all of its weights from a checkpoint.
    Raises InputError for an unknown image branch, or for weights that are not there or do not fit.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.training.seed)
        return Classifier(plan.model, plan.data.spectra.channels, len(plan.classes), load_weights)


def _or_absent(seen: Seen, there: torch.Tensor, absent: torch.Tensor) -> Seen:
    return Seen(
        torch.where(there[:, None], seen.features, absent), torch.where(there[:, None, None], seen.tokens, absent)
    )
