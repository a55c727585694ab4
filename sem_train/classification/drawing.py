"""Batches of particles: random draws to train on, changed at random, and particles as they are to look at."""

from collections.abc import Iterator, Sequence

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

from sem_train.classification.config import ClassifyPlan
from sem_train.classification.network import Inputs
from sem_train.classification.particles import Crops, ParticleSet
from sem_train.config import AugmentSettings
from sem_train.data import Ahead, MixedBatches
from sem_train.data.mixing import Draw
from sem_train.spectra.network import spectra_input
from semforge.spectra.spectrum import total_counts

Labelled = tuple[Inputs, torch.Tensor]  # and class ids (N,) int64
SCALE_UNTOLD = 0.1  # share of draws whose scale the network is not told, so that it can do without
GREY_CHANGE = 0.5  # probability of each change of grey levels
LOOKED_AT = 256  # particles a batch that is not trained on
NUMBERS = 16  # random numbers of a draw


def inputs_of(crops: Crops, spectra: np.ndarray | None, plan: ClassifyPlan) -> Inputs:
    """Particles as the network sees them, unchanged. A spectrum without counts is missing."""
    grey = torch.from_numpy(crops.grey).float()[:, None] / 127.5 - 1
    return _inputs(grey, torch.from_numpy(crops.sizes), spectra, torch.ones(len(crops), dtype=torch.bool), plan)


def batches(particles: ParticleSet, plan: ClassifyPlan) -> Iterator[Labelled]:
    """All particles in their order, as they are."""
    for start in range(0, len(particles), LOOKED_AT):
        part = particles[np.arange(start, min(start + LOOKED_AT, len(particles)))]
        yield inputs_of(part.crops, part.spectra, plan), torch.from_numpy(part.labels)


def _inputs(
    crops: torch.Tensor, sizes: torch.Tensor, counts: np.ndarray | None, has_image: torch.Tensor, plan: ClassifyPlan
) -> Inputs:
    n, channels = len(crops), plan.data.spectra.channels
    if not plan.data.crops.size_input:
        sizes = torch.zeros_like(sizes)
    if counts is None or not plan.model.sees_spectrum:
        return Inputs(crops, sizes, torch.zeros(n, channels + 1), has_image, torch.zeros(n, dtype=torch.bool))
    there = torch.from_numpy(total_counts(counts, plan.data.spectra.axis) >= plan.data.spectra.fewest_counts)
    return Inputs(crops, sizes, spectra_input(counts.astype(np.float32)), has_image, there)


class Draws(Dataset[Labelled]):
    """Batches of draws. What a draw gives depends on the seed and its number alone.

    With balanced classes a draw's position is that of a class, and which of its particles comes is drawn as well.
    """

    def __init__(self, particles: ParticleSet, plan: ClassifyPlan):
        self.particles, self.plan = particles, plan
        self.pools = [pool for real in (False, True) for pool in _pools(particles, real, plan.data.balance)]
        self.kinds = [len(_pools(particles, real, plan.data.balance)) for real in (False, True)]

    def __len__(self) -> int:
        return len(self.pools)

    def __getitems__(self, draws: Sequence[Draw]) -> Labelled:
        plan, seed = self.plan, self.plan.training.seed
        streams = [np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1, number))) for _, number in draws]
        pools = [self.pools[position] for position, _ in draws]
        chosen = np.array([pool[int(rng.integers(len(pool)))] for pool, rng in zip(pools, streams, strict=True)])
        u = np.stack([rng.random(NUMBERS) for rng in streams])
        part = self.particles[chosen]
        crops = changed(torch.from_numpy(part.crops.grey).float()[:, None] / 127.5 - 1, plan.augment, u, streams)
        sizes = torch.from_numpy(part.crops.sizes.copy())
        sizes[torch.from_numpy(u[:, 0] < SCALE_UNTOLD), :2] = 0
        counts = _thinned(part.spectra, plan.data.spectra.thinned_to, u[:, 1], streams)
        everything = _inputs(crops, sizes, counts, torch.ones(len(crops), dtype=torch.bool), plan)
        return _with_gaps(everything, plan, torch.from_numpy(u[:, 2])), torch.from_numpy(part.labels)


def _pools(particles: ParticleSet, real: bool, balance: str) -> list[np.ndarray]:
    """What the draws of a kind choose from: the particles of each class, or each particle alone."""
    own = np.flatnonzero(particles.real == real)
    if balance == "none":
        return list(own[:, None])
    return [own[particles.labels[own] == label] for label in np.unique(particles.labels[own])]


def _with_gaps(inputs: Inputs, plan: ClassifyPlan, u: torch.Tensor) -> Inputs:
    """Leaves out the picture or the spectrum of some particles that have both."""
    model = plan.model
    if model.name in ("image", "spectrum"):
        return inputs
    both = inputs.has_image & inputs.has_spectrum
    no_image = both & (u < model.drop_image)
    no_spectrum = both & (u >= model.drop_image) & (u < model.drop_image + model.drop_spectrum)
    return inputs._replace(has_image=inputs.has_image & ~no_image, has_spectrum=inputs.has_spectrum & ~no_spectrum)


