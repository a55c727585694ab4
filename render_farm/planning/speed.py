"""What pools really take a sample, learned from journals as they grow."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from render_farm.clusters import Cluster, PoolSettings
from render_farm.disk.journal import Attempt
from render_farm.planning.plan import STARTUP_S, Capacity

ENOUGH = 3  # samples; fewer say little, the first one of a renderer being the slowest


@dataclass
class _Seen:
    samples: int = 0
    seconds: float = 0.0  # of one task: with several renderers their times overlap
    startup_s: float | None = None


class Speeds:
    """Seconds a sample and start-up of each pool; every attempt counts as it was last seen."""

    def __init__(self, cluster: Cluster, slots: Mapping[str, int]):
        self._cluster, self._slots = cluster, slots
        self._pools: dict[str, dict[tuple[str, int], _Seen]] = defaultdict(dict)
        self._latest: dict[str, _Seen] = {}  # by attempt
        self._expected: float | None = None
        self.made: dict[str, set[int]] = {}  # by attempt that has not ended: what it has rendered

    def learn(self, attempts: Iterable[Attempt]) -> bool:
        """Take in what the attempts have measured by now; True if a pool's speed is known that was not before."""
        known = self._known()
        for attempt in attempts:
            seen = _Seen(len(attempt.samples), attempt.sample_s / max(1, attempt.processes), attempt.startup_s)
            self._pools[attempt.pool][attempt.id, attempt.restart] = self._latest[attempt.id] = seen
            if attempt.ended is None:
                self.made[attempt.id] = set(attempt.samples)
            else:
                self.made.pop(attempt.id, None)
        return self._known() > known

    def expect(self, seconds_per_sample: float) -> None:
        """What a sample takes at relative speed 1, for pools that have nothing measured."""
        self._expected = seconds_per_sample

    def seconds_per_sample(self, pool: str) -> float | None:
        """Of one task of the pool, as measured; None if there is too little to go by."""
        seen = self._pools[pool].values()
        samples = sum(one.samples for one in seen)
        return sum(one.seconds for one in seen) / samples if samples >= ENOUGH else None

    def startup_s(self, pool: str) -> float:
        """Until a renderer is up, as measured or as expected."""
        times = [one.startup_s for one in self._pools[pool].values() if one.startup_s is not None]
        return sum(times) / len(times) if times else STARTUP_S

    def pace(self, attempt: str, capacity: Capacity) -> float:
        """Seconds a sample of one attempt as it was last seen, else those of its pool, which must be known."""
        assert capacity.seconds_per_sample is not None, capacity
        one = self._latest.get(attempt, _Seen())
        return one.seconds / one.samples if one.samples >= ENOUGH else capacity.seconds_per_sample

    def capacities(self) -> list[Capacity]:
        """What each pool of the cluster can do."""
        return [
            Capacity(
                pool=name, slots=self._slots[name],
                seconds_per_sample=self.seconds_per_sample(name) or self._belief(settings),
                startup_s=self.startup_s(name), longest_s=settings.minutes_per_task * 60,
                most_samples=settings.samples_per_task, relative_speed=settings.relative_speed,
            )
            for name, settings in self._cluster.pools.items()
        ]  # fmt: skip

    def _belief(self, settings: PoolSettings) -> float | None:
        return settings.seconds_per_sample or (self._expected / settings.relative_speed if self._expected else None)

    def _known(self) -> set[str]:
        return {pool for pool in list(self._pools) if self.seconds_per_sample(pool) is not None}
