"""What a checkpoint of a classifier holds, and a classifier that is ready to name particles."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sem_train.classification.calibration import Calibration
from sem_train.classification.config import ClassifyPlan
from sem_train.classification.drawing import LOOKED_AT, inputs_of
from sem_train.classification.network import Classifier, Inputs, build_classifier
from sem_train.classification.particles import Crops
from sem_train.classification.sources import on_axis
from sem_train.hardware import autocasts, best_device
from sem_train.inference import TrainedOn, checkpoint_of
from semforge.errors import InputError
from semforge.spectra.axis import EnergyAxis

KEY = "semforge_classifier"


@dataclass(frozen=True)
class ClassifierCheckpoint:
    """What a checkpoint file holds of a classifier."""

    path: Path
    plan: ClassifyPlan
    trained_on: TrainedOn  # with what was held out to calibrate by
    calibration: Calibration
    weights: dict[str, torch.Tensor]  # of the network

    def load_into(self, network: Classifier) -> None:
        """Give `network` these weights. Raises InputError if they are of another one."""
        try:
            network.load_state_dict(self.weights)
        except RuntimeError as error:
            raise _unreadable(self.path) from error


@dataclass(frozen=True)
class Named:
    """What a classifier says of particles."""

    probabilities: np.ndarray  # (n, k) float64, calibrated
    classes: np.ndarray  # (n,) int64, the likeliest
    rejected: np.ndarray  # (n,) bool: like none that was trained on
    known: np.ndarray  # (n,) bool: False where there was nothing to look at; then the rest means nothing

    @property
    def confidence(self) -> np.ndarray:
        """Probability (n,) of the likeliest class."""
        return self.probabilities.max(axis=1)


@dataclass(frozen=True)
class TrainedClassifier:
    """A classifier with all that it needs to name particles."""

    network: Classifier
    plan: ClassifyPlan
    calibration: Calibration
    trained_on: TrainedOn
    folder: Path

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in order of id."""
        return self.plan.names

    @property
    def axis(self) -> EnergyAxis | None:
        """The energy axis of the spectra that it reads; None if it reads none."""
        return self.plan.data.spectra.axis if self.plan.model.sees_spectrum else None

    def probabilities(
        self, crops: Crops | None, spectra: np.ndarray | None = None, axis: EnergyAxis | None = None
    ) -> np.ndarray:
        """Calibrated probabilities (n, k), see `name`."""
        return self.name(crops, spectra, axis).probabilities

    def name(
        self, crops: Crops | None, spectra: np.ndarray | None = None, axis: EnergyAxis | None = None,
        has_image: np.ndarray | None = None,
    ) -> Named:  # fmt: skip
        """Name n particles by crops, cut as `plan.data.crops` says, and spectra (n, C) of counts on `axis`.

        Either may be None, and a spectrum with fewer counts than the plan asks for is missing; `has_image` (n,) says
        which crops are there. Raises InputError if the axis does not fit, and if there is nothing that it looks at.
        """
        return self.named(self.inputs(crops, spectra, axis, has_image))

    def named(self, inputs: Inputs) -> Named:
        """As `name`, of what `inputs` gave."""
        logits, features = self.logits(inputs)
        modes = mode_of(inputs)
        probabilities, rejected = np.full(logits.shape, 1 / logits.shape[1]), np.zeros(len(logits), bool)
        for mode in self.calibration.modes.keys() | set(modes.tolist()):
            own = modes == mode
            if mode != "nothing" and own.any():
                probabilities[own] = self.calibration.probabilities(logits[own], mode)
                rejected[own] = self.calibration.rejected(logits[own], features[own], mode)
        return Named(probabilities, probabilities.argmax(axis=1), rejected, modes != "nothing")

    def inputs(
        self, crops: Crops | None, spectra: np.ndarray | None = None, axis: EnergyAxis | None = None,
        has_image: np.ndarray | None = None,
    ) -> Inputs:  # fmt: skip
        """What the network is given of particles, in main memory; see `name`."""
        model = self.plan.model
        if (crops is None or not model.sees_image) and (spectra is None or not model.sees_spectrum):
            wanted = {"image": "a picture", "spectrum": "a spectrum"}.get(model.name, "a picture or a spectrum")
            raise InputError(f"{self.folder}: names particles by {model.name.replace('_', ' ')}, expected {wanted}")
        if spectra is not None and self.axis is not None:
            have = axis if axis is not None else self.axis
            if spectra.shape[-1] != have.channels:
                raise InputError(f"spectra have {spectra.shape[-1]} channels, their axis {have.describe()}")
            spectra = on_axis(spectra, have, self.axis, "spectra")
        count = len(crops) if crops is not None else len(spectra)
        there = np.full(count, crops is not None and model.sees_image)
        if crops is None:
            crops = Crops.empty(self.plan.data.crops.side_px, count)
        if has_image is not None:
            there &= has_image
        inputs = inputs_of(crops, spectra, self.plan)
        return inputs._replace(has_image=torch.from_numpy(there))

    def logits(self, inputs: Inputs) -> tuple[np.ndarray, np.ndarray]:
        """Logits (n, k) and joined features (n, D), float64."""
        return logits_of(self.network, inputs, self.plan.training.precision)


