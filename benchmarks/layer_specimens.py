"""Specimens without end whose truth is known by formula: a layer of random thickness with clustered pores.

The thickness is a stationary Gaussian process along the layer: mean, sd, percentiles and correlation are what they were
asked to be. Pores are discs about the points of a Poisson process, or of clusters of such (Neyman and Scott); the share
of a plane that they cover follows from the probability that a point is left free. Below the layer lies a second one,
20 pixels thick, in those places where another Gaussian process is above a level. Every field is a new piece.
"""

from dataclasses import dataclass

import numpy as np
from scipy import integrate, stats

from sem_train.classes import ClassMap

CLASSES = ClassMap(classes=[
    {"name": "resin", "role": "outside"},
    {"name": "layer", "role": "layer"},
    {"name": "lower", "role": "layer"},
    {"name": "steel", "role": "substrate"},
    {"name": "pore", "role": "inclusion", "host": "layer"},
])  # fmt: skip
RESIN, LAYER, LOWER, STEEL, PORE = range(5)
SHAPE = (288, 512)
LOWER_PX = 20
SHARES = (0.5, 0.3, 0.2)  # of the radii of pores


@dataclass(frozen=True)
class Specimen:
    """Lengths in pixels."""

    thickness: float = 150.0
    sd: float = 9.0
    correlation: float = 25.6  # integral correlation length of the thickness
    smooth: bool = False  # Gaussian correlation, else Matérn's 3/2
    coverage: float = 0.7  # of the lower layer
    germs: float = 6e-4  # pores, or clusters of them, per square pixel
    radii: tuple[float, float, float] = (2.5, 4.0, 7.0)
    members: float = 0.0  # mean number of pores in a cluster; 0: each stands alone
    cluster_sd: float = 15.0  # of the members about the middle of their cluster

    @property
    def truth(self) -> dict[tuple[str, str, str], float]:
        """Lengths in pixels, shares in percent, by kind, name and quantity."""
        found = {("layer", "layer", f"thickness_p{p:02d}"): self.thickness + self.sd * float(stats.norm.ppf(p / 100))
                 for p in (5, 25, 50, 75, 95)}  # fmt: skip
        return found | {
            ("layer", "layer", "thickness_mean"): self.thickness,
            ("layer", "layer", "thickness_sd"): self.sd,
            ("layer", "lower", "coverage"): 100 * self.coverage,
            ("inclusion", "pore", "area_percent"): 100 * self.porosity,
        }

    @property
    def porosity(self) -> float:
        """Expected share of the layer that pores take."""
        if self.members == 0:
            disc = sum(w * np.pi * r**2 for w, r in zip(SHARES, self.radii, strict=True))
            return float(1 - np.exp(-self.germs * disc))
        variance = self.cluster_sd**2
        hit = lambda z: sum(w * stats.ncx2.cdf(r**2 / variance, 2, z**2 / variance)
                            for w, r in zip(SHARES, self.radii, strict=True))  # fmt: skip
        reach = max(self.radii) + 8 * self.cluster_sd
        area, _ = integrate.quad(lambda z: 2 * np.pi * z * (1 - np.exp(-self.members * hit(z))), 0, reach, limit=200)
        return float(1 - np.exp(-self.germs * area))

    def field(self, rng: np.random.Generator) -> np.ndarray:
        """Label map (H, W) of a new piece of the specimen."""
        height, width = SHAPE
        thickness = self.thickness + self.sd * gaussian(rng, width, self.correlation, self.smooth)
        middle = height / 2 - 10 + 3 * gaussian(rng, width, 120.0, smooth=True)
        rows = np.arange(height)[:, None]
        inner = middle + thickness / 2
        labels = np.full(SHAPE, STEEL, dtype=np.uint8)
        there = gaussian(rng, width, 12.0, smooth=True) < stats.norm.ppf(self.coverage)
        labels[(rows < inner + LOWER_PX) & there] = LOWER
        labels[rows < inner] = LAYER
        labels[self._pores(rng) & (labels == LAYER)] = PORE
        labels[rows < middle - thickness / 2] = RESIN
        return labels

    def _pores(self, rng: np.random.Generator) -> np.ndarray:
        margin = max(self.radii) + (5 * self.cluster_sd if self.members else 0.0)
        size = np.array(SHAPE) + 2 * margin
        middles = rng.uniform(-margin, size - margin, (rng.poisson(self.germs * size.prod()), 2))
        if self.members:
            middles = np.repeat(middles, rng.poisson(self.members, len(middles)), axis=0)
            middles = middles + rng.normal(scale=self.cluster_sd, size=middles.shape)
        mask = np.zeros(SHAPE, dtype=bool)
        for (y, x), r in zip(middles, rng.choice(self.radii, len(middles), p=SHARES), strict=True):
            top, left = max(int(y - r), 0), max(int(x - r), 0)
            rows, columns = np.ogrid[top : int(y + r) + 2, left : int(x + r) + 2]
            disc = (rows - y) ** 2 + (columns - x) ** 2 <= r**2
            part = mask[top : top + disc.shape[0], left : left + disc.shape[1]]
            part |= disc[: part.shape[0], : part.shape[1]]
        return mask


def gaussian(rng: np.random.Generator, length: int, correlation: float, smooth: bool) -> np.ndarray:
    """A stationary Gaussian series (length,) of mean 0 and variance 1 with that integral correlation length."""
    period = 2 ** int(np.ceil(np.log2(length + 20 * correlation)))
    lag = np.minimum(np.arange(period), period - np.arange(period)) / correlation
    wanted = np.exp(-np.pi * lag**2 / 4) if smooth else (1 + 2 * lag) * np.exp(-2 * lag)
    power = np.maximum(np.fft.fft(wanted).real, 0)
    noise = rng.normal(size=period) + 1j * rng.normal(size=period)
    return np.fft.fft(np.sqrt(power / power.sum()) * noise).real[:length]
