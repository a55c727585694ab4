"""How far a classifier's probabilities can be believed, and when a particle is like none that it knows."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp, softmax
from sklearn.covariance import LedoitWolf

MODES = ("both", "image", "spectrum")  # what of a particle was there
BINS = 15  # of confidence
TEMPERATURES = (0.05, 20.0)


@dataclass(frozen=True)
class Familiar:
    """Where the features of known particles lie: a mean a class, and what whitens their spread about it.

    And the same for all of them together, which tells what is unusual in any class from what is so in this one.
    """

    means: np.ndarray  # (k, D)
    precision: np.ndarray  # (D, D)
    mean_of_all: np.ndarray | None = None  # (D,); None in the first runs
    precision_of_all: np.ndarray | None = None  # (D, D)

    @classmethod
    def of(cls, features: np.ndarray, labels: np.ndarray, n_classes: int) -> "Familiar":
        """Of features (N, D) of particles of each class; the spread is shrunk as by Ledoit and Wolf (2004)."""
        means = np.stack([features[labels == c].mean(axis=0) for c in range(n_classes)])
        centre = features.mean(axis=0)
        shrunk = lambda off: LedoitWolf(assume_centered=True).fit(off).precision_
        return cls(means, shrunk(features - means[labels]), centre, shrunk(features - centre))

    def distances(self, features: np.ndarray) -> np.ndarray:
        """Squared Mahalanobis distance (N,) to the nearest class."""
        off = features[:, None] - self.means
        return np.einsum("nkd,de,nke->nk", off, self.precision, off).min(axis=1)

    def relative(self, features: np.ndarray) -> np.ndarray:
        """That distance less the one to all particles together (N,), after Ren et al. (2021)."""
        if self.mean_of_all is None or self.precision_of_all is None:
            return self.distances(features)
        off = features - self.mean_of_all
        return self.distances(features) - np.einsum("nd,de,ne->n", off, self.precision_of_all, off)


Score = Callable[[np.ndarray, np.ndarray, Familiar | None], np.ndarray]  # logits and features; higher: more familiar
SCORES: dict[str, Score] = {
    "relative_mahalanobis": lambda logits, features, familiar: -familiar.relative(features),
    "mahalanobis": lambda logits, features, familiar: -familiar.distances(features),
    "energy": lambda logits, features, familiar: logsumexp(logits, axis=1),
    "max_probability": lambda logits, features, familiar: softmax(logits, axis=1).max(axis=1),
}
NEED_FAMILIAR = ("relative_mahalanobis", "mahalanobis")


@dataclass(frozen=True)
class Mode:
    """What was worked out for particles of which the same was there."""

    temperature: float = 1.0
    prior: np.ndarray | None = None  # (k,) logarithms of how frequent each class is; None: as in training
    threshold: float | None = None  # of the score, below it a particle is rejected
    familiar: Familiar | None = None
    particles: int = 0  # held out, that it was worked out on
    ece_before: float = float("nan")
    ece_after: float = float("nan")


@dataclass(frozen=True)
class Calibration:
    """What a run worked out on its held-out particles; without any, probabilities are as they are, none rejected."""

    reject: str = "max_probability"
    false_rejection: float = 0.05
    modes: dict[str, Mode] = field(default_factory=dict)

    def probabilities(self, logits: np.ndarray, mode: str) -> np.ndarray:
        """(N, k) of logits (N, k)."""
        known = self.mode(mode)
        return softmax(_offset(logits / known.temperature, known.prior), axis=1)

    def rejected(self, logits: np.ndarray, features: np.ndarray, mode: str) -> np.ndarray:
        """Which particles (N,) are like none that was trained on."""
        known = self.mode(mode)
        if known.threshold is None:
            return np.zeros(len(logits), bool)
        return SCORES[self.reject](logits, features, known.familiar) < known.threshold

    def mode(self, name: str) -> Mode:
        """What is known of a mode; of one that nothing was held out for, nothing."""
        return self.modes.get(name, Mode())

    def stored(self) -> dict:
        """As a checkpoint keeps it."""
        modes = {
            name: {**{k: v for k, v in vars(mode).items() if k not in ("familiar", "prior")},
                   "prior": None if mode.prior is None else torch.from_numpy(mode.prior),
                   "familiar": mode.familiar and {
                       k: torch.from_numpy(v) for k, v in vars(mode.familiar).items() if v is not None}}
            for name, mode in self.modes.items()
        }  # fmt: skip
        return {"reject": self.reject, "false_rejection": self.false_rejection, "modes": modes}

    @classmethod
    def from_stored(cls, stored: dict) -> "Calibration":
        """What `stored` gave."""
        modes = {}
        for name, values in stored["modes"].items():
            familiar = values["familiar"]
            near = Familiar(**{k: v.numpy() for k, v in familiar.items()}) if familiar else None
            prior = values.get("prior")
            modes[name] = Mode(**{**values, "familiar": near, "prior": None if prior is None else prior.numpy()})
        return cls(stored["reject"], stored["false_rejection"], modes)


def calibrated(
    logits: np.ndarray, features: np.ndarray, labels: np.ndarray, familiar: Familiar | None, reject: str,
    false_rejection: float, prior: np.ndarray | None = None,
) -> Mode:  # fmt: skip
    """Temperature and threshold from held-out particles: logits (N, k), features (N, D), class ids (N,).

    `prior` (k,) are logarithms of how frequent each class is, where the network was trained as if all were alike.
    """
    temperature = fit_temperature(logits, labels, prior)
    scores = SCORES[reject](logits, features, familiar)
    return Mode(
        temperature=temperature, prior=prior, threshold=float(np.quantile(scores, false_rejection)),
        familiar=familiar if reject in NEED_FAMILIAR else None, particles=len(labels),
        ece_before=expected_calibration_error(softmax(logits, axis=1), labels),
        ece_after=expected_calibration_error(softmax(_offset(logits / temperature, prior), axis=1), labels),
    )  # fmt: skip


def fit_temperature(logits: np.ndarray, labels: np.ndarray, prior: np.ndarray | None = None) -> float:
    """The divisor of logits (N, k) under which the labels (N,) are likeliest (Guo et al. 2017)."""
    every = np.arange(len(labels))
    loss = lambda log_t: -log_softmax(_offset(logits / np.exp(log_t), prior), axis=1)[every, labels].mean()
    return float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x))


def _offset(logits: np.ndarray, prior: np.ndarray | None) -> np.ndarray:
    return logits if prior is None else logits + prior


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Mean distance between confidence and share of right answers, over bins of confidence by their weight."""
    return float(sum(weight * abs(right - sure) for sure, right, weight in reliability(probabilities, labels, bins)))


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> list[tuple[float, float, float]]:
    """Mean confidence, share of right answers and share of the particles, of each bin that is not empty."""
    sure = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    where = np.minimum((sure * bins).astype(int), bins - 1)
    inside = [where == b for b in range(bins)]
    return [(float(sure[m].mean()), float(right[m].mean()), float(m.mean())) for m in inside if m.any()]
