"""A trained network of spectra with all that its use needs: classes, axis, temperature, what it refuses."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sem_train.hardware import autocasts, best_device
from sem_train.run_folder import RunFolder
from sem_train.spectra.named import UNCLASSIFIED, Named, labels_of
from sem_train.spectra.network import SpectrumNetwork, spectra_input
from sem_train.spectra.novelty import Novelty
from sem_train.spectra.settings import MapConfig
from semforge.errors import InputError
from semforge.files import existing_file
from semforge.settings import validate
from semforge.spectra import EnergyAxis, rebinned

ABOUT = "spectra"  # key of a checkpoint under which all but the weights stands
PREFIX = "network."
BATCH = 512  # spectra at a time, so few that they stay near the processor
BEAM_SLACK = 0.1  # share by which the beam may lie outside what was learnt


@dataclass(frozen=True)
class SpectralModel:
    """A network that names spectra on `axis`."""

    network: SpectrumNetwork
    classes: tuple[str, ...]
    axis: EnergyAxis
    config: MapConfig
    novelty: Novelty
    means: np.ndarray  # (K, C) mean spectra of the classes, of sum 1
    temperature: float
    beam_kev: tuple[float, float] | None
    device: torch.device
    precision: str = "32"
    barred: tuple[int, ...] = ()  # classes that are known not to be there
    name: str = "network"
    learnt_too: tuple[str, ...] = ()  # phases that had nothing to be held out

    @property
    def score_note(self) -> str | None:
        """What to say of scores and probabilities of a network that was judged by what it had learnt."""
        if not self.learnt_too:
            return None
        return (f"nothing of {', '.join(self.learnt_too)} was held out: the network's score and the calibration of its "
                "probabilities are on spectra that it has learnt, so both are too good")  # fmt: skip

    def only(self, names: Sequence[str]) -> "SpectralModel":
        """The same network where nothing but these classes can be there. Raises InputError for one it does not know."""
        strange = [name for name in names if name not in self.classes]
        if strange:
            raise InputError(f"class {strange[0]!r} is not known, the network knows {', '.join(self.classes)}")
        if not names:
            return self
        return replace(self, barred=tuple(k for k, name in enumerate(self.classes) if name not in names))

    def on_axis(self, counts: np.ndarray, axis: EnergyAxis, beam_kev: float | None = None) -> np.ndarray:
        """Spectra (..., C') on the axis of this network. Raises InputError that names both where they cannot be."""
        return rebinned(counts, axis, self.axis, beam_kev)

    def probabilities(self, counts: np.ndarray) -> np.ndarray:
        """(N, K) float32, calibrated, of counts (N, C) on the network's axis."""
        return self._in_batches(counts)[0]

    def named(self, counts: np.ndarray) -> Named:
        """The class of each spectrum; UNCLASSIFIED with too few counts, too little confidence, or like none."""
        probabilities, distance = self._in_batches(counts)
        labels = labels_of(probabilities, counts, self.config.reject.fewest_counts, self.axis)
        doubtful = probabilities.max(-1, initial=0) < self.config.reject.lowest_confidence
        labels[(distance > 1) | doubtful] = UNCLASSIFIED
        return Named(labels, probabilities, probabilities, distance)

    def beam_note(self, beam_kev: float | None) -> str | None:
        """What to say of spectra taken with a beam that the network has not learnt."""
        if beam_kev is None or self.beam_kev is None:
            return None
        low, high = self.beam_kev
        if low * (1 - BEAM_SLACK) <= beam_kev <= high * (1 + BEAM_SLACK):
            return None
        learnt = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        return f"taken at {beam_kev:g} kV, the network has learnt {learnt} kV: its names are not to be relied on"

    def _in_batches(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities (N, K) and distances (N,) of counts (N, C)."""
        if not len(counts):
            return np.zeros((0, len(self.classes)), np.float32), np.zeros(0, np.float32)
        batches = [counts[start : start + BATCH] for start in range(0, len(counts), BATCH)]
        threads = torch.get_num_threads() if self.device.type == "cpu" else 1
        if min(threads, len(batches)) == 1:
            found = [self._of_batch(batch) for batch in batches]
        else:
            torch.set_num_threads(1)  # batches are too small to be shared by threads: each thread has its own
            try:
                with ThreadPoolExecutor(threads) as pool:
                    found = list(pool.map(self._of_batch, batches))
            finally:
                torch.set_num_threads(threads)
        probabilities, distance = zip(*found, strict=True)
        return np.concatenate(probabilities), np.concatenate(distance)

    def _of_batch(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode(), autocasts(self.precision, self.device):
            logits = self.network(spectra_input(counts).to(self.device))
            logits[:, list(self.barred)] = -torch.inf
            probabilities = torch.softmax(logits.float() / self.temperature, -1).cpu().numpy()
        return probabilities, self.novelty.relative(counts, probabilities)


def about_of(model_parts: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint carries beside the weights, of plain values and tensors."""
    axis, novelty = model_parts["axis"], model_parts["novelty"]
    return {
        "classes": list(model_parts["classes"]), "axis": [axis.channels, axis.width_ev, axis.offset_ev],
        "config": model_parts["config"].model_dump(mode="json"),
        "means": torch.as_tensor(model_parts["means"], dtype=torch.float32),
        "novelty": {
            "means": torch.as_tensor(novelty.means), "prototypes": torch.as_tensor(novelty.prototypes),
            "first": novelty.first, "channels": novelty.channels,
            "limits": torch.as_tensor(novelty.limits, dtype=torch.float64),
        },
        "temperature": float(model_parts["temperature"]),
        "beam_kev": list(model_parts["beam_kev"]) if model_parts["beam_kev"] else None,
        "learnt_too": list(model_parts["learnt_too"]),
    }  # fmt: skip


def load_model(run: Path, precision: str = "auto") -> SpectralModel:
    """The network of a run folder or a checkpoint. Raises InputError if there is none, or one of something else."""
    path = Path(run)
    path = RunFolder(path).last if path.is_dir() else path
    path = existing_file(path, "a run that 'sem-train map fit' wrote")
    device = best_device()
    try:
        checkpoint = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises what its parts raise
        raise InputError(f"{path}: cannot be read as a checkpoint; train it again") from error
    about = checkpoint.get(ABOUT) if isinstance(checkpoint, dict) else None
    if about is None or "novelty" not in about:
        raise InputError(f"{path}: is no network of spectra, expected a run of 'sem-train map fit'")
    config = validate(about["config"], MapConfig, str(path))
    axis = EnergyAxis(int(about["axis"][0]), float(about["axis"][1]), float(about["axis"][2]))
    network = network_of(config, axis.channels, len(about["classes"]))
    weights = checkpoint["state_dict"]
    network.load_state_dict({k.removeprefix(PREFIX): v for k, v in weights.items() if k.startswith(PREFIX)})
    means = about["means"].cpu().numpy()
    kept = about["novelty"]
    arrays = {name: kept[name].cpu().numpy() for name in ("means", "prototypes", "limits")}
    novelty = Novelty(first=kept["first"], channels=kept["channels"], **arrays)
    beam = tuple(about["beam_kev"]) if about["beam_kev"] else None
    return SpectralModel(
        network.eval().to(device), tuple(about["classes"]), axis, config, novelty, means, about["temperature"],
        beam, device, precision, learnt_too=tuple(about.get("learnt_too", ())),
    )  # fmt: skip


def network_of(config: MapConfig, channels: int, classes: int) -> SpectrumNetwork:
    """The network that settings describe, with new weights."""
    return SpectrumNetwork(channels, classes, config.network.width, config.network.dropout)
