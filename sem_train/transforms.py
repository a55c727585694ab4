"""What happens to an image between file and model: normalisation, resizing, augmentation."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from monai import transforms as mt
from monai.data import set_track_meta

from sem_train.config import AugmentSettings

PERCENTILES = (0.5, 99.5)
FLAT = 1e-6  # an image whose levels differ by less holds nothing to normalise by
CLAHE_TILE_PX, CLAHE_CLIP = 128, 0.01  # sides of a tile; share of its pixels that one level may take
REFERENCE_POINTS = 65
BAR_PAPER = 0.45  # share of a row of a databar that is paper at least
BAR_LEAST, BAR_MOST = 8, 0.25  # rows of one; share of all


def normalise(image: np.ndarray, how: str, reference: Sequence[float] = ()) -> np.ndarray:
    """Grey levels as float32, about -1 to 1, by the whole image's own levels.

    `image` is (H, W) uint8, uint16 or float (then as it is). `percentile`: 0.5 % and 99.5 % go to -1 and 1;
    `standard`: mean 0 and standard deviation 1; `none`: full scale goes to -1 and 1; `clahe`: contrast-limited
    adaptive histogram equalisation; `reference`: the image's quantiles go to those of `reference`, evenly spaced
    shares from 0 to 1. The last two leave a databar out of account. A flat image becomes 0.
    """
    return normaliser(image, how, reference)(image)


def normaliser(sample: np.ndarray, how: str, reference: Sequence[float] = ()) -> Callable[[np.ndarray], np.ndarray]:
    """What `normalise` does to any part of an image, with the levels of `sample`: all of it, or every n-th row.

    `clahe` equalises each part by itself.
    """
    levels = _full_scale(sample)
    specimen = levels[: len(levels) - databar_rows(sample)] if how in ("clahe", "reference") else levels
    if how == "standard":
        centre, half = levels.mean(dtype=np.float64), levels.std(dtype=np.float64)
    elif how == "none":
        centre, half = 0.5, 0.5
    else:
        low, high = np.percentile(specimen, PERCENTILES)
        centre, half = (low + high) / 2, (high - low) / 2
    if half <= FLAT:
        return lambda image: np.zeros(image.shape, dtype=np.float32)
    if how == "reference":
        return _matcher(specimen, reference)
    scaled = lambda image: ((_full_scale(image) - centre) / half).astype(np.float32)
    return (lambda image: _equalised(scaled(image))) if how == "clahe" else scaled


def _full_scale(image: np.ndarray) -> np.ndarray:
    """Grey levels as float32, 0 to full scale as 0 to 1; floats as they are."""
    return image.astype(np.float32) / (np.iinfo(image.dtype).max if np.issubdtype(image.dtype, np.integer) else 1)


def quantiles(image: np.ndarray) -> np.ndarray:
    """What `reference` goes by: quantiles (REFERENCE_POINTS,) of a normalised image, its databar left out."""
    specimen = image[: len(image) - databar_rows(image)]
    return np.quantile(normalise(specimen, "percentile"), np.linspace(0, 1, REFERENCE_POINTS))


def databar_rows(image: np.ndarray) -> int:
    """How many of the lowest rows (H, W) are an instrument's information bar: lettering on paper of one grey level."""
    height = len(image)
    lowest = image[-max(height // 50, 2) :].ravel()
    levels, counts = np.unique(lowest, return_counts=True)
    paper = (image == levels[counts.argmax()]).mean(axis=1) > BAR_PAPER
    rows = height if paper.all() else int(np.argmin(paper[::-1]))
    return rows if BAR_LEAST <= rows <= BAR_MOST * height else 0


def _matcher(specimen: np.ndarray, reference: Sequence[float]) -> Callable[[np.ndarray], np.ndarray]:
    """Levels replaced by the reference's at the same rank; equal levels stay equal."""
    levels, counts = np.unique(specimen, return_counts=True)
    ranks = (np.cumsum(counts) - counts / 2) / specimen.size
    shares = np.linspace(0, 1, len(reference))
    return lambda image: np.interp(_full_scale(image), levels, np.interp(ranks, shares, reference)).astype(np.float32)


def _equalised(x: np.ndarray) -> np.ndarray:
    from skimage.exposure import equalize_adapthist

    tile = [min(CLAHE_TILE_PX, size) for size in x.shape]
    level = equalize_adapthist(np.clip((x + 1) / 2, 0, 1), kernel_size=tile, clip_limit=CLAHE_CLIP)
    return (2 * level - 1).astype(np.float32)


def scaled_shape(shape: tuple[int, int], scale: float) -> tuple[int, int]:
    """Height and width after resizing by `scale`."""
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def resize_image(image: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """(C, H, W) float to (C, *shape), bilinear, low-passed when shrunk."""
    if tuple(image.shape[-2:]) == shape:
        return image
    shrinks = shape[0] < image.shape[-2]
    return F.interpolate(image[None], size=shape, mode="bilinear", antialias=shrinks)[0]


def resize_labels(labels: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """(H, W) class ids to `shape`, each from the nearest pixel."""
    if tuple(labels.shape) == shape:
        return labels
    return F.interpolate(labels[None, None].float(), size=shape, mode="nearest-exact")[0, 0].to(labels.dtype)


class Augmentation:
    """Random flips, affine changes and grey-level changes of a crop and its labels, seeded call by call."""

    PROBABILITY = 0.5  # with which each grey-level change happens

    def __init__(self, settings: AugmentSettings):
        self.compose = mt.Compose(_spatial(settings) + _grey(settings, self.PROBABILITY))

    def __call__(self, image: torch.Tensor, labels: torch.Tensor, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Change (1, H, W) float32 image and (H, W) uint8 labels; the same seed gives the same change."""
        set_track_meta(False)  # MONAI's bookkeeping of affine matrices doubles the time of a crop
        self.compose.set_random_state(seed=seed)
        changed = self.compose({"image": image, "labels": labels[None]})
        return changed["image"].contiguous(), changed["labels"][0].to(torch.uint8)


def _spatial(settings: AugmentSettings) -> list[mt.Transform]:
    both = ["image", "labels"]
    changes: list[mt.Transform] = []
    if settings.flip in ("vertical", "both"):
        changes.append(mt.RandFlipd(both, prob=0.5, spatial_axis=0))
    if settings.flip in ("horizontal", "both"):
        changes.append(mt.RandFlipd(both, prob=0.5, spatial_axis=1))
    if settings.rotate_degrees or settings.zoom:
        angle, zoom, modes = np.deg2rad(settings.rotate_degrees), (settings.zoom,) * 2, ["bilinear", "nearest"]
        changes.append(
            _RandAffined(both, prob=1.0, rotate_range=angle, scale_range=zoom, mode=modes, padding_mode="reflection")
        )
    return changes


def _grey(settings: AugmentSettings, p: float) -> list[mt.Transform]:
    changes: list[mt.Transform] = []
    if settings.invert:
        changes.append(_RandInvertd("image", prob=settings.invert))
    if settings.levels:
        changes.append(mt.RandHistogramShiftd("image", prob=p, num_control_points=(3, settings.levels)))
    if settings.contrast:
        gamma = (1 - settings.contrast, 1 + settings.contrast)
        changes.append(mt.RandAdjustContrastd("image", prob=p, gamma=gamma))
    if settings.brightness:
        changes.append(mt.RandShiftIntensityd("image", prob=p, offsets=settings.brightness))
    if settings.blur_px:
        sd = (0.0, settings.blur_px)
        changes.append(mt.RandGaussianSmoothd("image", prob=p, sigma_x=sd, sigma_y=sd))
    if settings.noise:
        changes.append(mt.RandGaussianNoised("image", prob=p, std=settings.noise))
    return changes


class _RandAffined(mt.RandAffined):
    """MONAI's, to the last bit, in less time: one grid for image and labels, and nothing noted for an inverse."""

    def __call__(self, data: dict, lazy: bool | None = None) -> dict:
        shape = data[self.first_key(data)].shape[1:]
        self.randomize(None)
        self.rand_affine.randomize()
        grid = self.rand_affine.rand_affine_grid(shape, grid=self.rand_affine.get_identity_grid(shape, lazy=False))
        columns, rows = grid[1].double() * (2.0 / max(2, shape[1])), grid[0].double() * (2.0 / max(2, shape[0]))
        where = torch.stack([columns, rows], dim=-1)[None]
        out = dict(data)
        for key, mode, padding in self.key_iterator(out, self.mode, self.padding_mode):
            levels = data[key].double()[None]
            out[key] = F.grid_sample(levels, where, mode=mode, padding_mode=padding, align_corners=False)[0].float()
        return out


class _RandInvertd(mt.RandomizableTransform, mt.MapTransform):
    """Turn normalised grey levels round 0, so that bright becomes dark."""

    def __init__(self, keys: str, prob: float):
        mt.MapTransform.__init__(self, keys)
        mt.RandomizableTransform.__init__(self, prob)

    def __call__(self, data: dict) -> dict:
        self.randomize(None)
        return {**data, **{key: -data[key] for key in self.keys}} if self._do_transform else data
