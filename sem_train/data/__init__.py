"""Synthetic samples and real folders as one kind of labelled picture, split by specimen and mixed by share."""

from sem_train.data.ahead import Ahead
from sem_train.data.crops import Crops, WholePictures
from sem_train.data.gathering import Gathered, gather, settled
from sem_train.data.mixing import MixedBatches
from sem_train.data.pictures import Picture, file_identity, real_pictures, sample_identities, synthetic_pictures
from sem_train.data.splits import Fold, grouped_folds, refuse_images_of_two_specimens, refuse_shared_specimens

__all__ = [
    "Ahead", "Crops", "Fold", "Gathered", "MixedBatches", "Picture", "WholePictures", "file_identity", "gather",
    "grouped_folds", "real_pictures", "refuse_images_of_two_specimens", "refuse_shared_specimens", "sample_identities",
    "settled", "synthetic_pictures",
]  # fmt: skip
