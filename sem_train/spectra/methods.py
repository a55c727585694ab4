"""The methods that name spectra, by the words of the command line: the network and what it is compared with."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sem_train.spectra import angles, feature_fitting, least_squares
from sem_train.spectra.background import without_background
from sem_train.spectra.model import SpectralModel
from sem_train.spectra.named import Method, Named, labels_of
from sem_train.spectra.references import References
from semforge.errors import InputError
from semforge.spectra import EnergyAxis

BASELINES = ("sam", "bff", "nnls")
METHODS = ("network", *BASELINES)  # what is compared if nothing is said
LIKELIHOOD = "likelihood"
LEAST_SHARE = 1e-7  # of a channel in a mean spectrum: no count is impossible
BLOCK = 16384  # spectra at a time


@dataclass(frozen=True)
class SpectralAngle:
    """The class of the reference, any variant of it, at the smallest angle, backgrounds removed."""

    lines: np.ndarray  # (M, C) references without background
    of_class: np.ndarray  # (M,)
    classes: int
    axis: EnergyAxis
    fewest: int
    name: str = "sam"

    def named(self, counts: np.ndarray) -> Named:
        return _in_blocks(counts, self.axis, self.fewest, self._cosines)

    def _cosines(self, counts: np.ndarray) -> np.ndarray:
        cosines = angles.cosines(without_background(counts, self.axis.width_ev), self.lines)
        return _best_of_class(cosines, self.of_class, self.classes)


@dataclass(frozen=True)
class BinaryFeatures:
    """The class whose reference, any variant of it, has the same bright channels and fits best in its lines."""

    lines: np.ndarray
    of_class: np.ndarray
    classes: int
    axis: EnergyAxis
    fewest: int
    name: str = "bff"

    def named(self, counts: np.ndarray) -> Named:
        return _in_blocks(counts, self.axis, self.fewest, self._scores)

    def _scores(self, counts: np.ndarray) -> np.ndarray:
        found = feature_fitting.scores(without_background(counts, self.axis.width_ev), self.lines)
        return _best_of_class(found, self.of_class, self.classes)


@dataclass(frozen=True)
class NonNegativeMixture:
    """The class with the largest share in the mixture of mean spectra that fits best, with its background."""

    means: np.ndarray  # (K, C)
    axis: EnergyAxis
    fewest: int
    name: str = "nnls"

    def named(self, counts: np.ndarray) -> Named:
        named = _in_blocks(counts, self.axis, self.fewest, lambda part: least_squares.shares(part, self.means))
        return Named(named.labels, named.scores, named.scores)


@dataclass(frozen=True)
class Likelihood:
    """The class under whose mean spectrum the counts are most probable."""

    means: np.ndarray  # (K, C), of sum 1
    axis: EnergyAxis
    fewest: int
    name: str = LIKELIHOOD

    def named(self, counts: np.ndarray) -> Named:
        return _in_blocks(counts, self.axis, self.fewest, self._probabilities)

    def _probabilities(self, counts: np.ndarray) -> np.ndarray:
        logarithms = counts.astype(np.float32) @ np.log(self.means + LEAST_SHARE).astype(np.float32).T
        odds = np.exp(logarithms - logarithms.max(-1, keepdims=True))
        return odds / odds.sum(-1, keepdims=True)


def method_of(name: str, model: SpectralModel, references: Callable[[], References]) -> Method:
    """A method on the axis and with the classes of `model`; `references` are asked for by those that need them.

    Raises InputError if there is no such method.
    """
    if name == "network":
        return model
    if name not in (*METHODS, LIKELIHOOD):
        raise InputError(f"method {name!r} is not known, expected one of {', '.join((*METHODS, LIKELIHOOD))}")
    known, fewest = references(), model.config.reject.fewest_counts
    if name == "nnls":
        return NonNegativeMixture(known.means(), model.axis, fewest)
    if name == LIKELIHOOD:
        return Likelihood(known.means(), model.axis, fewest)
    lines = without_background(known.spectra, model.axis.width_ev)
    kind = SpectralAngle if name == "sam" else BinaryFeatures
    return kind(lines, known.of_class(), len(known.classes), model.axis, fewest)


def _best_of_class(scores: np.ndarray, of_class: np.ndarray, classes: int) -> np.ndarray:
    """(N, K): the highest of the scores (N, M) of each class's references."""
    return np.stack([scores[:, of_class == k].max(-1) for k in range(classes)], axis=-1)


def _in_blocks(
    counts: np.ndarray, axis: EnergyAxis, fewest: int, scores_of: Callable[[np.ndarray], np.ndarray]
) -> Named:
    parts = [scores_of(counts[start : start + BLOCK]) for start in range(0, max(len(counts), 1), BLOCK)]
    scores = np.concatenate(parts).astype(np.float32)
    return Named(labels_of(scores, counts, fewest, axis), scores)
