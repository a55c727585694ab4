"""Which samples go into which shard. Pure: no files, no processes.

A shard is a contiguous range of sample indices and is named by that range, so a name keeps
its meaning when the number of samples or the size of shards changes between runs.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

LARGEST_DEFAULT = 8  # samples; starting Blender then costs a tenth of the work, and little is lost on a stop


@dataclass(frozen=True, order=True)
class Shard:
    """The samples start, start + 1, ..., stop - 1."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def indices(self) -> range:
        """The sample indices, ascending."""
        return range(self.start, self.stop)

    @property
    def name(self) -> str:
        """`samples_000000-000007`: first and last index, both included."""
        return f"samples_{self.start:06d}-{self.stop - 1:06d}"

    @classmethod
    def from_name(cls, name: str) -> "Shard | None":
        """The shard of that name, or None if no shard is named so."""
        match = re.fullmatch(r"samples_(\d{6,})-(\d{6,})", name)
        if match is None:
            return None
        shard = cls(int(match[1]), int(match[2]) + 1)
        return shard if len(range(shard.start, shard.stop)) and shard.name == name else None


def plan_shards(count: int, done: Collection[int], shard_size: int) -> list[Shard]:
    """Shards of at most `shard_size` samples that hold exactly the indices below `count` that are not `done`."""
    shards: list[Shard] = []
    for index in range(count):
        if index in done:
            continue
        if shards and shards[-1].stop == index and len(shards[-1]) < shard_size:
            shards[-1] = Shard(shards[-1].start, index + 1)
        else:
            shards.append(Shard(index, index + 1))
    return shards


def default_shard_size(count: int, workers: int) -> int:
    """Samples a shard: as many as is worth a Blender start, but few enough that every worker has work."""
    return max(1, min(LARGEST_DEFAULT, -(-count // workers)))
