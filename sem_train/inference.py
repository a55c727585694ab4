"""From a run folder to label maps: load a trained model, slide it over images of any size."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer
from torch import nn

from sem_train.classes import ClassMap
from sem_train.config import PATCH_PX, Plan
from sem_train.data.pictures import file_identity
from sem_train.hardware import autocasts, best_device
from sem_train.micrographs import Micrograph, Scale, read_micrograph, write_label_map, write_label_tiff
from sem_train.models import build_model
from sem_train.overlays import write_overlay
from sem_train.run_folder import RunFolder
from sem_train.transforms import normalise, resize_image, scaled_shape
from semforge.errors import InputError
from semforge.files import existing_file

CHECKPOINT_KEY = "semforge"
OVERLAP = 0.25
LabelFormat = Literal["png", "tif"]
WINDOW_CROPS = 4  # edge of a window over that of a training crop: fewer, larger windows overlap less


@dataclass(frozen=True)
class TrainedOn:
    """What a model has seen in training, so that nobody tests on it by mistake."""

    samples: frozenset[str] = frozenset()  # digests of synthetic samples
    images: frozenset[str] = frozenset()  # SHA-256 of image files
    specimens: frozenset[str] = frozenset()  # names of real specimens

    def __or__(self, other: "TrainedOn") -> "TrainedOn":
        return TrainedOn(self.samples | other.samples, self.images | other.images, self.specimens | other.specimens)

    @classmethod
    def from_stored(cls, stored: dict[str, list[str]]) -> "TrainedOn":
        """What `stored` gave."""
        return cls(**{kind: frozenset(names) for kind, names in stored.items()})

    def stored(self) -> dict[str, list[str]]:
        """As a checkpoint keeps it."""
        return {kind: sorted(names) for kind, names in vars(self).items()}


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds of a model."""

    path: Path
    plan: Plan
    trained_on: TrainedOn
    weights: dict[str, torch.Tensor]  # of the network

    def load_into(self, network: nn.Module) -> None:
        """Give `network` these weights. Raises InputError if they are of another one."""
        try:
            network.load_state_dict(self.weights)
        except Exception as error:
            raise _unreadable(self.path) from error


@dataclass(frozen=True)
class Prediction:
    """What a model sees in one image."""

    labels: np.ndarray  # (H, W) uint8 class ids
    probabilities: np.ndarray  # (C, H, W) float32, their sum over classes is 1


@dataclass(frozen=True)
class TrainedModel:
    """A network with all that it needs to read an image."""

    network: nn.Module
    config: Plan
    trained_on: TrainedOn
    folder: Path

    @property
    def classes(self) -> ClassMap:
        """What the class ids mean."""
        return self.config.classes

    def has_seen_sample(self, digest: str) -> bool:
        """Whether the synthetic sample with this content digest (`SampleFile.stored_digest`) was trained on."""
        return digest in self.trained_on.samples

    def has_seen_image(self, path: Path) -> bool:
        """Whether this very image file was trained on, wherever it lay then."""
        return file_identity(path) in self.trained_on.images

    def has_seen_specimen(self, specimen: str) -> bool:
        """Whether any real image of this specimen was trained on."""
        return specimen in self.trained_on.specimens

    def predict(self, image: np.ndarray) -> Prediction:
        """Segment a grey image (H, W) of any size: uint8, uint16, or float in 0 to 1."""
        if image.ndim != 2 or 0 in image.shape:
            raise ValueError(f"image has shape {image.shape}, expected (height, width)")
        data = self.config.data
        return self.predict_normalised(normalise(image, data.normalisation, data.reference_levels))

    def predict_normalised(self, levels: np.ndarray) -> Prediction:
        """As `predict`, of grey levels (H, W) float32 that are normalised as in training."""
        data = self.config.data
        device = next(self.network.parameters()).device
        x = resize_image(torch.from_numpy(levels)[None].to(device), scaled_shape(levels.shape, data.scale))
        with torch.inference_mode(), autocasts(self.config.training.precision, device):
            p = window_probabilities(self.network, x[None], WINDOW_CROPS * data.crop_px)[0]
        p = resize_image(p, levels.shape).cpu().numpy()
        return Prediction(p.argmax(axis=0).astype(np.uint8), p)


