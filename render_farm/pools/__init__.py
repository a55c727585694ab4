"""Places that run tasks: processes here, arrays in Slurm, or this very process.

A pool takes tasks and says which are alive; what they achieved is seen on disk.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from render_farm.planning.plan import Task

Alive = Literal["queued", "running"]


@dataclass(frozen=True)
class Ending:
    """How an attempt ended. `blame` says whom it counts against: the samples under way, the node, or nobody."""

    problem: str
    blame: Literal["sample", "node", "nobody"]
    node: str = ""
    cancelled: bool = False  # by somebody else than this run


class Pool(Protocol):
    """A place to run tasks. Attempts are named by ids that are journal names."""

    name: str

    @property
    def slots(self) -> int:
        """Tasks that may run at a time."""
        ...

    def submit(self, tasks: Sequence[Task]) -> dict[str, Task]:
        """Hand in tasks, in the order in which they should begin; returns them by attempt id."""
        ...

    def adopt(self) -> dict[str, Task]:
        """The tasks that an earlier run handed in and that are alive still."""
        ...

    def look(self) -> dict[str, Alive] | None:
        """The attempts that are alive; None if that cannot be told now."""
        ...

    def withdraw(self, attempts: Collection[str]) -> None:
        """Take back those of the attempts that have not begun; which were shows at the next look."""
        ...

    def endings(self, attempts: Collection[str]) -> dict[str, Ending]:
        """How attempts ended that are alive no more, as far as it is known."""
        ...

    def avoid(self, nodes: Collection[str]) -> None:
        """Send no more tasks to these nodes."""
        ...

    def stop(self, spare: Collection[str] = ()) -> None:
        """End all tasks but those that are about to end by themselves."""
        ...

    def leave(self) -> None:
        """Go without waiting: processes of this machine end, what is queued elsewhere goes on."""
        ...
