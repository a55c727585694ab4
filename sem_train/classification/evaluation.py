"""How good a classifier is on labelled particles: with all that is there of them, and with less."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from pydantic import model_validator

from sem_train.classification.calibration import expected_calibration_error
from sem_train.classification.checkpoint import TrainedClassifier, load_classifier, mode_of
from sem_train.classification.config import RealParticles, SyntheticParticles
from sem_train.classification.drawing import inputs_of
from sem_train.classification.gathering import read_sources, reading_of, split
from sem_train.classification.module import only
from sem_train.classification.network import Inputs
from sem_train.classification.particles import ParticleSet
from sem_train.classification.scoring import accuracy_interval, confusion, macro_f1, wilson
from sem_train.classification.sources import UNKNOWN, Reading, Source, real_sources, synthetic_sources
from sem_train.inference import TrainedOn
from semforge.errors import InputError
from semforge.settings import Settings, load_settings

VIEWS = {"both": "picture and spectrum", "image": "picture alone", "spectrum": "spectrum alone"}


Recall = tuple[float, float, float]  # with the ends of its 95 % interval; NaN without particles


class EvaluationData(Settings):
    """Labelled particles to be tested on, in a YAML file."""

    synthetic: tuple[SyntheticParticles, ...] = ()
    real: tuple[RealParticles, ...] = ()

    @model_validator(mode="after")
    def _has_any(self) -> "EvaluationData":
        if not self.synthetic and not self.real:
            raise ValueError("neither 'synthetic' nor 'real' data is given, expected one at least")
        return self


@dataclass(frozen=True)
class Result:
    """What a classifier says of labelled particles of which the same was there."""

    view: str  # what was there, in words
    at_most_counts: int | None  # spectra were thinned to so many counts; None: as they are
    names: np.ndarray  # (N,) of the particles
    groups: np.ndarray  # (N,) their specimens
    labels: np.ndarray  # (N,) class ids, `UNKNOWN` for what is of no class
    counts: np.ndarray  # (N,) of their spectra
    probabilities: np.ndarray  # (N, k), calibrated
    rejected: np.ndarray  # (N,) bool

    @property
    def of_a_class(self) -> np.ndarray:
        """Which particles (N,) are of a class."""
        return self.labels != UNKNOWN

    @property
    def right(self) -> np.ndarray:
        """Whether each particle of a class (n,) was named rightly, rejected or not."""
        return self.probabilities[self.of_a_class].argmax(axis=1) == self.labels[self.of_a_class]

    @property
    def accuracy(self) -> float:
        """Share of the particles of a class that were named rightly."""
        return float(self.right.mean())

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """95 % interval over specimens."""
        return accuracy_interval(self.right, self.groups[self.of_a_class])

    @property
    def macro_f1(self) -> float:
        """Mean over the classes."""
        named = self.probabilities.argmax(axis=1)
        return macro_f1(self.labels[self.of_a_class], named[self.of_a_class], self.probabilities.shape[1])

    @property
    def confusion(self) -> np.ndarray:
        """Particles (k, k + 1) of a true class (row) by the class that they were named (column), last rejected."""
        known, k = self.of_a_class, self.probabilities.shape[1]
        named = np.where(self.rejected[known], k, self.probabilities[known].argmax(axis=1))
        return confusion(self.labels[known], named, k + 1)[:k]

    @property
    def recalls(self) -> list[Recall]:
        """Recall of each class by its likeliest class, rejected or not."""
        return self._recalls(self.right)

    @property
    def recalls_less_rejected(self) -> list[Recall]:
        """Recall of each class where a particle that was rejected is missed."""
        return self._recalls(self.right & ~self.rejected[self.of_a_class])

    @property
    def calibration_error(self) -> float:
        """Expected calibration error of the probabilities."""
        return expected_calibration_error(self.probabilities[self.of_a_class], self.labels[self.of_a_class])

    @property
    def accuracy_of_accepted(self) -> float:
        """Share that was named rightly of the particles of a class that were not rejected."""
        accepted = ~self.rejected[self.of_a_class]
        return float(self.right[accepted].mean()) if accepted.any() else float("nan")

    def _recalls(self, hit: np.ndarray) -> list[Recall]:
        labels = self.labels[self.of_a_class]
        return [_recall(hit[labels == i]) for i in range(self.probabilities.shape[1])]

    def rejected_share(self, unknown: bool) -> float:
        """Share of the particles of no class, or of a class, that were rejected; NaN without any."""
        chosen = self.of_a_class != unknown
        return float(self.rejected[chosen].mean()) if chosen.any() else float("nan")


@dataclass(frozen=True)
class ClassifierEvaluation:
    """A classifier's results on one set of particles."""

    run: Path
    data: str
    classifier: TrainedClassifier
    left_out: int  # samples and pictures that the run has seen
    results: tuple[Result, ...]  # the first with all that is there

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in order of id."""
        return self.classifier.classes


def evaluate_classifier(
    run: Path, data: Path | None = None, counts: Sequence[int] = (), unknown: Sequence[str] = (),
    include_seen: bool = False,
) -> ClassifierEvaluation:  # fmt: skip
    """Name the particles of `data` with the classifier of `run` and compare with the truth.

    `data` is a sample file or its folder, or a YAML file of `EvaluationData`; None: what the run's own settings
    exclude. What the run was trained or calibrated on is left out unless `include_seen`. `counts` are numbers that
    spectra are thinned to, each a result more. `unknown` are populations or labels of no class that should be
    rejected. Raises InputError if run or data cannot be used, or if nothing remains.
    """
    classifier = load_classifier(run)
    reading = replace(reading_of(classifier.plan), unknown=_of_no_class(unknown, classifier))
    sources = _sources(classifier, data, reading)
    chosen = sources if include_seen else [s for s in sources if not _is_seen(s, classifier.trained_on)]
    if not chosen:
        raise InputError(f"{data or run}: the run has seen all {len(sources)} samples and pictures; give others")
    particles = read_sources(chosen, reading)
    if not (particles.labels != UNKNOWN).any():
        raise InputError(f"{data or run}: shows no particle of {', '.join(classifier.classes)}, expected some")
    if counts and particles.spectra is None:
        raise InputError("--counts: there are no spectra that could be thinned; leave it out")
    results = _views(classifier, particles, None)
    for level in sorted(counts, reverse=True):
        thinned = replace(particles, spectra=thinned_to(particles.spectra, level))
        results += [r for r in _views(classifier, thinned, level) if r.view != VIEWS["image"]]
    return ClassifierEvaluation(Path(run), str(data or "excluded by the run's settings"), classifier,
                                len(sources) - len(chosen), tuple(results))  # fmt: skip


def thinned_to(spectra: np.ndarray, counts: int) -> np.ndarray:
    """Spectra (N, C) as a shorter live time would have given them, with about `counts` counts; lesser ones stay."""
    total = spectra.sum(axis=1, dtype=np.float64)
    share = np.minimum(1.0, counts / np.maximum(total, 1))
    return np.random.default_rng([counts]).binomial(spectra, share[:, None]).astype(spectra.dtype)


def _views(classifier: TrainedClassifier, particles: ParticleSet, level: int | None) -> list[Result]:
    """A result with all that is there, and for a network of both inputs one with each alone."""
    inputs = inputs_of(particles.crops, particles.spectra, classifier.plan)
    wanted = list(VIEWS) if classifier.plan.model.name not in VIEWS else [classifier.plan.model.name]
    results = []
    for mode in wanted:
        inputs_then = only(inputs, mode)
        # with both: also those particles that lack one
        there = mode_of(inputs_then) != "nothing" if mode == wanted[0] else mode_of(inputs_then) == mode
        if there.any():
            results.append(_result(classifier, particles, inputs_then, there, VIEWS[mode], level))
    return results


def _result(
    classifier: TrainedClassifier, particles: ParticleSet, inputs: Inputs, there: np.ndarray, view: str,
    level: int | None,
) -> Result:  # fmt: skip
    chosen = torch.from_numpy(there)
    named = classifier.named(Inputs(*(x[chosen] for x in inputs)))
    own = particles[there]
    return Result(view, level, own.names, own.groups, own.labels, own.counts, named.probabilities, named.rejected)


def _recall(hit: np.ndarray) -> Recall:
    return (float(hit.mean()) if len(hit) else float("nan"), *wilson(int(hit.sum()), len(hit)))


def _of_no_class(unknown: Sequence[str], classifier: TrainedClassifier) -> tuple[str, ...]:
    for name in unknown:
        taken = [c.name for c in classifier.plan.classes if c.takes(name, "populations") or c.takes(name, "labels")]
        if taken:
            raise InputError(f"--unknown {name}: is of class {taken[0]}, expected what is of none")
    return tuple(unknown)


def _sources(classifier: TrainedClassifier, data: Path | None, reading: Reading) -> list[Source]:
    if data is None:
        excluded = split(classifier.plan.data, reading, classifier.plan.training.seed).excluded
        if not excluded:
            raise InputError(f"{classifier.folder}: its settings exclude nothing for a test; give --data")
        return list(excluded)
    if data.suffix in (".yaml", ".yml"):
        given = load_settings(data, EvaluationData)
        found = [source for part in given.synthetic for source in synthetic_sources(part, reading)]
        return found + [source for part in given.real for source in real_sources(part, reading)]
    return synthetic_sources(SyntheticParticles(path=data, take=_take(classifier)), reading)


def _take(classifier: TrainedClassifier) -> str:
    return next((part.take for part in classifier.plan.data.synthetic), "particles")


def _is_seen(source: Source, seen: TrainedOn) -> bool:
    return source.group in seen.specimens if source.real else source.group.removeprefix("synthetic ") in seen.samples
