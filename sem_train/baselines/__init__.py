"""Segmentation without a network, as a bar for those with one: fitted on the same labelled images, scored alike.

A new baseline is a module with a frozen dataclass of its settings that has the method `fit` of `Baseline`, and a line
in `BASELINES`.
"""

from sem_train.baselines.contrast import WithContrast
from sem_train.baselines.forest import RandomForest
from sem_train.baselines.interface import Baseline, Segmenter
from sem_train.baselines.otsu import MultiOtsu
from sem_train.baselines.scaling import AtScale
from sem_train.baselines.workflow import ThresholdWorkflow

BASELINES: dict[str, Baseline] = {
    "otsu": MultiOtsu(),
    "threshold_workflow": ThresholdWorkflow(),
    "random_forest": RandomForest(),
    "random_forest_augmented": WithContrast(RandomForest()),
}

__all__ = ["BASELINES", "AtScale", "Baseline", "MultiOtsu", "RandomForest", "Segmenter", "ThresholdWorkflow",
           "WithContrast"]  # fmt: skip
