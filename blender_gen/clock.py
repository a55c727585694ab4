"""How long the stages of the work take. Stages name themselves; they cost nothing unless somebody measures."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Lap:
    """One pass through a stage, without the stages inside it."""

    wall_s: float
    cpu_s: float  # of all threads of the process

    def __add__(self, other: "Lap") -> "Lap":
        return Lap(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s)


@dataclass
class Clock:
    """The laps of each stage, in the order in which they ended."""

    laps: dict[str, list[Lap]] = field(default_factory=lambda: defaultdict(list))
    _running: list[Lap] = field(default_factory=list)
    _last: tuple[float, float] = (0.0, 0.0)

    def enter(self) -> None:
        """Begin a stage; the one around it stands still until the new one ends."""
        self._charge()
        self._running.append(Lap(0.0, 0.0))

    def leave(self, name: str) -> None:
        """End the innermost stage."""
        self._charge()
        self.laps[name].append(self._running.pop())

    def _charge(self) -> None:
        now = time.perf_counter(), time.process_time()
        if self._running:
            self._running[-1] += Lap(now[0] - self._last[0], now[1] - self._last[1])
        self._last = now


_clock: ContextVar[Clock | None] = ContextVar("clock", default=None)


@contextmanager
def measured() -> Iterator[Clock]:
    """Measure the stages that are passed in this block."""
    clock = Clock()
    token = _clock.set(clock)
    try:
        yield clock
    finally:
        _clock.reset(token)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """A stage of the work."""
    clock = _clock.get()
    if clock is None:
        yield
        return
    clock.enter()
    try:
        yield
    finally:
        clock.leave(name)
