"""Spectra drawn from expected ones, anew for every step: variants, mixtures, an instrument's errors, counts."""

from dataclasses import dataclass

import numpy as np
import torch

from sem_train.spectra.references import References
from sem_train.spectra.settings import DrawSettings
from semforge.spectra import EnergyAxis

CARBON_KEV = 0.277
FWHM_MN_EV, FANO_EV, MN_EV = 130.0, 2.5, 5895.0  # width of a line: the root of FWHM² + 2.5 (E − 5895), in eV
KNOTS = 8  # of the smooth error of intensities, evenly on a logarithmic energy scale


@dataclass(frozen=True)
class Drawn:
    """A batch of drawn spectra."""

    counts: torch.Tensor  # (N, C) float32, whole numbers
    shares: torch.Tensor  # (N, K) float32, of the specimen's classes; rows sum to 1
    dose: torch.Tensor  # (N,) counts that were expected


class Drawer:
    """Draws from `references`; a draw depends on the seed and the number of its batch alone."""

    def __init__(self, references: References, settings: DrawSettings, axis: EnergyAxis, device: torch.device):
        self.references, self.settings, self.axis, self.device = references, settings, axis, device
        self.spectra = torch.as_tensor(references.spectra, device=device)
        self.limit = torch.as_tensor(references.limit, dtype=torch.float32, device=device)
        self.energies = torch.as_tensor(axis.energies_kev, dtype=torch.float32, device=device)
        self.total = self.spectra.sum(-1)
        self._rows = [np.flatnonzero(references.phase == phase) for phase in range(len(references.phases))]
        self._phases = [np.flatnonzero(references.class_of == c) for c in range(len(references.classes))]
        self._partner = {(g, p): row for row, (g, p) in enumerate(zip(references.group, references.phase, strict=True))}

    def batch(self, number: int, size: int, seed: int, dose: float | None = None, jitter: bool = True) -> Drawn:
        """Batch `number` of `size` spectra, of `dose` counts where that is given.

        Without `jitter` the instrument has no errors and nothing is mixed.
        """
        entropy = np.random.SeedSequence([seed, number])
        rng = np.random.default_rng(entropy)
        generator = torch.Generator(self.device).manual_seed(int(entropy.generate_state(1, np.uint64)[0]) >> 1)
        settings = self.settings
        first, second, share, between, lean = self._choose(rng, size, jitter)
        to = lambda array, dtype=torch.float32: torch.as_tensor(array, dtype=dtype, device=self.device)
        rows, others, mates = to(first, torch.long), to(second, torch.long), to(between, torch.long)
        lean_, share_ = to(lean)[:, None], to(share)[:, None]
        own = (self.spectra[rows] * (1 - lean_) + self.spectra[mates] * lean_).clamp(min=0)
        # of two sources the units differ: bright as the first
        alike = to(self.references.source[first] == self.references.source[second], torch.bool)[:, None]
        scale = torch.where(alike, 1.0, self.total[rows, None] / self.total[others, None].clamp(min=1e-12))
        expected = own * (1 - share_) + self.spectra[others] * scale * share_
        if jitter:
            expected = self._distorted(expected, generator)
        expected = expected / expected.sum(-1, keepdim=True).clamp(min=1e-12)
        low, high = (dose, dose) if dose is not None else settings.counts
        doses = torch.exp(
            torch.rand(size, 1, generator=generator, device=self.device) * np.log(high / low) + np.log(low)
        )
        doses = torch.minimum(doses, torch.minimum(self.limit[rows], self.limit[others])[:, None])
        counts = torch.poisson(expected * doses, generator=generator)
        classes = to(self.references.class_of[self.references.phase], torch.long)
        shares = torch.zeros(size, len(self.references.classes), device=self.device)
        shares.scatter_add_(1, classes[rows][:, None], 1 - share_)
        shares.scatter_add_(1, classes[others][:, None], share_)
        return Drawn(counts, shares, doses[:, 0])

    def _choose(self, rng: np.random.Generator, size: int, jitter: bool) -> tuple[np.ndarray, ...]:
        """Row, row of the other phase, its share, another row of the own phase, how far towards that."""
        settings, references = self.settings, self.references
        classes = rng.integers(len(references.classes), size=size)
        phases = np.array([rng.choice(self._phases[c]) for c in classes])
        first = np.array([rng.choice(self._rows[p]) for p in phases])
        between = np.array([rng.choice(self._rows[p]) for p in phases])
        # what lies between two sources has no meaning
        between = np.where(references.source[between] == references.source[first], between, first)
        far = settings.beyond
        lean = np.where(rng.random(size) < settings.blended, rng.uniform(-far, 1 + far, size), 0.0) * jitter
        share = np.where(rng.random(size) < settings.mixed, rng.random(size), 0.0) * jitter
        second = first.copy()
        for i in np.flatnonzero(share):
            other = int(rng.integers(len(references.phases)))
            row = self._partner.get((references.group[first[i]], other))
            second[i] = rng.choice(self._rows[other]) if row is None else row
        return first, second, share, between, lean

    def _distorted(self, spectra: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """With the errors of an instrument that nobody calibrated for these references."""
        settings, n = self.settings, len(spectra)
        normal = lambda *shape: torch.randn(*shape, generator=generator, device=self.device)
        uniform = lambda low, high: low + (high - low) * torch.rand(n, 1, generator=generator, device=self.device)
        knots = normal(n, KNOTS) * settings.efficiency
        place = torch.log(self.energies.clamp(min=0.1) / 0.1) / np.log(max(float(self.energies[-1]), 0.2) / 0.1)
        at = place.clamp(0, 1) * (KNOTS - 1)
        below = at.floor().clamp(max=KNOTS - 2).long()
        smooth = knots[:, below] * (1 - (at - below)) + knots[:, below + 1] * (at - below)
        soft = self.energies.clamp(min=0.15).reciprocal().square().clamp(max=25.0)
        smooth = smooth - settings.absorption * normal(n, 1) * soft
        out = spectra * torch.exp(smooth.clamp(-3, 3))
        out = self._shifted(out, settings.gain * normal(n, 1), settings.offset_ev * normal(n, 1))
        out = self._broadened(out, uniform(*settings.broadening_ev))
        total = out.sum(-1, keepdim=True)
        hill = self._hill(uniform(0.3, 2.0), uniform(0.0, 1.5))
        out = out + total * uniform(*settings.background) * hill
        return out + total * uniform(*settings.carbon) * self._carbon()

    def _shifted(self, spectra: torch.Tensor, gain: torch.Tensor, offset_ev: torch.Tensor) -> torch.Tensor:
        """On an energy scale that is off by a factor 1 + gain and a zero error in eV."""
        channels = spectra.shape[-1]
        energies_ev = self.energies * 1000
        at = (energies_ev * (1 + gain) + offset_ev - self.axis.offset_ev) / self.axis.width_ev
        at = at.clamp(0, channels - 1)
        below = at.floor().clamp(max=channels - 2).long()
        part = at - below
        return spectra.gather(1, below) * (1 - part) + spectra.gather(1, below + 1) * part

    def _broadened(self, spectra: torch.Tensor, sigma_ev: torch.Tensor) -> torch.Tensor:
        """Convolved with a normal distribution; its tails leave at the ends."""
        channels = spectra.shape[-1]
        pad = min(channels, int(5 * self.settings.broadening_ev[1] / self.axis.width_ev) + 1)
        padded = torch.nn.functional.pad(spectra, (pad, pad), mode="replicate")
        waves = torch.fft.rfft(padded)
        frequencies = torch.fft.rfftfreq(padded.shape[-1], device=self.device)
        damping = torch.exp(-2 * (np.pi * frequencies * sigma_ev / self.axis.width_ev).square())
        return torch.fft.irfft(waves * damping, n=padded.shape[-1])[:, pad:-pad].clamp(min=0)

    def _hill(self, steepness: torch.Tensor, fall: torch.Tensor) -> torch.Tensor:
        """Backgrounds of many shapes: falling as bremsstrahlung does, absorbed at low energies; of sum 1."""
        e = self.energies.clamp(min=0.05)
        shape = e.pow(-steepness) * torch.exp(-0.3 * fall / e.square()) * (1.02 * e[-1] - e).clamp(min=0)
        return shape / shape.sum(-1, keepdim=True).clamp(min=1e-12)

    def _carbon(self) -> torch.Tensor:
        """C Kα, of sum 1; zeros where the axis does not reach it."""
        sigma = np.sqrt(FWHM_MN_EV**2 + FANO_EV * (1000 * CARBON_KEV - MN_EV)) / 2.355 / 1000
        line = torch.exp(-0.5 * ((self.energies - CARBON_KEV) / sigma).square())
        return line / line.sum().clamp(min=1e-12) if float(line.max()) > 0.05 else torch.zeros_like(line)