def _thinned(
    counts: np.ndarray | None, least: float, u: np.ndarray, streams: Sequence[np.random.Generator]
) -> np.ndarray | None:
    """Spectra as a shorter live time would have given them: a share of Poisson counts is Poisson again."""
    if counts is None or least >= 1:
        return counts
    shares = least**u
    return np.stack([rng.binomial(row, share) for rng, row, share in zip(streams, counts, shares, strict=True)])


def changed(
    x: torch.Tensor, settings: AugmentSettings, u: np.ndarray, streams: Sequence[np.random.Generator]
) -> torch.Tensor:
    """Crops (N, 1, side, side) about -1 to 1, flipped, turned, zoomed and with other grey levels.

    `u` (N, NUMBERS) are random numbers from 0 to 1 of each; noise comes from its stream.
    """
    v = torch.from_numpy(u.astype(np.float32))
    within = lambda column: 2 * v[:, column] - 1
    x = _moved(x, settings, v)
    happens = lambda column: (v[:, column] < GREY_CHANGE).view(-1, 1, 1, 1)
    if settings.contrast:
        gamma = (1 + settings.contrast * within(9)).view(-1, 1, 1, 1)
        x = torch.where(happens(8), 2 * ((x + 1) / 2).clamp(1e-3, 1) ** gamma - 1, x)
    if settings.brightness:
        x = x + (settings.brightness * within(10)).view(-1, 1, 1, 1)
    if settings.blur_px:
        x = torch.where(happens(11), _blurred(x, settings.blur_px * v[:, 12]), x)
    if settings.noise:
        noise = np.stack([rng.standard_normal(x.shape[1:], dtype=np.float32) for rng in streams])
        x = x + settings.noise * (v[:, 13] * (v[:, 14] < GREY_CHANGE)).view(-1, 1, 1, 1) * torch.from_numpy(noise)
    if settings.invert:
        x = torch.where((v[:, 15] < settings.invert).view(-1, 1, 1, 1), -x, x)
    return x


def _moved(x: torch.Tensor, settings: AugmentSettings, v: torch.Tensor) -> torch.Tensor:
    """Flipped, turned and zoomed about the centre; what was outside of the crop is a reflection of what is inside."""
    flip = torch.ones(len(x), 2)  # of columns, of rows
    if settings.flip in ("horizontal", "both"):
        flip[:, 0] = torch.where(v[:, 3] < 0.5, -1.0, 1.0)
    if settings.flip in ("vertical", "both"):
        flip[:, 1] = torch.where(v[:, 4] < 0.5, -1.0, 1.0)
    angle = torch.deg2rad(settings.rotate_degrees * (2 * v[:, 5] - 1))
    zoom = 1 / (1 + settings.zoom * (2 * v[:, 6] - 1))
    if not settings.rotate_degrees and not settings.zoom and settings.flip == "none":
        return x
    cos, sin = zoom * torch.cos(angle), zoom * torch.sin(angle)
    zero = torch.zeros_like(cos)
    rows = [torch.stack([cos * flip[:, 0], -sin * flip[:, 1], zero], dim=1),
            torch.stack([sin * flip[:, 0], cos * flip[:, 1], zero], dim=1)]  # fmt: skip
    theta = torch.stack(rows, dim=1)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _blurred(x: torch.Tensor, sds: torch.Tensor) -> torch.Tensor:
    reach = max(1, int(np.ceil(3 * float(sds.max()))))
    at = torch.arange(-reach, reach + 1)
    kernels = torch.exp(-0.5 * (at / sds.clamp_min(0.05)[:, None]) ** 2)
    kernels = (kernels / kernels.sum(dim=1, keepdim=True))[:, None]
    row = x.transpose(0, 1)
    row = F.conv2d(F.pad(row, (reach, reach, 0, 0), mode="replicate"), kernels[:, :, None, :], groups=len(x))
    row = F.conv2d(F.pad(row, (0, 0, reach, reach), mode="replicate"), kernels[:, :, :, None], groups=len(x))
    return row.transpose(0, 1)


def _as_it_is(batch: Labelled) -> Labelled:
    return batch


class ParticleBatches(L.LightningDataModule):
    """Draws that continue at the step the trainer is at, and held-out particles as they are."""

    def __init__(self, plan: ClassifyPlan, training: ParticleSet, held_out: ParticleSet):
        super().__init__()
        self.plan, self.training, self.held_out = plan, training, held_out

    def train_dataloader(self) -> Ahead | DataLoader:
        training = self.plan.training
        draws = Draws(self.training, self.plan)
        order = MixedBatches(
            *draws.kinds, self.plan.data.real_share, training.batch_size, training.seed,
            self.trainer.global_step * training.accumulate, steps=training.steps * training.accumulate,
        )  # fmt: skip
        loader = DataLoader(draws, batch_sampler=order, num_workers=training.workers, collate_fn=_as_it_is)
        return loader if training.workers else Ahead(loader)

    def val_dataloader(self) -> DataLoader | list:
        held_out = list(batches(self.held_out, self.plan))
        return DataLoader(held_out, batch_size=None, collate_fn=_as_it_is) if held_out else []
