"""Batches that hold a stated share of real crops, the same for a seed wherever a run is resumed."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from sem_train.config import AnnealedShare

Draw = tuple[int, int]  # (position of the picture, number of the draw): the second seeds crop and augmentation


class MixedBatches(Sampler[list[Draw]]):
    """Endless batches of draws from synthetic and real pictures; batch `step` depends on the seed and `step` alone.

    Pictures are numbered synthetic first, then real. Of the crops of the first s batches, real_share are
    real, rounded down once over all of them, so the share is exact in the long run also where it does not
    divide a batch; an annealed share is summed over the batches so far, of `steps` in all. Each kind is
    drawn without repeats until all of its pictures have come. With several devices (`ranks`), each takes
    its part of the same batch.
    """

    def __init__(
        self, n_synthetic: int, n_real: int, real_share: float | AnnealedShare, batch_size: int, seed: int,
        first_step: int = 0, rank: int = 0, ranks: int = 1, steps: int = 1,
    ):  # fmt: skip
        self.sizes = {"synthetic": n_synthetic, "real": n_real}
        self.real_share, self.batch_size, self.seed = real_share, batch_size, seed
        self.first_step, self.rank, self.ranks, self.steps = first_step, rank, ranks, steps

    def __iter__(self) -> Iterator[list[Draw]]:
        step = self.first_step
        while True:
            yield self.batch(step)[self.rank :: self.ranks]
            step += 1

    def batch(self, step: int) -> list[Draw]:
        """All draws of batch `step`, before it is divided among devices."""
        total = step * self.batch_size
        real = [self._real_before(step), self._real_before(step + 1)]
        synthetic = [total - real[0], total + self.batch_size - real[1]]
        positions = [self._position("synthetic", i) for i in range(*synthetic)]
        positions += [self.sizes["synthetic"] + self._position("real", i) for i in range(*real)]
        return [(position, total + i) for i, position in enumerate(positions)]

    def _real_before(self, step: int) -> int:
        """How many real crops the batches before `step` hold."""
        if isinstance(self.real_share, AnnealedShare):
            real = self.batch_size * self.steps * self.real_share.until(step / self.steps)
        else:
            real = step * self.batch_size * self.real_share
        return int(real + 1e-9)

    def _position(self, kind: str, draw: int) -> int:
        """Picture of the draw-th draw of its kind: a new random order each time round."""
        n = self.sizes[kind]
        lap, place = divmod(draw, n)
        seeds = np.random.SeedSequence(self.seed, spawn_key=(0, kind == "real", lap))
        return int(np.random.default_rng(seeds).permutation(n)[place])
