"""Random fields that can be evaluated anywhere: sums of plane waves with random directions.

A sum of N cosines with wave vectors from a Gaussian of standard deviation sqrt(2)/L has the
correlation exp(-(r/L)^2), which falls to 1/e at r = L, and tends to a Gaussian field as N grows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WAVES = 48
BLOCK = 4096  # points at a time, so that all their waves stay in the processor's cache


@dataclass(frozen=True)
class Field:
    """A zero-mean random field of unit variance in d dimensions."""

    wave_vectors: np.ndarray  # (N, d) in 1/µm
    phases: np.ndarray  # (N,)

    def __call__(self, *coordinates: np.ndarray) -> np.ndarray:
        """Values at points given by one array a dimension, broadcast against each other.

        Exact on grids; at scattered points to about 1e-4 as far as a thousand correlation lengths from the origin.
        """
        shape = coordinates[0].shape
        if any(c.shape != shape for c in coordinates):
            shape = np.broadcast_shapes(*(c.shape for c in coordinates))
        elif len(shape) == 1:
            return self._at_points(coordinates) * np.sqrt(2 / len(self.phases))
        if len(coordinates) == 2 and np.prod(shape) > 2 * sum(c.size for c in coordinates):
            total = self._on_grid(*coordinates)
        else:
            total = self._at_points([np.broadcast_to(c, shape).ravel() for c in coordinates]).reshape(shape)
        return total * np.sqrt(2 / len(self.phases))

    def _at_points(self, coordinates: Sequence[np.ndarray]) -> np.ndarray:
        """The sum at scattered points (n,), in single precision: its cosine is fifteen times faster."""
        total = np.empty(len(coordinates[0]))
        waves, phases = self.wave_vectors.astype(np.float32), self.phases.astype(np.float32)
        for start in range(0, len(total), BLOCK):
            block = slice(start, start + BLOCK)
            turns = [waves[:, k, None] * c[block].astype(np.float32) for k, c in enumerate(coordinates)]
            angles = turns[0]
            angles += phases[:, None]
            for turn in turns[1:]:
                angles += turn
            total[block] = np.cos(angles, out=angles).sum(axis=0)
        return total

    def _on_grid(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The sum where coordinates are broadcast against each other: cosines of a line each, not of every point."""
        waves = self.wave_vectors.reshape(-1, 2, *np.ones(first.ndim, dtype=int))
        a = waves[:, 0] * first + self.phases.reshape(-1, *np.ones(first.ndim, dtype=int))
        b = waves[:, 1] * second
        # einsum and not a matrix product: that one may sum in another order on another number of threads
        return np.einsum("w...,w...->...", np.cos(a), np.cos(b)) - np.einsum("w...,w...->...", np.sin(a), np.sin(b))


def gaussian_field(rng: np.random.Generator, correlation: float, dimensions: int = 2, waves: int = WAVES) -> Field:
    """Draw a field whose correlation falls to 1/e at the distance `correlation`."""
    vectors = rng.normal(scale=np.sqrt(2) / correlation, size=(waves, dimensions))
    return Field(vectors, rng.uniform(0, 2 * np.pi, size=waves))


def tongues(values: np.ndarray) -> np.ndarray:
    """Reshape a unit field so that it dives in narrow tongues and is flat between; zero mean, unit variance."""
    shaped = -np.exp(-1.2 * values)
    return (shaped + np.exp(0.72)) / np.sqrt(np.exp(2.88) - np.exp(1.44))


def scallops(values: np.ndarray) -> np.ndarray:
    """Reshape a unit field into rounded bulges with sharp valleys between; zero mean, unit variance."""
    return (np.abs(values) - np.sqrt(2 / np.pi)) / np.sqrt(1 - 2 / np.pi)


SHAPES = {"smooth": lambda values: values, "tongues": tongues, "scallops": scallops}
