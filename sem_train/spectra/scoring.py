"""How well named spectra agree with the truth."""

from dataclasses import dataclass

import numpy as np

from sem_train.spectra.named import UNCLASSIFIED

UNKNOWN = -1  # true label of what is of none of the classes, or not known


@dataclass(frozen=True)
class Scores:
    """Of spectra whose class is known. Accuracies are of the best class, whether or not the method was sure."""

    spectra: int
    accuracy: float
    recall: np.ndarray  # (K,), NaN for a class that is not there
    confusion: np.ndarray  # (K, K + 1): true class by given one, the last UNCLASSIFIED
    unclassified: float  # share without a name
    accuracy_of_named: float  # of those with a name
    boundary: float = float("nan")  # accuracy of pixels beside another phase
    interior: float = float("nan")  # and of the others
    share_error: float = float("nan")  # mean over spectra of half the sum of |share − true share|
    refused: float = float("nan")  # share of spectra of none of the classes that have no name

    @property
    def mean_recall(self) -> float:
        """Mean of the classes that are there."""
        return float(np.nanmean(self.recall)) if np.isfinite(self.recall).any() else float("nan")


def score(
    true: np.ndarray, labels: np.ndarray, scores: np.ndarray, edge: np.ndarray | None = None,
    true_shares: np.ndarray | None = None, shares: np.ndarray | None = None, strangers: np.ndarray | None = None,
) -> Scores:  # fmt: skip
    """Scores of N spectra: true classes (N,) with UNKNOWN left out, given labels (N,), scores (N, K).

    `edge` (N,) says which lie at boundaries, `strangers` (N,) which are of none of the classes.
    """
    classes = scores.shape[-1]
    known = true != UNKNOWN
    best = np.where(scores.max(-1, initial=0) > 0, scores.argmax(-1), UNCLASSIFIED)
    right = best == true
    confusion = np.zeros((classes, classes + 1), dtype=np.int64)
    np.add.at(confusion, (true[known], np.where(labels[known] == UNCLASSIFIED, classes, labels[known])), 1)
    named = known & (labels != UNCLASSIFIED)
    error = float("nan")
    if true_shares is not None and shares is not None:
        error = _mean(np.abs(true_shares - shares).sum(-1)[known] / 2)
    return Scores(
        int(known.sum()), _mean(right[known]), np.array([_mean(right[true == k]) for k in range(classes)]), confusion,
        1 - _mean(named[known]), _mean(labels[named] == true[named]),
        _mean(right[known & edge]) if edge is not None else float("nan"),
        _mean(right[known & ~edge]) if edge is not None else float("nan"),
        error, _mean(labels[strangers] == UNCLASSIFIED) if strangers is not None else float("nan"),
    )  # fmt: skip


def at_boundaries(labels: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels one of whose eight neighbours has another label."""
    out = np.zeros(labels.shape, dtype=bool)
    padded = np.pad(labels, 1, mode="edge")
    height, width = labels.shape
    for down in range(3):
        for right in range(3):
            out |= padded[down : down + height, right : right + width] != labels
    return out


def top(scores: np.ndarray, true: np.ndarray, n: int) -> int:
    """How many of the spectra have their true class among the n best."""
    return int((np.argsort(-scores, axis=-1)[:, :n] == true[:, None]).any(-1).sum())


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
