"""Random forest on filter responses: what Trainable Weka Segmentation does, without the mouse."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from sem_train.baselines.features import TILE_PX, tile_features
from sem_train.baselines.interface import TrainingSet, mean_iou, training_set
from sem_train.classes import ClassMap

EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class RandomForest:
    """Each pixel classified by itself from `tile_features` (Arganda-Carreras et al., 10.1093/bioinformatics/btx180).

    Trees see equally many pixels of each class, as far as there are enough, drawn by the seed. That makes them see
    rare classes too often; so votes are multiplied by (share of the class in the images) ** exponent, with the
    exponent from 0 to 1 that gives the best mean IoU of out-of-bag votes.

    The Weka plugin by default has neither the weighting nor the local standard deviation, and has membrane projections
    and twice as many trees.
    """

    trees: int = 100
    pixels_an_image: int = 6000  # at most, over all classes
    pixels: int = 100_000  # at most, over all images
    images: int = 100  # at most, drawn by the seed
    leaf: int = 5  # pixels a leaf holds at least
    tile_px: int = TILE_PX  # predicted at once; bounds memory, changes no result

    def fit(
        self, images: Sequence[np.ndarray], labels: Sequence[np.ndarray], classes: ClassMap, seed: int = 0
    ) -> "ForestSegmenter":
        """As `Baseline.fit`."""
        rng = np.random.default_rng(seed)
        data = training_set(images, labels, classes).some(self.images, rng)
        features, ids = self._samples(data, rng)
        forest = RandomForestClassifier(
            self.trees, min_samples_leaf=self.leaf, class_weight="balanced", oob_score=len(np.unique(ids)) > 1,
            random_state=seed, n_jobs=1,
        )  # fmt: skip
        with warnings.catch_warnings():  # few trees leave some pixels without a vote, which `_vote_weights` allows for
            warnings.filterwarnings("ignore", message="Some inputs do not have OOB scores", category=UserWarning)
            forest.fit(features, ids)
        return ForestSegmenter(forest, _vote_weights(forest, ids, data), self.tile_px)

    def _samples(self, data: TrainingSet, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Features (N, F) and class ids (N,) of labelled pixels."""
        share = max(1, min(self.pixels_an_image, self.pixels // len(data.images)))
        features, ids = [], []
        for image, labels in zip(data.images, data.labels, strict=True):
            rank = np.full(labels.size, -1)  # place of a chosen pixel among the samples, which no tiling changes
            chosen = balanced_pixels(labels, data.present, share, rng)
            rank[chosen] = np.arange(len(chosen))
            rank = rank.reshape(labels.shape)
            rows = [(rank[w][rank[w] >= 0], values[rank[w] >= 0]) for w, values in tile_features(image, self.tile_px)]
            order = np.argsort(np.concatenate([places for places, _ in rows]))
            features.append(np.concatenate([values for _, values in rows])[order])
            ids.append(labels.ravel()[chosen])
        return np.concatenate(features), np.concatenate(ids)


@dataclass(frozen=True)
class ForestSegmenter:
    """Fitted random forest."""

    forest: RandomForestClassifier
    weights: np.ndarray  # of the votes for each class the forest knows
    tile_px: int

    def predict(self, image: np.ndarray) -> np.ndarray:
        """As `Segmenter.predict`."""
        found = np.empty(image.shape, dtype=np.uint8)
        for window, features in tile_features(image, self.tile_px):
            votes = self.forest.predict_proba(features.reshape(-1, features.shape[-1])) * self.weights
            found[window] = self.forest.classes_[votes.argmax(axis=1)].reshape(features.shape[:2])
        return found


def balanced_pixels(labels: np.ndarray, present: Sequence[int], count: int, rng: np.random.Generator) -> np.ndarray:
    """Flat positions of at most `count` labelled pixels, equally many of each class of `present` that has them."""
    share = max(1, count // len(present))
    flat = labels.ravel()
    each = [np.flatnonzero(flat == c) for c in present]
    return np.concatenate([rng.choice(where, min(share, len(where)), replace=False) for where in each])


def _vote_weights(forest: RandomForestClassifier, ids: np.ndarray, data: TrainingSet) -> np.ndarray:
    """What the votes for each class that the forest knows are worth, see `RandomForest`."""
    known = forest.classes_
    share = data.pixels[known] / data.pixels.sum()
    if len(known) == 1:
        return share
    votes = forest.oob_decision_function_
    voted = votes.any(axis=1)
    true = np.searchsorted(known, ids[voted])
    # A sampled pixel stands for all of its class in the images.
    worth = (share / np.bincount(true, minlength=len(known)).clip(min=1))[true]

    def merit(exponent: float) -> float:
        guess = (votes[voted] * share**exponent).argmax(axis=1)
        pairs = np.bincount(true * len(known) + guess, weights=worth, minlength=len(known) ** 2)
        return mean_iou(pairs.reshape(len(known), len(known)), range(len(known)))

    return share ** max(EXPONENTS, key=merit)
