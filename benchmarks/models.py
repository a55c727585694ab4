"""Size and arithmetic of the segmentation networks: python -m benchmarks.models [name=unet encoder=resnet34 ...]

Without arguments those of all models with their default settings. Parameters with three classes; multiply-adds
of convolutions and matrix products for one crop of 256 × 256, Fourier transforms not counted.
"""

import sys

import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from sem_train.config import ModelSettings
from sem_train.models import MODELS, build_model

CLASSES = 3
CROP_PX = 256


def count(settings: ModelSettings) -> tuple[int, int]:
    """Parameters and multiply-adds of a model."""
    model = build_model(settings, CLASSES, seed=0, load_weights=False).eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 1, CROP_PX, CROP_PX))
    return sum(weight.numel() for weight in model.parameters()), counter.get_total_flops() // 2


if __name__ == "__main__":
    told = {key: yaml.safe_load(value) for key, value in (word.split("=", 1) for word in sys.argv[1:])}
    for settings in [ModelSettings(**told)] if told else [ModelSettings(name=name) for name in MODELS]:
        parameters, multiply_adds = count(settings)
        encoder = settings.encoder or ""
        print(f"{settings.name:14} {encoder:12} {parameters / 1e6:8.3f} M {multiply_adds / 1e9:8.2f} G")
