"""Where shards are rendered: pools of workers. The only place that knows about clusters.

A pool takes shards and tells what happens to them; it neither retries nor decides what is
done. Closing the generator that `run` returns stops all its workers, so leaving a
`with closing(pool.run(...))` for whatever reason, Ctrl-C included, leaves no process behind.
"""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Protocol

from render_farm.folder import Folder
from render_farm.plan import Shard
from semforge.cli import EXIT_BAD_INPUT
from semforge.errors import InputError

WORKER = (sys.executable, "-X", "faulthandler", "-m", "render_farm.worker")
PATIENCE_S = 2.0  # between asking a worker to end and killing it


@dataclass(frozen=True)
class SampleMade:
    """A worker has made one sample of a shard; it is not on disk yet."""

    shard: Shard


@dataclass(frozen=True)
class ShardEnded:
    """A worker is gone. Whether the shard is done is to be seen on disk; `problem` is what to say if it is not."""

    shard: Shard
    seconds: float
    problem: str
    retry: bool  # False if another attempt would end in the same way


Events = Generator[SampleMade | ShardEnded, None, None]


class Pool(Protocol):
    """A place to render shards."""

    def run(self, folder: Folder, shards: Sequence[Shard]) -> Events:
        """Render all shards, each once, in any order; ends when the last worker is gone."""
        ...


@dataclass(frozen=True)
class LocalPool:
    """Child processes on this machine, one a shard, `workers` at a time, sharing the cores evenly."""

    workers: int
    command: tuple[str, ...] = WORKER

    def run(self, folder: Folder, shards: Sequence[Shard]) -> Events:
        """As `Pool.run`."""
        waiting, running = deque(shards), set[_Child]()
        threads = max(1, available_cores() // self.workers)
        with selectors.DefaultSelector() as selector:
            try:
                while waiting or running:
                    while waiting and len(running) < self.workers:
                        child = _start(self.command, folder, waiting.popleft(), threads)
                        running.add(child)
                        selector.register(child.output, selectors.EVENT_READ, child)
                    for key, _ in selector.select():
                        child = key.data
                        if text := os.read(child.output, 65536):
                            yield from repeat(SampleMade(child.shard), text.count(b"\n"))
                            continue
                        selector.unregister(child.output)
                        ended = child.reap()
                        running.remove(child)
                        yield ended
            finally:
                _stop([child.process for child in running])


def available_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


CLUSTERS: dict[str, Callable[[int], Pool]] = {"local": LocalPool}


def open_pool(cluster: str, workers: int) -> Pool:
    """The pool of that name. Raises InputError naming the available ones if there is none."""
    if cluster not in CLUSTERS:
        raise InputError(f"--cluster {cluster}: is not known here, available: {', '.join(CLUSTERS)}")
    return CLUSTERS[cluster](workers)


@dataclass(eq=False)
class _Child:
    shard: Shard
    process: subprocess.Popen[bytes]
    log: Path
    log_start: int  # bytes that earlier attempts left in the log
    began: float = field(default_factory=time.monotonic)

    @property
    def output(self) -> int:
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def reap(self) -> ShardEnded:
        status = self.process.wait()
        _close(self.process)
        with self.log.open("rb") as log:
            log.seek(self.log_start)
            last = (log.read().decode(errors="replace").strip().splitlines() or [""])[-1].strip()
        if status < 0:
            problem = f"worker was killed by {_signal_name(-status)}"
        else:
            problem = last or f"worker ended with status {status} and printed nothing"
        return ShardEnded(self.shard, time.monotonic() - self.began, problem, retry=status != EXIT_BAD_INPUT)


def _start(command: tuple[str, ...], folder: Folder, shard: Shard, threads: int) -> _Child:
    path = folder.log_path(shard)
    arguments = [str(folder.root), str(shard.start), str(shard.stop), "--threads", str(threads)]
    # One BLAS thread: sums must not depend on how many workers share the machine.
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with path.open("ab") as log:
        log.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} {shard.name}, threads: {threads}\n".encode())
        log.flush()
        process = subprocess.Popen(
            [*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment,
            start_new_session=True,  # Ctrl-C reaches the farm only, which then stops its workers
        )  # fmt: skip
        return _Child(shard, process, path, log.tell())


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """End and reap all processes: first asked, then, after a moment, killed."""
    for process in processes:
        process.terminate()
    end = time.monotonic() + PATIENCE_S
    for process in processes:
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _close(process)


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
