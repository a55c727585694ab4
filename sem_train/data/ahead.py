"""Batches that are made while the trainer is at the one before."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Ahead(Generic[T]):
    """The same items in the same order; a thread is at the next one meanwhile. What it raises is raised here."""

    items: Iterable[T]

    def __iter__(self) -> Iterator[T]:
        iterator, nothing = iter(self.items), object()
        with ThreadPoolExecutor(1, thread_name_prefix="loader") as thread:
            coming = thread.submit(next, iterator, nothing)
            while (item := coming.result()) is not nothing:
                coming = thread.submit(next, iterator, nothing)
                yield item  # type: ignore[misc]
