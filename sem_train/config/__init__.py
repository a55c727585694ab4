"""Training and experiment settings: what a user may write in configs/train and configs/experiments."""

from sem_train.config.augment import AugmentSettings
from sem_train.config.data import DataSettings, RealData, SyntheticData
from sem_train.config.experiment import ExperimentConfig, FoldSettings
from sem_train.config.loss import LossSettings
from sem_train.config.mixing import AnnealedShare
from sem_train.config.model import MODEL_OPTIONS, ModelSettings
from sem_train.config.plan import Plan, TrainConfig
from sem_train.config.shared import PATCH_PX, UNLABELLED
from sem_train.config.training import TrainingSettings

__all__ = [
    "MODEL_OPTIONS", "PATCH_PX", "UNLABELLED", "AnnealedShare", "AugmentSettings", "DataSettings", "ExperimentConfig",
    "FoldSettings", "LossSettings", "ModelSettings", "Plan", "RealData", "SyntheticData", "TrainConfig",
    "TrainingSettings",
]  # fmt: skip
