"""A trained classifier as prediction on micrographs uses it, and the looks into its decisions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sem_train.classification.checkpoint import TrainedClassifier
from sem_train.classification.explain import deciding_lines, grad_cam, shares_of_parts
from sem_train.classification.field import Answer
from sem_train.classification.particle_records import Decision, ParticleRecord, ParticlesRecord
from sem_train.classification.particles import Crops, cut_particles, whole_picture
from sem_train.classification.prediction import Seen
from sem_train.classification.shares import Confusion
from semforge.errors import InputError
from semforge.files import existing_file, whole_file
from semforge.spectra import EnergyAxis


@dataclass(frozen=True)
class NamesParticles:
    """`Names` by a classifier of `sem-train classify fit`."""

    trained: TrainedClassifier

    @property
    def classes(self) -> Sequence[str]:
        """Class names in order of id."""
        return self.trained.classes

    @property
    def axis(self) -> EnergyAxis | None:
        """Axis of the spectra that it reads; None where it reads none."""
        return self.trained.axis

    @property
    def sees_image(self) -> bool:
        """Whether it looks at pictures."""
        return self.trained.plan.model.sees_image

    @property
    def fewest_counts(self) -> int:
        """A spectrum with fewer is none."""
        return self.trained.plan.data.spectra.fewest_counts

    def crops(self, image: np.ndarray, objects: np.ndarray, pixel_size_um: float | None) -> Crops:
        """The pictures of all particles, cut as in training; of one that fills the picture, the whole picture."""
        settings = self.trained.plan.data.crops
        if objects.min() == 1 == objects.max():
            return whole_picture(image, settings, pixel_size_um)
        return cut_particles(image, objects, range(1, int(objects.max()) + 1), settings, pixel_size_um)

    def answer(self, crops: Crops | None, which: np.ndarray, spectra: np.ndarray | None) -> Answer:
        """Calibrated probabilities of the particles at positions `which`, and who is like none that was trained on."""
        said = self.trained.name(None if crops is None else crops[which], spectra)
        return Answer(said.probabilities, said.rejected & said.known)


@dataclass(frozen=True)
class Explanations:
    """Shows of some particles of each micrograph what decided their names: those that are named least surely."""

    names: NamesParticles
    most: int

    def __call__(self, record: ParticlesRecord, seen: Seen, out: Path) -> ParticlesRecord:
        """The record with decisions; their pictures are written into `out`."""
        named = sorted((p for p in record.particles if p.name), key=lambda p: p.confidence or 0.0)
        chosen = {p.number for p in named[: self.most]}
        if not chosen:
            return record
        sees = self.names.sees_image
        crops = self.names.crops(seen.image, seen.objects.numbers, seen.frame.pixel_size_um) if sees else None
        particles = tuple(
            self._explained(p, crops, seen, record.name, out) if p.number in chosen else p for p in record.particles
        )
        return record.model_copy(update={"particles": particles})

    def _explained(self, p: ParticleRecord, crops: Crops | None, seen: Seen, name: str, out: Path) -> ParticleRecord:
        from sem_train.classification.explained_picture import explained_picture, shown_spectrum

        trained, k = self.names.trained, p.number - 1
        target = trained.classes.index(p.name)
        crop = None if crops is None else crops[k : k + 1]
        read = seen.spectra is not None and p.decided_by in ("spectrum", "both")
        counts = seen.spectra.counts[k] if read and seen.spectra is not None else None
        heat, parts = None, ()
        if crop is not None and trained.network.image is not None:
            inputs = trained.inputs(crop, None if counts is None else counts[None])
            device = next(trained.network.parameters()).device
            on_device = type(inputs)(*(x.to(device) for x in inputs))
            heat = grad_cam(trained.network.image.maps, lambda: trained.network(on_device), target, crop.grey.shape[-1])
        if counts is not None and seen.spectra is not None:
            parts = deciding_lines(
                counts, seen.spectra.axis, target, lambda c: self._logits(crop, c), seen.spectra.beam_kev
            )
        file = f"{name}_explained_{p.number}.png"
        spectrum = None
        if counts is not None and seen.spectra is not None:
            elements = tuple(e.element for e in p.elements if e.share > 0)
            spectrum = shown_spectrum(p.name, counts, seen.spectra.axis, seen.spectra.beam_kev, elements, parts)
        picture = explained_picture(None if crop is None else crop.grey[0], heat, spectrum)
        with whole_file(out / file) as temporary:
            Image.fromarray(picture).save(temporary, format="PNG")
        return p.model_copy(update={"decision": Decision(lines=shares_of_parts(parts), picture=file)})

    def _logits(self, crop: Crops | None, counts: np.ndarray) -> np.ndarray:
        """Logits (n, k) of one particle with different spectra (n, C)."""
        repeated = None if crop is None else Crops.joined([crop] * len(counts))
        with torch.inference_mode():
            return self.names.trained.logits(self.names.trained.inputs(repeated, counts))[0]


def read_confusion(path: Path, classes: Sequence[str]) -> Confusion:
    """How often each class was given each name: a CSV with a row a true class, a column a name, counts in between.

    Raises InputError if the file is none, or is of other classes.
    """
    import csv

    path = existing_file(path, "a confusion matrix (CSV), a row a true class, a column a name")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    header, table = rows[0][1:] if rows else [], {row[0]: row[1:] for row in rows[1:] if row}
    if set(table) != set(classes) or not set(classes) <= set(header):
        raise InputError(f"{path}: is of {', '.join(table) or 'no classes'}, the classifier names {', '.join(classes)}")
    order = [header.index(name) for name in [*classes, *(n for n in header if n not in classes)]]
    try:
        return Confusion(np.array([[float(table[name][i]) for i in order] for name in classes]))
    except (ValueError, IndexError) as error:
        raise InputError(f"{path}: expected a count in every cell") from error
