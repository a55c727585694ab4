"""Size and arithmetic of the segmentation networks: python -m benchmarks.models [name=unet encoder=resnet34 ...]

Without arguments those of all models with their default settings. Parameters with three classes; multiply-adds
of convolutions and matrix products for one crop of 256 × 256, Fourier transforms not counted.
"""

import sys

import yaml

from sem_train.bench.arithmetic import multiply_adds, parameters
from sem_train.config import ModelSettings
from sem_train.models import MODELS, build_model

CLASSES = 3
CROP_PX = 256


if __name__ == "__main__":
    told = {key: yaml.safe_load(value) for key, value in (word.split("=", 1) for word in sys.argv[1:])}
    for settings in [ModelSettings(**told)] if told else [ModelSettings(name=name) for name in MODELS]:
        model = build_model(settings, CLASSES, seed=0, load_weights=False)
        encoder = settings.encoder or ""
        print(f"{settings.name:14} {encoder:12} {parameters(model) / 1e6:8.3f} M "
              f"{multiply_adds(model, CROP_PX) / 1e9:8.2f} G")  # fmt: skip