def logits_of(network: Classifier, inputs: Inputs, precision: str) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, k) and joined features (n, D) float64 of a network that is not being trained."""
    device = next(network.parameters()).device
    logits, features = [], []
    with torch.inference_mode(), autocasts(precision, device):
        for start in range(0, len(inputs.crops), LOOKED_AT):
            part = Inputs(*(x[start : start + LOOKED_AT].to(device) for x in inputs))
            joined = network.joined(part)
            features.append(joined.float().cpu())
            logits.append(network.head(joined).float().cpu())
    if not logits:
        return np.zeros((0, network.head.out_features)), np.zeros((0, network.head.in_features))
    return torch.cat(logits).double().numpy(), torch.cat(features).double().numpy()


def mode_of(inputs: Inputs) -> np.ndarray:
    """What of each particle is there (n,) str: one of `MODES`, or nothing."""
    image, spectrum = inputs.has_image.numpy(), inputs.has_spectrum.numpy()
    return np.where(image & spectrum, "both", np.where(image, "image", np.where(spectrum, "spectrum", "nothing")))


def read_classifier(run: Path) -> ClassifierCheckpoint:
    """The checkpoint of a classifier's run folder, or a checkpoint file, in main memory.

    Raises InputError if there is no run, none that has a checkpoint yet, or one that cannot be read.
    """
    path = checkpoint_of(run)
    stored = _stored(path)
    try:
        about = stored[KEY]
        plan = ClassifyPlan.model_validate(about["plan"])
        calibration = Calibration.from_stored(about["calibration"])
        return ClassifierCheckpoint(
            path, plan, TrainedOn.from_stored(about["trained_on"]), calibration, _network(stored)
        )
    except Exception as error:  # key and validation errors all mean the file is not one of ours
        raise _unreadable(path) from error


def read_weights(run: Path) -> dict[str, torch.Tensor]:
    """All weights in a checkpoint of ours by their full names."""
    return _stored(checkpoint_of(run))["state_dict"]


def load_classifier(run: Path) -> TrainedClassifier:
    """The classifier of a run folder with its last weights, or that of a checkpoint file, on the GPU if there is one.

    Raises InputError as `read_classifier` does.
    """
    checkpoint = read_classifier(run)
    network = build_classifier(checkpoint.plan, load_weights=False)
    checkpoint.load_into(network)
    network.eval().to(best_device(), memory_format=torch.channels_last)
    return TrainedClassifier(
        network, checkpoint.plan, checkpoint.calibration, checkpoint.trained_on, checkpoint.path.parent
    )


def _stored(path: Path) -> dict:
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise _unreadable(path) from error
    if not isinstance(stored, dict) or KEY not in stored:
        raise InputError(f"{path}: holds no classifier of particles; give a run of 'sem-train classify fit'")
    return stored


def _network(stored: dict) -> dict[str, torch.Tensor]:
    return {k.removeprefix("network."): v for k, v in stored["state_dict"].items() if k.startswith("network.")}


def _unreadable(path: Path) -> InputError:
    return InputError(f"{path}: cannot be read as a classifier of semforge, train it again")
