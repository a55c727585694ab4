"""Particles as arrays: a square of grey levels each, how large it is, and its spectrum where it has one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from sem_train.classification.config import CropSettings
from sem_train.transforms import normalise
from semforge.errors import InputError
from semforge.spectra.axis import EnergyAxis
from semforge.spectra.spectrum import total_counts

REACH = {"percentile": 1.25, "standard": 3.0, "none": 1.0}  # normalised levels within ± are kept, as 256 steps
SIZES = 3  # what the network is told of a particle's size
WHOLE = 1  # number of the one body that a whole picture shows


@dataclass(frozen=True)
class Crops:
    """Pictures of particles, and their sizes.

    `sizes` holds the decimal logarithm of the longer side of the particle's box in µm (0 where the scale is unknown),
    whether it is known (1 or 0), and the binary logarithm of the pixels of the micrograph a pixel of the crop.
    """

    grey: np.ndarray  # (N, side, side) uint8, normalised levels
    sizes: np.ndarray  # (N, SIZES) float32

    def __len__(self) -> int:
        return len(self.grey)

    def __getitem__(self, which: np.ndarray | slice) -> "Crops":
        return Crops(self.grey[which], self.sizes[which])

    @classmethod
    def empty(cls, side_px: int, count: int = 0) -> "Crops":
        """Black crops without a size."""
        return cls(np.zeros((count, side_px, side_px), np.uint8), np.zeros((count, SIZES), np.float32))

    @classmethod
    def joined(cls, parts: Sequence["Crops"]) -> "Crops":
        """One after the other."""
        return cls(np.concatenate([p.grey for p in parts]), np.concatenate([p.sizes for p in parts]))


@dataclass(frozen=True)
class ParticleSet:
    """Labelled particles. A particle without a spectrum has a row of zeros in `spectra`."""

    crops: Crops
    spectra: np.ndarray | None  # (N, C) counts on `axis`; None where no particle has any
    axis: EnergyAxis | None
    labels: np.ndarray  # (N,) int64 class ids
    groups: np.ndarray  # (N,) str: particles of one group never stand on both sides of a split
    names: np.ndarray  # (N,) str, what messages and tables call them
    real: np.ndarray  # (N,) bool
    identities: frozenset[str] = frozenset()  # digests of the samples, SHA-256 of the files

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, which: np.ndarray) -> "ParticleSet":
        """The chosen particles; `identities` stay those of all."""
        spectra = None if self.spectra is None else self.spectra[which]
        return replace(self, crops=self.crops[which], spectra=spectra, labels=self.labels[which],
                       groups=self.groups[which], names=self.names[which], real=self.real[which])  # fmt: skip

    @property
    def counts(self) -> np.ndarray:
        """Counts above the zero peak of each particle's spectrum (N,) float64; 0 without one."""
        if self.spectra is None or self.axis is None:
            return np.zeros(len(self))
        return total_counts(self.spectra, self.axis)

    @classmethod
    def joined(cls, parts: Sequence["ParticleSet"], axis: EnergyAxis | None, side_px: int) -> "ParticleSet":
        """One after the other; those without spectra get rows of zeros if any has some. `axis` is that of all."""
        with_spectra = [p for p in parts if p.spectra is not None]
        spectra = None
        if with_spectra and axis is not None:
            kinds = np.result_type(*(p.spectra.dtype for p in with_spectra))
            empty = lambda p: np.zeros((len(p), axis.channels), kinds)
            spectra = np.concatenate([empty(p) if p.spectra is None else p.spectra for p in parts]).astype(kinds)
        joined = lambda name, kind: np.concatenate([np.asarray(getattr(p, name)) for p in parts] or [[]]).astype(kind)
        return cls(
            crops=Crops.joined([Crops.empty(side_px), *(p.crops for p in parts)]), spectra=spectra,
            axis=axis if spectra is not None else None, labels=joined("labels", np.int64),
            groups=joined("groups", np.str_), names=joined("names", np.str_), real=joined("real", bool),
            identities=frozenset().union(*(p.identities for p in parts)),
        )  # fmt: skip


