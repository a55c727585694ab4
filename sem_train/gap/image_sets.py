"""The two sets that are compared: grey images of 8 bits and the specimen of each, wherever they are stored."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from blender_gen.sample import DATASET, SampleFile
from sem_train.data.pictures import data_folder
from sem_train.micrographs import SUFFIXES, read_image
from sem_train.specimen_names import read_specimen_names
from semforge.errors import InputError
from semforge.files import existing_file

INDEX = "index.csv"
MICROGRAPHS = "images"  # the folder name of micrographs where labels lie beside them
WILDCARDS = set("*?[")


@dataclass(frozen=True)
class GreyImage:
    """A micrograph as it is compared."""

    name: str
    specimen: str  # images of one specimen stay on one side of a split
    grey: np.ndarray  # (H, W) uint8


@dataclass(frozen=True)
class ImageSet:
    """Micrographs of one origin."""

    name: str
    images: tuple[GreyImage, ...]

    @property
    def specimens(self) -> list[str]:
        """The specimens, sorted, each once."""
        return sorted({image.specimen for image in self.images})


@dataclass(frozen=True)
class _Source:
    """A micrograph not yet read."""

    name: str
    specimen: str
    read: Callable[[], np.ndarray]  # (H, W) uint8 or uint16


def read_image_set(
    path: Path, scale: float = 1.0, max_images: int | None = None, seed: int = 0, groups: Path | None = None
) -> ImageSet:
    """The micrographs of a sample file, of its folder, of a folder of images, or of a glob pattern.

    A folder is searched with all below it; where it has folders named `images`, only those count. A relative
    path is also sought below the data root that SEMFORGE_DATA names. `groups` is a table (CSV) with the columns
    `name` (file name, with or without suffix) and `specimen`; without it, `index.csv` of the folder serves if it
    has them, else every image is a specimen of its own. The micrographs of one sample are one specimen.

    Images are resized by `scale` (bilinear, low-passed when shrunk, as in training) and have 8 bits then. If there
    are more than `max_images`, that many are drawn by the seed. Raises InputError if there is none, or a file
    cannot be read.
    """
    if not 0 < scale <= 4:
        raise InputError(f"scale is {scale:g}, expected more than 0 and at most 4")
    if max_images is not None and max_images < 2:
        raise InputError(f"at most {max_images} images, expected 2 or more to tell image from set; raise --max-images")
    sources = _sources(Path(path), groups)
    if max_images is not None and len(sources) > max_images:
        drawn = np.random.default_rng(np.random.SeedSequence(seed)).choice(len(sources), max_images, replace=False)
        sources = [sources[i] for i in sorted(drawn)]
    return ImageSet(str(path), tuple(GreyImage(s.name, s.specimen, resized(s.read(), scale)) for s in sources))


def resized(image: np.ndarray, scale: float) -> np.ndarray:
    """(H, W) uint8 or uint16 to uint8 of `scale` times the size: 16 bits lose their lower 8, both sets are alike."""
    grey = image.astype(np.float32) * (255 / np.iinfo(image.dtype).max)
    if scale != 1:
        height, width = (max(1, round(n * scale)) for n in image.shape)
        grey = np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.BILINEAR))
    return np.rint(grey).clip(0, 255).astype(np.uint8)


def _sources(path: Path, groups: Path | None) -> list[_Source]:
    if WILDCARDS & set(str(path)):
        return _file_sources(_globbed(path), path, groups)
    if path.suffix.lower() in (".h5", ".hdf5") or (path / DATASET).is_file():
        return list(_sample_sources(SampleFile(path)))
    if path.is_file():
        if h5py.is_hdf5(path):
            return list(_sample_sources(SampleFile(path)))
        raise InputError(f"{path}: is one file, expected a folder of images, a glob pattern or {DATASET}")
    folder = data_folder(path)
    if (folder / DATASET).is_file():
        return list(_sample_sources(SampleFile(folder)))
    shards = sorted(folder.glob("*.h5"))
    if shards:
        return [source for shard in shards for source in _sample_sources(SampleFile(shard))]
    files = sorted(file for file in folder.rglob("*") if _is_image(file, folder))
    marked = [file for file in files if MICROGRAPHS in file.relative_to(folder).parts[:-1]]
    if not files:
        raise InputError(f"{path}: has neither {DATASET} nor an image ({', '.join(SUFFIXES)})")
    return _file_sources(marked or files, folder, groups)


def _is_image(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return file.suffix.lower() in SUFFIXES and not hidden and file.is_file()


def _globbed(pattern: Path) -> list[Path]:
    wild = next(i for i, part in enumerate(pattern.parts) if WILDCARDS & set(part))
    folder = data_folder(Path(*pattern.parts[:wild]))
    rest = str(Path(*pattern.parts[wild:]))
    files = sorted(file for file in folder.glob(rest) if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise InputError(f"{pattern}: no such images ({', '.join(SUFFIXES)})")
    return files


def _sample_sources(file: SampleFile) -> Iterator[_Source]:
    for position in range(len(file)):
        specimen = file.stored_digest(position)
        for k in range(file.images_per_sample):
            name = f"sample {file.index[position]}" + (f", image {k}" if file.images_per_sample > 1 else "")
            yield _Source(name, specimen, partial(file.image, position, k))


def _file_sources(files: Sequence[Path], folder: Path, groups: Path | None) -> list[_Source]:
    specimens = _specimens(folder, groups)
    sources = []
    for file in files:
        specimen = specimens.get(file.name, specimens.get(file.stem))
        if specimens and specimen is None:
            raise InputError(f"{groups or folder / INDEX}: has no row with the name {file.stem!r}; add its specimen")
        sources.append(_Source(file.name, specimen or str(file), partial(_grey_of, file)))
    return sources


def _grey_of(file: Path) -> np.ndarray:
    return read_image(file)


def _specimens(folder: Path, groups: Path | None) -> dict[str, str]:
    """Specimen by image name; empty where nothing says."""
    if groups is None and not (folder / INDEX).is_file():
        return {}
    candidates = [folder / INDEX] if groups is None else [groups, folder / groups]
    path = next((c for c in candidates if c.is_file()), candidates[0])
    names = read_specimen_names(existing_file(path, "a table (CSV) with name and specimen"))
    if names is None and groups is not None:
        raise InputError(f"{path}: has no columns 'name' and 'specimen', expected one row an image with both")
    return names or {}
