"""One task: its samples rendered and on disk, whatever happens to the renderers.

This process never loads Blender. It starts one or several renderers, hands them one sample
after the other, keeps what they make and writes it as shards at every checkpoint. So a
crash in Blender costs the sample under way, a killed task what it made since its last
checkpoint, and a signal finds somebody who answers at once and writes what there is.

The same code runs in a Slurm job, as a local process (`python -m render_farm.work.task ORDER`)
and, with the samples made in this very process, as `--cluster debug`.
"""

import os
import signal
import socket
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from json import dumps, loads
from multiprocessing.connection import wait
from pathlib import Path
from typing import IO

from blender_gen.device import Choice
from blender_gen.sample import Header
from render_farm.disk.check import check_shard
from render_farm.disk.failures import failure, quarantined, read_failures, record_failure
from render_farm.disk.folder import Folder
from render_farm.disk.handovers import handed_over
from render_farm.disk.journal import Journal
from render_farm.disk.room import BAD_DISK
from render_farm.planning.plan import Task
from render_farm.work.answers import Answer, Failed, Made, Ready, Refused, Unfit
from render_farm.work.child import RENDERER, RendererProcess, shares_of_gpus
from render_farm.work.signals import noted_signals
from render_farm.work.writer import BadWrite, ShardWriter

BEAT_S = 0.25  # between two looks at signals, silent renderers and samples handed over
STARTS = 3  # renderers that end before they are ready, one after the other; then the node is to blame
BAD_WRITES = 3

DONE, STOPPED, NODE, DISK = "done", "stopped", "node", "disk"  # how a journal's `why` begins


@dataclass(frozen=True)
class Order:
    """All that a task needs to be told; plain values, so that it travels as JSON or a pickle."""

    folder: str
    attempt: str  # names its journal and its log
    pool: str
    engine: str
    task: str  # as plan.Task writes it
    device: Choice = "cpu"
    threads: int = 0  # of all its renderers together; 0: what this process may use
    processes: int | None = None  # renderers at a time; None: one a GPU that is granted, or one
    checkpoint_s: float = 60.0
    sample_timeout_s: float = 1800.0
    restart: int = 0
    command: tuple[str, ...] = RENDERER

    def to_json(self) -> str:
        """One line, for `from_json`."""
        return dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Order":
        """The order that `to_json` wrote."""
        values = loads(text)
        return cls(**{**values, "command": tuple(values["command"])})


