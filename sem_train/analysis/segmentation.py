"""One image file to class ids, and a small picture of it to show."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from sem_train.analysis.inputs import Job
from sem_train.analysis.options import AnalysisOptions
from sem_train.blocks import LARGE_PX, Pixels, predict_in_blocks
from sem_train.data.pictures import file_identity
from sem_train.inference import TrainedModel
from sem_train.micrographs import LargeMicrograph, Micrograph, Scale, open_micrograph, read_micrograph
from sem_train.transforms import normalise

PREVIEW_PX = 1600  # longer side of the picture that pages show
MEASURED_PX = 100_000_000  # pixels of a label map that is measured as it is; that takes some 10 bytes a pixel


@dataclass(frozen=True)
class Segmented:
    """What the rest of an analysis needs of an image."""

    job: Job
    sha256: str
    labels: np.ndarray  # (H, W) uint8 class ids, without databar; of a very large image every n-th row and column
    preview: np.ndarray  # (h, w) uint8, the same field of view
    scale: Scale
    databar_rows: tuple[int, int] | None  # rows of the file: first, and the one behind the last
    instrument: dict[str, str]
    every: int = 1  # that n

    @property
    def pixel_size_um(self) -> float | None:
        """Edge of a pixel of `labels`; None where nothing says."""
        return None if self.scale.pixel_size_um is None else self.scale.pixel_size_um * self.every


@dataclass(frozen=True)
class _Rows:
    """Some rows of an image that is read in parts."""

    image: Pixels
    rows: slice

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.stop - self.rows.start, self.image.shape[1]

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        top = self.rows.start
        return self.image.read(slice(top + rows.start, top + rows.stop), columns)


def segment(
    job: Job, model: TrainedModel, options: AnalysisOptions, told: Callable[[float], None] = lambda share: None
) -> Segmented:
    """Read an image and predict it, in blocks if it is large; `told` hears the share done.

    Raises InputError if the file is missing, no image, or says a scale that cannot be.
    """
    given = options.pixel_size_um, options.accept_scale_bar
    identity = file_identity(job.path)
    with open_micrograph(job.path, *given) as opened:
        if opened.shape[0] * opened.shape[1] > LARGE_PX:
            specimen = _Rows(opened, opened.specimen_rows)
            labels = predict_in_blocks(model, specimen, told)
            every = math.ceil(math.sqrt(labels.size / MEASURED_PX))
            labels = np.ascontiguousarray(labels[::every, ::every])
            return _segmented(job, identity, labels, _preview(_thinned(specimen)), opened, every)
    micrograph = read_micrograph(job.path, *given)
    labels = model.predict(micrograph.specimen).labels
    told(1.0)
    return _segmented(job, identity, labels, _preview(micrograph.specimen), micrograph)


def _segmented(
    job: Job,
    identity: str,
    labels: np.ndarray,
    preview: np.ndarray,
    source: Micrograph | LargeMicrograph,
    every: int = 1,
) -> Segmented:
    bar = None if source.databar is None else (source.databar.start, source.databar.stop)
    return Segmented(job, identity, labels, preview, source.scale, bar, source.instrument, every)


def _thinned(image: Pixels) -> np.ndarray:
    """About every n-th row and column, so that the longer side is at most twice the preview's."""
    height, width = image.shape
    step = max(1, max(height, width) // (2 * PREVIEW_PX))
    tops = range(0, height, 64 * step)
    parts = [image.read(slice(t, min(t + 64 * step, height)), slice(0, width))[::step, ::step] for t in tops]
    return np.concatenate(parts)


def _preview(image: np.ndarray) -> np.ndarray:
    grey = np.rint((normalise(image, "percentile").clip(-1, 1) + 1) * 127.5).astype(np.uint8)
    small = Image.fromarray(grey)
    small.thumbnail((PREVIEW_PX, PREVIEW_PX), Image.Resampling.LANCZOS)
    return np.asarray(small)
