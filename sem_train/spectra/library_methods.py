"""Methods of scikit-learn on the same spectra, for how fast and how good what is commonly used is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from sem_train.spectra.draws import Drawer
from sem_train.spectra.model import SpectralModel
from sem_train.spectra.named import Named, labels_of
from sem_train.spectra.references import References
from semforge.spectra import EnergyAxis

TRAINING_SPECTRA = 6000  # drawn as those of the network are, without mixtures
COMPONENTS = 30
TREES = 100
SEED = 5
ESTIMATORS: dict[str, Callable[[], Any]] = {
    "pca_lda": lambda: make_pipeline(PCA(COMPONENTS, random_state=SEED), LinearDiscriminantAnalysis()),
    "random_forest": lambda: RandomForestClassifier(TREES, n_jobs=-1, random_state=SEED),
    "cosine_neighbour": lambda: KNeighborsClassifier(1, metric="cosine", algorithm="brute", n_jobs=-1),
}


@dataclass(frozen=True)
class LibraryMethod:
    """An estimator of scikit-learn that names spectra by the roots of their shares, as the network sees them."""

    name: str
    estimator: Any
    classes: int
    fewest: int
    axis: EnergyAxis

    def named(self, counts: np.ndarray) -> Named:
        scores = np.zeros((len(counts), self.classes), np.float32)
        scores[:, self.estimator.classes_] = self.estimator.predict_proba(roots(counts))
        return Named(labels_of(scores, counts, self.fewest, self.axis), scores)


def library_methods(model: SpectralModel, references: References) -> list[LibraryMethod]:
    """All estimators, trained on draws of the run's own references at its own doses."""
    settings = model.config.draws.model_copy(update={"mixed": 0.0})
    drawn = Drawer(references, settings, model.axis, torch.device("cpu")).batch(0, TRAINING_SPECTRA, SEED)
    inputs, true = roots(drawn.counts.numpy()), drawn.shares.numpy().argmax(-1)
    fewest = model.config.reject.fewest_counts
    return [
        LibraryMethod(f"scikit-learn {name}", make().fit(inputs, true), len(model.classes), fewest, model.axis)
        for name, make in ESTIMATORS.items()
    ]


def roots(counts: np.ndarray) -> np.ndarray:
    """(N, C) float32 roots of each channel's share."""
    total = counts.sum(-1, keepdims=True, dtype=np.float64).clip(1)
    return np.sqrt(counts / total).astype(np.float32)
