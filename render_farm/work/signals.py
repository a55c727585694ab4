"""Signals as a list of those that came, to be answered when it suits."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def noted_signals(*numbers: int, then: Callable[[], None] = lambda: None) -> Iterator[list[int]]:
    """Within, these signals are noted in the order in which they come, and `then` is called, nothing else."""
    came: list[int] = []

    def note(number: int, frame: object) -> None:
        came.append(number)
        then()

    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
