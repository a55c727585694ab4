"""What any method says of spectra, and what stays without a name."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from semforge.spectra import EnergyAxis, total_counts

UNCLASSIFIED = -1


@dataclass(frozen=True)
class Named:
    """Of N spectra: the class of each, or UNCLASSIFIED."""

    labels: np.ndarray  # (N,) int16
    scores: np.ndarray  # (N, K) float32, higher is better; probabilities where the method has them
    shares: np.ndarray | None = None  # (N, K) float32 of each class in the counts, where the method unmixes
    distance: np.ndarray | None = None  # (N,) float32 to what the classes explain, as a multiple of what is accepted

    @property
    def confidence(self) -> np.ndarray:
        """(N,) score of the best class."""
        return self.scores.max(-1)

    @property
    def margin(self) -> np.ndarray:
        """(N,) how much better the best class scores than the second."""
        best = np.sort(self.scores, axis=-1)[:, -2:]
        return best[:, 1] - best[:, 0]


class Method(Protocol):
    """Names spectra (N, C) of counts on the axis that it was made for."""

    name: str

    def named(self, counts: np.ndarray) -> Named:
        """The class of each spectrum. One of too few counts is UNCLASSIFIED, an empty one always.

        Counts in the zero peak are none.
        """


def labels_of(scores: np.ndarray, counts: np.ndarray, fewest: int, axis: EnergyAxis) -> np.ndarray:
    """(N,) int16: best class of each spectrum, UNCLASSIFIED where it has fewer counts than `fewest` or none.

    What lies in the zero peak of `axis` are no counts.
    """
    return np.where(total_counts(counts, axis) >= max(fewest, 1), scores.argmax(-1), UNCLASSIFIED).astype(np.int16)
