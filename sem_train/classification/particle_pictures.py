"""The pictures of a micrograph's particles that a page shows: the field, and which class each particle is of."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sem_train.classification.particle_records import ParticlesRecord
from sem_train.classification.shares import REJECTED
from sem_train.spectra.contents import UNNAMED
from sem_train.transforms import normalise
from semforge.errors import InputError
from semforge.files import existing_file, whole_file

PREVIEW_PX = 1600  # longer side at most
NOBODY, WITHOUT_NAME = 0, 255  # in a class map; k is class k from 1, the one behind the last is rejected
NOT_CLASSIFIED = "not classified"


def files_of(out: Path, name: str) -> tuple[Path, Path]:
    """Micrograph and class map of a field, as they are shown."""
    return out / f"{name}.jpg", out / f"{name}_classes.png"


def write_pictures(
    out: Path, record: ParticlesRecord, image: np.ndarray, numbers: np.ndarray, classes: Sequence[str]
) -> None:
    """Write the micrograph (H, W) and its class map from its particles' `numbers` (H, W), at most 1,600 pixels wide."""
    shape = _preview_shape(image.shape)
    grey = np.rint((normalise(image, "percentile").clip(-1, 1) + 1) * 127.5).astype(np.uint8)
    picture, class_map = files_of(out, record.name)
    ids = np.zeros(len(record.particles) + 1, dtype=np.uint8)
    for p in record.particles:
        rejected = len(classes) + 1
        ids[p.number] = WITHOUT_NAME if not p.name else rejected if p.rejected else list(classes).index(p.name) + 1
    rows, columns = ((np.arange(n) + 0.5) * size / n for n, size in zip(shape, image.shape, strict=True))
    shown = ids[numbers[rows.astype(int)[:, None], columns.astype(int)]]
    with whole_file(picture) as temporary:
        small = Image.fromarray(grey).resize(shape[::-1], Image.Resampling.LANCZOS)
        small.save(temporary, format="JPEG", quality=88)
    with whole_file(class_map) as temporary:
        Image.fromarray(shown).save(temporary, format="PNG")


def read_pictures(out: Path, name: str, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """The micrograph (h, w) uint8, the position (h, w) of each pixel's class in the names, UNNAMED beside particles,
    and the names: the classes, `rejected` and `not classified`. Raises InputError if they are not there or broken."""
    picture, class_map = (existing_file(path, "what 'sem-train classify predict' drew") for path in files_of(out, name))
    try:
        grey, ids = np.asarray(Image.open(picture).convert("L")), np.asarray(Image.open(class_map))
    except OSError as error:
        raise InputError(f"{picture}: cannot be read as a picture; predict again") from error
    names = (*classes, REJECTED, NOT_CLASSIFIED)
    position = np.where(ids == NOBODY, UNNAMED, np.where(ids == WITHOUT_NAME, len(names) - 1, ids.astype(int) - 1))
    return grey, position, names


def _preview_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    scale = min(1.0, PREVIEW_PX / max(shape))
    return max(round(shape[0] * scale), 1), max(round(shape[1] * scale), 1)