def cut_particles(
    image: np.ndarray, instances: np.ndarray, numbers: Sequence[int], settings: CropSettings,
    pixel_size_um: float | None = None,
) -> Crops:  # fmt: skip
    """Square crops round the bodies `numbers` of a micrograph.

    `image` (H, W) uint8, uint16 or float in 0 to 1; `instances` (H, W) whole numbers, 0 where there is no particle. A
    crop is centred on the box of its body and may reach over the frame: the border is repeated there. Raises
    InputError if the two differ in shape or a body is not there.
    """
    if image.shape != instances.shape:
        raise InputError(f"the label map is {instances.shape} pixels, its image {image.shape}, expected the same")
    levels = _kept_levels(image, settings.normalisation)
    boxes = _boxes(instances, numbers)
    ground = instances == 0
    substrate = np.uint8(np.median(levels[ground])) if ground.any() else np.uint8(0)
    grey = np.zeros((len(numbers), settings.side_px, settings.side_px), np.uint8)
    sizes = np.zeros((len(numbers), SIZES), np.float32)
    for i, number in enumerate(numbers):
        rows, columns = boxes[i]
        longer = max(rows.stop - rows.start, columns.stop - columns.start)
        window = _window(rows, columns, longer * (1 + 2 * settings.context), image.shape)
        cut = levels[window]
        if settings.around != "kept":
            bodies = instances[window]
            other = bodies != number
            other = other & (bodies != 0) if settings.around == "neighbours_masked" else other
            cut = np.where(other, substrate, cut)
        grey[i] = _resized(cut, settings.side_px)
        sizes[i] = _sizes(longer, len(cut), settings.side_px, pixel_size_um)
    return Crops(grey, sizes)


def whole_picture(image: np.ndarray, settings: CropSettings, pixel_size_um: float | None = None) -> Crops:
    """A picture (H, W) as the one crop of it, its shorter side filled up by repeating its border."""
    levels = _kept_levels(image, settings.normalisation)
    height, width = image.shape
    window = _window(slice(0, height), slice(0, width), max(height, width), image.shape)
    grey = _resized(levels[window], settings.side_px)
    return Crops(grey[None], _sizes(max(height, width), max(height, width), settings.side_px, pixel_size_um)[None])


def box_sides(instances: np.ndarray) -> dict[int, int]:
    """The longer side in pixels of the box of each body of a label map, by its number."""
    found = ndimage.find_objects(instances.astype(np.int32))
    return {number: max(side.stop - side.start for side in box) for number, box in enumerate(found, start=1) if box}


def _kept_levels(image: np.ndarray, how: str) -> np.ndarray:
    reach = REACH[how]
    return np.rint((np.clip(normalise(image, how), -reach, reach) / reach + 1) * 127.5).astype(np.uint8)


def _boxes(instances: np.ndarray, numbers: Sequence[int]) -> list[tuple[slice, slice]]:
    found = ndimage.find_objects(instances.astype(np.int32))
    missing = [n for n in numbers if not 0 < n <= len(found) or found[n - 1] is None]
    if missing:
        raise InputError(f"the label map shows no body {missing[0]}, expected it there")
    return [found[n - 1] for n in numbers]


def _window(rows: slice, columns: slice, side: float, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Indices of a square of `side` pixels about the centre of a box; beyond the frame its border."""
    side = max(1, round(side))
    top, left = ((s.start + s.stop - side) // 2 for s in (rows, columns))
    reach = lambda first, size: np.clip(np.arange(first, first + side), 0, size - 1)
    return np.ix_(reach(top, shape[0]), reach(left, shape[1]))


def _resized(cut: np.ndarray, side_px: int) -> np.ndarray:
    if cut.shape == (side_px, side_px):
        return cut
    x = torch.from_numpy(cut.astype(np.float32))[None, None]
    x = F.interpolate(x, size=(side_px, side_px), mode="bilinear", antialias=cut.shape[0] > side_px)
    return x[0, 0].round().clamp(0, 255).to(torch.uint8).numpy()


def _sizes(longer_px: int, window_px: int, side_px: int, pixel_size_um: float | None) -> np.ndarray:
    known = pixel_size_um is not None and pixel_size_um > 0
    length = np.log10(longer_px * pixel_size_um) if known else 0.0
    return np.array([length, float(known), np.log2(window_px / side_px)], np.float32)