class TaskRun:
    """A task at work. `stop` ends it soon, from a signal handler or another thread."""

    def __init__(self, order: Order):
        self._order = order
        self._folder = Folder(Path(order.folder))
        self._job = self._folder.job()
        self._stopping = False
        self._todo: deque[int] = deque()
        self._handed_over = 0.0  # when the file was last changed
        self._starts = 0  # renderers in a row that did not get ready
        self._problem = ""  # why the last of them did not
        self._headers: dict[RendererProcess, Header] = {}

    def stop(self) -> None:
        """Write what is rendered and end."""
        self._stopping = True

    def run(self) -> str:
        """Render until all samples are on disk or given up, or until stopped. Returns why it ended.

        `done`; `stopped`; `node: ...` if this machine cannot render; `disk: ...` if the samples
        cannot be written; anything else is a fault of the program.
        """
        order = self._order
        journal = Journal(self._folder.journal_path(order.attempt))
        self._folder.logs.mkdir(exist_ok=True)
        with self._folder.log_path(order.attempt).open("ab") as log:
            self._note(log, f"task {order.task} of pool {order.pool} on {node_name()}")
            try:
                why = self._work(journal, log)
            except OSError as error:
                if error.errno not in BAD_DISK:
                    raise
                why = f"{DISK}: {error.strerror}"
            except Exception as error:
                self._note(log, traceback.format_exc())
                why = f"{type(error).__name__}: {error}"
            _try_to(lambda: journal.write("end", why=why))
            _try_to(lambda: self._note(log, f"task ended: {why}"))
            journal.close()
        return why

    def _work(self, journal: Journal, log: IO[bytes]) -> str:
        order, threads = self._order, self._order.threads or len(os.sched_getaffinity(0))
        shares = self._shares()
        journal.write(
            "start", pool=order.pool, engine=order.engine, node=node_name(), task=order.task, device=order.device,
            threads=threads, processes=len(shares), restart=order.restart,
        )  # fmt: skip
        self._todo = deque(self._missing())
        job = self._job
        writer = ShardWriter(self._folder, journal, job.shard_size, order.checkpoint_s)
        waiting, renderers = shares[: len(self._todo)], set[RendererProcess]()
        bad_writes = 0
        try:
            while not self._stopping and self._unfinished(renderers):
                while waiting and self._todo:
                    renderers.add(self._start(waiting.pop(), max(1, threads // len(shares)), log))
                for renderer in renderers:
                    if renderer.ready and renderer.index is None:
                        self._ask(renderer)
                for renderer in self._heard(renderers):
                    if not self._take(renderer, renderer.answer(), journal, writer, log):
                        renderers.remove(renderer)
                        waiting.append(renderer.environment)
                if self._starts >= STARTS:
                    return f"{NODE}: {self._problem}"
                self._drop_handed_over()
                if writer.due:
                    try:
                        writer.flush()
                    except BadWrite as error:
                        bad_writes += 1
                        self._note(log, str(error))
                        if bad_writes >= BAD_WRITES:
                            return f"{DISK}: {error}"
            return STOPPED if self._unfinished(renderers) else DONE
        finally:
            for renderer in renderers:
                renderer.kill()
            writer.flush()

    def _unfinished(self, renderers: set[RendererProcess]) -> bool:
        return bool(self._todo) or any(renderer.index is not None for renderer in renderers)

    def _shares(self) -> list[dict[str, str]]:
        """A change of environment for each renderer that is to run at a time."""
        gpus = shares_of_gpus(self._order.device, os.environ) or [{}]
        count = self._order.processes or len(gpus)
        return [gpus[k % len(gpus)] for k in range(count)]

    def _missing(self) -> list[int]:
        """The task's samples that are neither on disk nor in quarantine."""
        wanted = Task.parse(self._order.task).indices
        span, job = range(wanted[0], wanted[-1] + 1), self._job
        near = [s for s in self._folder.shards_on_disk() if s.start < span.stop and s.stop > span.start]
        there = {i for s in near if check_shard(self._folder, job, s, deep=True).problem is None for i in s.indices}
        given_up = quarantined(read_failures(self._folder), self._job.attempts)
        return [index for index in wanted if index not in there and index not in given_up]

    def _start(self, environment: dict[str, str], threads: int, log: IO[bytes]) -> RendererProcess:
        order = self._order
        return RendererProcess(self._folder.root, order.device, threads, log, environment, order.command)

    def _heard(self, renderers: set[RendererProcess]) -> list[RendererProcess]:
        """The renderers that have something to say; those silent for too long are killed, which is an answer too."""
        for renderer in renderers:
            if (renderer.index is not None or not renderer.ready) and renderer.silent_s > self._order.sample_timeout_s:
                renderer.process.kill()
        by_connection = {renderer.connection: renderer for renderer in renderers}
        return [by_connection[c] for c in wait(list(by_connection), timeout=BEAT_S)]  # type: ignore[index]

    def _take(
        self, renderer: RendererProcess, answer: Answer | None, journal: Journal, writer: ShardWriter, log: IO[bytes]
    ) -> bool:
        """Take an answer and ask for the next sample; False if the renderer has ended."""
        index, silent_s = renderer.index, renderer.silent_s
        match answer:
            case Ready(header):
                renderer.ready, self._starts = True, 0
                self._headers[renderer] = header
                self._ask(renderer)
                journal.write("ready", device=header.device)
            case Made(sample, seconds):
                self._note(log, f"sample {index}: {seconds:.2f} s")
                renderer.index = None
                self._ask(renderer)  # before the sample is stored: the renderer need not wait for that
                journal.write("sample", index=index, seconds=round(seconds, 3))
                writer.add(sample, self._headers[renderer])
                return True
            case Refused(problem):
                renderer.index = None
                self._fail(index, problem, journal, log, final=True)
                return True
            case Failed(problem):
                renderer.end()
                self._fail(index, problem, journal, log)
                return False
            case Unfit(problem):
                renderer.end()
                self._starts = STARTS  # another one would find the same machine
                self._fail(None, problem, journal, log)
                return False
            case None:
                ended = renderer.end()
                if silent_s > self._order.sample_timeout_s:
                    ended = f"renderer was silent for {silent_s:.0f} s and was killed"
                self._fail(index, ended, journal, log)
                return False
        return True

    def _ask(self, renderer: RendererProcess) -> None:
        if self._todo and not self._stopping:
            renderer.ask(self._todo.popleft())

    def _fail(self, index: int | None, problem: str, journal: Journal, log: IO[bytes], final: bool = False) -> None:
        """Count a failure on the sample under way, or on this machine if there was none."""
        self._note(log, f"sample {index}: {problem}" if index is not None else problem)
        journal.write("failed", index=index, problem=problem)
        if index is None:
            self._starts += 1
            self._problem = problem
            return
        record_failure(self._folder, index, failure(node_name(), self._order.attempt, problem, final))
        if index not in quarantined(read_failures(self._folder, [index]), self._job.attempts):
            self._todo.append(index)

    def _drop_handed_over(self) -> None:
        """Leave to others the samples that were taken from this task since it began."""
        try:
            changed = self._folder.handed_over.stat().st_mtime
        except OSError:
            return
        if changed == self._handed_over:
            return
        self._handed_over = changed
        gone = handed_over(self._folder).get(self._order.attempt, set())
        self._todo = deque(index for index in self._todo if index not in gone)

    @staticmethod
    def _note(log: IO[bytes], text: str) -> None:
        log.write(f"{text}\n".encode())
        log.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """A task as a process on this machine: it ends with SIGTERM, or when its standard input closes."""
    (text,) = sys.argv[1:] if arguments is None else arguments
    run = TaskRun(Order.from_json(text))
    threading.Thread(target=_stop_with_parent, args=(run,), daemon=True).start()
    with noted_signals(signal.SIGTERM, then=run.stop):
        why = run.run()
    return 0 if why == DONE else 1


def node_name() -> str:
    """What this machine is called: by Slurm, if it has a say."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def _try_to(write: Callable[[], None]) -> None:
    """A last word that may not find room on a full disk."""
    with suppress(OSError):
        write()


def _stop_with_parent(run: TaskRun) -> None:
    while os.read(0, 4096):
        pass
    run.stop()


if __name__ == "__main__":
    sys.exit(main())
