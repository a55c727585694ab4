"""The Lightning module of a classifier: its loss and optimiser, and its scores."""

from typing import Any

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F

from sem_train.callbacks import Score
from sem_train.classification.calibration import MODES, NEED_FAMILIAR, Calibration, Familiar, calibrated
from sem_train.classification.checkpoint import KEY, logits_of, mode_of, read_classifier
from sem_train.classification.config import ClassifyPlan
from sem_train.classification.drawing import Labelled, inputs_of
from sem_train.classification.gathering import GatheredParticles
from sem_train.classification.network import Inputs, build_classifier
from sem_train.classification.particles import ParticleSet
from sem_train.classification.scoring import macro_f1
from sem_train.inference import TrainedOn
from sem_train.optimisation import optimizer_of, schedule_of
from semforge.errors import InputError

MACRO_F1 = Score("macro_f1", "macro-F1", "macro-F1")
MOST_FAMILIAR = 4000  # particles that say where known ones lie


class ParticleClassifier(L.LightningModule):
    """A classifier with its loss and optimiser, and the scores of the last validation.

    A run that begins has the weights its settings name; one that is resumed gets all from its checkpoint.
    """

    def __init__(self, plan: ClassifyPlan, gathered: GatheredParticles, begins: bool = True):
        super().__init__()
        self.plan, self.gathered = plan, gathered
        self.network = build_classifier(plan, load_weights=begins and plan.model.start_from is None)
        self.calibration = Calibration(plan.calibration.reject, plan.calibration.false_rejection)
        self.scores: dict[str, float] = {}
        self._trained_on = _seen(gathered)
        if begins and plan.model.start_from is not None:
            self._trained_on |= _begin_from(plan, self.network, gathered)
        self._validated: list[tuple[torch.Tensor, torch.Tensor]] = []
        if plan.training.channels_last:
            self.network.to(memory_format=torch.channels_last)

    def training_step(self, batch: Labelled, batch_idx: int) -> torch.Tensor:
        inputs, labels = batch
        accumulate = self.plan.training.accumulate
        key = (7, self.global_step * accumulate + batch_idx % accumulate)  # dropout as in a run that was not resumed
        torch.manual_seed(int(np.random.SeedSequence(self.plan.training.seed, spawn_key=key).generate_state(1)[0]))
        return F.cross_entropy(self.network(inputs), labels)

    def validation_step(self, batch: Labelled, batch_idx: int) -> None:
        inputs, labels = batch
        self._validated.append((self.network(inputs).float(), labels))

    def on_validation_epoch_end(self) -> None:
        logits, labels = (torch.cat(parts).cpu() for parts in zip(*self._validated, strict=True))
        self._validated = []
        predicted = logits.argmax(dim=1).numpy()
        truth = labels.numpy()
        recall = {
            f"recall_{name}": float((predicted[truth == i] == i).mean()) if (truth == i).any() else float("nan")
            for i, name in enumerate(self.plan.names)
        }
        self.scores = {
            "val_loss": float(F.cross_entropy(logits, labels)), "accuracy": float((predicted == truth).mean()),
            "macro_f1": macro_f1(truth, predicted, len(self.plan.classes)), **recall,
        }  # fmt: skip
        self.log(MACRO_F1.key, self.scores[MACRO_F1.key], logger=False, batch_size=1)  # for who stops a run by it

    def configure_optimizers(self) -> Any:
        settings = self.plan.training
        optimizer = optimizer_of(self.network, settings)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule_of(optimizer, settings),
                                                         "interval": "step"}}  # fmt: skip

    def calibrate(self) -> None:
        """Work out temperatures and thresholds on what was held out, for each of what may be there of a particle."""
        held_out, training = self.gathered.held_out, self.gathered.training
        if not len(held_out):
            return
        self.network.eval()
        modes, prior = {}, _prior(self.plan, training)
        for mode in _modes(self.plan):
            logits, features, labels = self._seen_as(held_out, mode)
            if len(labels):
                needed = self.calibration.reject in NEED_FAMILIAR
                known = self._familiar(training, mode) if needed else None
                if needed and known is None:
                    continue
                modes[mode] = calibrated(logits, features, labels, known, self.calibration.reject,
                                         self.calibration.false_rejection, prior)  # fmt: skip
        self.calibration = Calibration(self.calibration.reject, self.calibration.false_rejection, modes)

    def _familiar(self, training: ParticleSet, mode: str) -> Familiar | None:
        """Where features of the particles trained on lie; None where a class has none of this mode."""
        chosen = np.random.default_rng(0).permutation(len(training))[:MOST_FAMILIAR]
        _, features, labels = self._seen_as(training[np.sort(chosen)], mode)
        n = len(self.plan.classes)
        return Familiar.of(features, labels, n) if len(np.unique(labels)) == n else None

    def _seen_as(self, particles: ParticleSet, mode: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Logits, features and labels of the particles that can be looked at so."""
        inputs = only(inputs_of(particles.crops, particles.spectra, self.plan), mode)
        fits = torch.from_numpy(mode_of(inputs) == mode)
        logits, features = logits_of(self.network, Inputs(*(x[fits] for x in inputs)), self.plan.training.precision)
        return logits, features, particles.labels[fits.numpy()]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        plan = ClassifyPlan.model_validate(self.plan.model_dump(include=set(ClassifyPlan.model_fields)))
        checkpoint[KEY] = {
            "plan": plan.model_dump(mode="json"), "trained_on": self._trained_on.stored(),
            "calibration": self.calibration.stored(),
        }  # fmt: skip

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._trained_on |= TrainedOn.from_stored(checkpoint[KEY]["trained_on"])


def only(inputs: Inputs, mode: str) -> Inputs:
    """The same particles with only so much of them there."""
    if mode == "image":
        return inputs._replace(has_spectrum=torch.zeros_like(inputs.has_spectrum))
    if mode == "spectrum":
        return inputs._replace(has_image=torch.zeros_like(inputs.has_image))
    return inputs


def _modes(plan: ClassifyPlan) -> tuple[str, ...]:
    return (plan.model.name,) if plan.model.name in MODES else MODES


def _prior(plan: ClassifyPlan, training: ParticleSet) -> np.ndarray | None:
    """Logarithms (k,) of how frequent each class is; None if the network has learnt that itself, or is not to know."""
    if plan.calibration.prior == "equal" or plan.data.balance == "none":
        return None
    labels = training.labels[training.real] if training.real.any() else training.labels
    counts = np.bincount(labels, minlength=len(plan.classes)) + 1.0
    return np.log(counts / counts.sum())


def _seen(gathered: GatheredParticles) -> TrainedOn:
    """What the run has seen; what was held out chose its temperatures and thresholds."""
    both = (gathered.training, gathered.held_out)
    identities = frozenset().union(*(p.identities for p in both))
    specimens = frozenset(str(g) for p in both for g in np.unique(p.groups[p.real]))
    return TrainedOn(samples=identities, images=identities, specimens=specimens)


def _begin_from(plan: ClassifyPlan, network: torch.nn.Module, gathered: GatheredParticles) -> TrainedOn:
    start = read_classifier(plan.model.start_from)
    ours, theirs = (_described(p) for p in (plan, start.plan))
    for what, value in ours.items():
        if theirs[what] != value:
            raise InputError(f"model.start_from: {start.path} has {what} {theirs[what]}, this run {value}, "
                             "expected the same")  # fmt: skip
    seen = gathered.held_out.identities & (start.trained_on.samples | start.trained_on.images)
    if seen:
        raise InputError(f"model.start_from: {start.path} was trained on {len(seen)} of the samples or pictures that "
                         "are held out now; hold them out there too")  # fmt: skip
    start.load_into(network)
    return start.trained_on


def _described(plan: ClassifyPlan) -> dict[str, object]:
    """What must be equal for weights to fit and to mean the same."""
    model = plan.model
    return {
        "model.name": model.name, "model.width": model.width, "model.image.name": model.image.name,
        "model.image.width": model.image.width, "classes": ", ".join(plan.names),
    }  # fmt: skip
