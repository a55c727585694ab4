"""Blender in a process of its own: indices in, samples out.

`python -m render_farm.work.renderer FD DIR --device cpu --threads 2` is started by a task and
speaks with it over the connection FD only: it is sent sample indices and answers each with
`Made`, `Refused` or `Failed`. What Blender and the libraries print goes to the task's log.
When the connection closes the task is gone, and this process ends, also in mid-render.

The only part of the farm that starts Blender. A crash in there costs the sample under way.
"""

import argparse
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

from blender_gen.device import Choice
from blender_gen.sample import Header, Sample
from render_farm.disk.folder import Folder, Job
from render_farm.work.answers import Answer, Failed, Made, Ready, Refused, Unfit
from semforge.errors import DeviceAbsent, InputError, RejectedSpecimen


@dataclass(frozen=True)
class Maker:
    """Where samples come from: `sample(index)` must depend on the job and the index only."""

    sample: Callable[[int], Sample]
    header: Callable[[], Header]


def blender_maker(job: Job, choice: Choice, threads: int) -> Maker:
    """Samples of the job's recipe, rendered by Blender in this process."""
    from blender_gen.pipeline import make_header, make_sample
    from blender_gen.recipe import parse_recipe
    from blender_gen.scene import pick

    recipe = parse_recipe(job.recipe, "job.json")
    device = pick(choice, threads)
    header = make_header(recipe, job.seed, device)
    return Maker(lambda index: make_sample(recipe, index, job.seed, device), lambda: header)


def main(make: Callable[[Job, Choice, int], Maker] = blender_maker) -> NoReturn:
    """Answer indices with samples until the connection closes."""
    arguments = _arguments()
    connection = Connection(arguments.connection)
    asked: queue.SimpleQueue[int] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, asked), daemon=True).start()
    try:
        maker = make(Folder(arguments.folder).job(), arguments.device, arguments.threads)
        connection.send(Ready(maker.header()))
    except (DeviceAbsent, InputError) as error:
        _end(connection, Unfit(str(error)))
    except Exception as error:
        traceback.print_exc()
        _end(connection, Unfit(f"{type(error).__name__}: {error}"))
    while True:
        answer = make_one(maker, asked.get())
        if isinstance(answer, Failed):
            _end(connection, answer)
        connection.send(answer)


def make_one(maker: Maker, index: int) -> Made | Refused | Failed:
    """Make one sample; whatever goes wrong becomes an answer."""
    began = time.perf_counter()
    try:
        return Made(maker.sample(index), time.perf_counter() - began)
    except (InputError, RejectedSpecimen) as error:
        return Refused(str(error))
    except Exception as error:
        traceback.print_exc()
        return Failed(f"{type(error).__name__}: {error}")


def _listen(connection: Connection, asked: "queue.SimpleQueue[int]") -> None:
    # Runs on while Cycles renders: the render call releases the interpreter lock.
    try:
        while True:
            asked.put(connection.recv())
    except (EOFError, OSError):
        os._exit(1)


def _end(connection: Connection, answer: Answer) -> NoReturn:
    connection.send(answer)
    sys.stderr.flush()
    os._exit(1)  # Blender's teardown can only crash


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m render_farm.work.renderer", description=__doc__)
    parser.add_argument("connection", type=int, help="file descriptor of the connection to the task")
    parser.add_argument("folder", type=Path, help="folder with job.json")
    parser.add_argument("--device", default="cpu", help="cpu, optix, cuda, hip, oneapi or auto")
    parser.add_argument("--threads", type=int, default=1, help="render threads")
    return parser.parse_args()


if __name__ == "__main__":
    main()
