"""All in this process: a breakpoint in a recipe family stops here, an exception shows its traceback."""

import os
import time
import uuid
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from blender_gen.device import Choice
from render_farm.disk.folder import Folder, Job
from render_farm.disk.journal import Journal
from render_farm.planning.plan import Task
from render_farm.pools import Alive, Ending
from render_farm.pools.local import MakeOrder
from render_farm.pools.submissions import record_submission
from render_farm.work.renderer import Maker, blender_maker
from render_farm.work.task import DONE, node_name
from render_farm.work.writer import ShardWriter


@dataclass
class DebugPool:
    """One task at a time, rendered when somebody looks."""

    name: str
    folder: Folder
    order: MakeOrder
    make: Callable[[Job, Choice, int], Maker] = blender_maker
    slots: int = 1
    _queued: deque[tuple[str, Task]] = field(default_factory=deque)

    def submit(self, tasks: Sequence[Task]) -> dict[str, Task]:
        """As `Pool.submit`."""
        run = f"debug-{uuid.uuid4().hex[:8]}"
        record_submission(self.folder, self.name, "debug", run, tasks)
        attempts = {f"{run}_{k}": task for k, task in enumerate(tasks)}
        self._queued.extend(attempts.items())
        return attempts

    def adopt(self) -> dict[str, Task]:
        """There is nothing that outlives this process."""
        return {}

    def look(self) -> dict[str, Alive]:
        """Render the next task, then say which are left. Whatever the recipe raises comes out here."""
        if self._queued:
            self._render(*self._queued.popleft())
        return dict.fromkeys((attempt for attempt, _ in self._queued), "queued")

    def withdraw(self, attempts: Collection[str]) -> None:
        """As `Pool.withdraw`."""
        self._queued = deque(item for item in self._queued if item[0] not in attempts)

    def endings(self, attempts: Collection[str]) -> dict[str, Ending]:
        """Journals say it all."""
        return {}

    def avoid(self, nodes: Collection[str]) -> None:
        """There is only this one."""

    def stop(self, spare: Collection[str] = ()) -> None:
        """As `Pool.stop`."""
        self._queued.clear()

    def leave(self) -> None:
        """As `Pool.leave`."""

    def _render(self, attempt: str, task: Task) -> None:
        order, job = self.order(attempt, task), self.folder.job()
        threads = len(os.sched_getaffinity(0))
        journal = Journal(self.folder.journal_path(attempt))
        journal.write("start", pool=self.name, engine="debug", node=node_name(), task=str(task), device=order.device,
                      threads=threads, processes=1, restart=0)  # fmt: skip
        maker = self.make(job, order.device, threads)
        journal.write("ready", device=maker.header().device)
        writer = ShardWriter(self.folder, journal, job.shard_size, order.checkpoint_s)
        try:
            for index in task.indices:
                began = time.perf_counter()
                sample = maker.sample(index)
                journal.write("sample", index=index, seconds=round(time.perf_counter() - began, 3))
                writer.add(sample, maker.header())
                if writer.due:
                    writer.flush()
        finally:
            writer.flush()
        journal.write("end", why=DONE)
        journal.close()
