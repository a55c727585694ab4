"""Tasks as processes on this machine."""

import subprocess
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from render_farm.disk.folder import Folder
from render_farm.planning.plan import Task
from render_farm.pools import Alive, Ending
from render_farm.pools.submissions import record_submission
from render_farm.work.child import signal_name
from render_farm.work.task import Order

TASK = (sys.executable, "-X", "faulthandler", "-m", "render_farm.work.task")
PATIENCE_S = 3.0  # between asking a task to end and killing it

MakeOrder = Callable[[str, Task], Order]  # of an attempt id and its task


@dataclass
class LocalPool:
    """Child processes, `slots` at a time, that end with this one."""

    name: str
    slots: int
    folder: Folder
    order: MakeOrder
    command: tuple[str, ...] = TASK
    _queued: deque[tuple[str, Task]] = field(default_factory=deque)
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _endings: dict[str, Ending] = field(default_factory=dict)

    def submit(self, tasks: Sequence[Task]) -> dict[str, Task]:
        """As `Pool.submit`."""
        run = f"local-{uuid.uuid4().hex[:8]}"
        attempts = {f"{run}_{k}": task for k, task in enumerate(tasks)}
        record_submission(self.folder, self.name, "local", run, tasks)
        self._queued.extend(attempts.items())
        return attempts

    def adopt(self) -> dict[str, Task]:
        """Processes end with the run that started them."""
        return {}

    def look(self) -> dict[str, Alive]:
        """As `Pool.look`; begins tasks where there is room."""
        for attempt, process in list(self._running.items()):
            if process.poll() is not None:
                self._reap(attempt)
        while self._queued and len(self._running) < self.slots:
            attempt, task = self._queued.popleft()
            self._running[attempt] = self._start(self.order(attempt, task))
        running: dict[str, Alive] = dict.fromkeys(self._running, "running")
        return running | dict.fromkeys((attempt for attempt, _ in self._queued), "queued")

    def withdraw(self, attempts: Collection[str]) -> None:
        """As `Pool.withdraw`."""
        self._queued = deque(item for item in self._queued if item[0] not in attempts)
        self._endings |= dict.fromkeys(attempts, Ending("taken back", "nobody"))

    def endings(self, attempts: Collection[str]) -> dict[str, Ending]:
        """As `Pool.endings`."""
        return {attempt: self._endings[attempt] for attempt in attempts if attempt in self._endings}

    def avoid(self, nodes: Collection[str]) -> None:
        """There is only this one."""

    def stop(self, spare: Collection[str] = ()) -> None:
        """End and reap all processes: first asked, then, after a moment, killed."""
        self._queued.clear()
        for process in self._running.values():
            process.terminate()
        end = time.monotonic() + PATIENCE_S
        for attempt, process in list(self._running.items()):
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._reap(attempt)

    def leave(self) -> None:
        """As `Pool.leave`."""
        self.stop()

    def _start(self, order: Order) -> subprocess.Popen[bytes]:
        with self.folder.log_path(order.attempt).open("ab") as log:
            return subprocess.Popen(
                [*self.command, order.to_json()], stdin=subprocess.PIPE, stdout=log, stderr=log,
                start_new_session=True,  # Ctrl-C reaches the farm only, which then stops its tasks
            )  # fmt: skip

    def _reap(self, attempt: str) -> None:
        process = self._running.pop(attempt)
        if process.stdin is not None:
            process.stdin.close()
        status = process.wait()
        if status < 0:
            self._endings[attempt] = Ending(f"task was killed by {signal_name(-status)}", "sample")
        elif status:
            self._endings[attempt] = Ending(f"task ended with status {status}", "nobody")