def window_probabilities(network: nn.Module, image: torch.Tensor, window_px: int) -> torch.Tensor:
    """Class probabilities (1, C, H, W) float32 of an image (1, 1, H, W) of any size.

    Windows of at most `window_px` overlap by a quarter and are blended with Gaussian weights; an image that fits
    into one window is seen whole, its border repeated up to the next multiple of 32.
    """
    window = [min(window_px, -(-size // PATCH_PX) * PATCH_PX) for size in image.shape[-2:]]
    slide = SlidingWindowInferer(window, sw_batch_size=2, overlap=OVERLAP, mode="gaussian", padding_mode="replicate")
    return slide(image, lambda x: network(x).float().softmax(dim=1))


def checkpoint_of(run: Path) -> Path:
    """The last checkpoint of a training run's folder; a checkpoint file is its own.

    Raises InputError if there is no run, or none that has a checkpoint yet.
    """
    run = Path(run)
    if not run.exists():
        raise InputError(f"{run}: no such folder, expected a training run")
    return existing_file(RunFolder(run).last if run.is_dir() else run, "the checkpoint of a training run")


def read_checkpoint(run: Path) -> Checkpoint:
    """The checkpoint of a training run's folder (`checkpoint_of`), or a checkpoint file, in main memory.

    Raises InputError as `checkpoint_of` does, and if it cannot be read.
    """
    path = checkpoint_of(run)
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        about = stored[CHECKPOINT_KEY]
        weights = {key.removeprefix("network."): value for key, value in stored["state_dict"].items()}
        return Checkpoint(path, Plan.model_validate(about["plan"]), TrainedOn.from_stored(about["trained_on"]), weights)
    except Exception as error:  # pickle, zip and key errors all mean the file is not one of ours
        raise _unreadable(path) from error


def _unreadable(path: Path) -> InputError:
    return InputError(f"{path}: cannot be read as a checkpoint of semforge, train it again")


def load_run(run: Path) -> TrainedModel:
    """The model of a training run's folder with its last weights, or that of a checkpoint file.

    The last weights, so that what was held out has had no say in them and can serve as a test;
    name `RUN/best.ckpt` to get those that scored best on it.
    Raises InputError if there is no run, or none that has a checkpoint yet, or one that cannot be read.
    """
    checkpoint = read_checkpoint(run)
    network = build_model(checkpoint.plan.model, len(checkpoint.plan.classes), seed=0, load_weights=False)
    checkpoint.load_into(network)
    network.eval().to(best_device(), memory_format=torch.channels_last)
    return TrainedModel(network, checkpoint.plan, checkpoint.trained_on, checkpoint.path.parent)


@dataclass(frozen=True)
class PredictedFile:
    """Where the prediction of one image file went, and what of the file it is."""

    source: Path
    label_map: Path
    overlay: Path
    scale: Scale
    databar: slice | None = None  # rows of the file that are no specimen: label map and overlay are without them


def predict_files(
    run: Path,
    images: list[Path],
    out: Path,
    pixel_size_um: float | None = None,
    accept_scale_bar: bool = False,
    label_format: LabelFormat = "png",
) -> list[PredictedFile]:
    """Segment image files; writes `<name>_labels.png` (class ids, with their class map) and `<name>_overlay.png`.

    As `tif`, the label map is one that ImageJ, Fiji and napari show in colours and at scale. A databar is cut off
    before: label map and overlay show the rows of the specimen alone. Scale as by
    `read_micrograph`. Every image is read before the first is predicted: one that cannot be used raises InputError
    and nothing is written.
    """
    twice = {path.stem for path in images if sum(path.stem == other.stem for other in images) > 1}
    if twice:
        raise InputError(f"images: {sorted(twice)[0]!r} is the name of two of them, so one would replace the other")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file, expected a folder for the predictions")
    read = partial(read_micrograph, pixel_size_um=pixel_size_um, accept_scale_bar=accept_scale_bar)
    model = load_run(run)
    for path in images:
        read(path)
    return [_predict_file(model, path, read(path), out, label_format) for path in images]


def _predict_file(
    model: TrainedModel, path: Path, micrograph: Micrograph, out: Path, label_format: LabelFormat
) -> PredictedFile:
    label_map, overlay = out / f"{path.stem}_labels.{label_format}", out / f"{path.stem}_overlay.png"
    labels = model.predict(micrograph.specimen).labels
    write = write_label_tiff if label_format == "tif" else write_label_map
    write(label_map, labels, model.classes, micrograph.pixel_size_um)
    write_overlay(overlay, micrograph.specimen, labels, model.classes)
    return PredictedFile(path, label_map, overlay, micrograph.scale, micrograph.databar)
