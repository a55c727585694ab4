"""One shard, rendered in a process of its own: `python -m render_farm.worker DIR START STOP`.

The only part of the farm that starts Blender. A process a shard keeps Blender's leaks and
crashes out of the farm. It speaks with whoever started it by three means only:

- stdout carries a line a finished sample, such as `sample 812: 0.81 s`, and nothing else; what Blender
  and the libraries print goes to stderr, which the pool sends to the shard's log;
- stdin is a lifeline: when it closes, the process that wanted the shard is gone, and this one ends;
- the exit status: 0 the shard is on disk, 2 the input cannot be rendered, anything else a failure
  that may go away on another attempt.
"""

import argparse
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TextIO

from blender_gen.sample import Header, Sample, write_samples
from render_farm.folder import Folder, Job
from render_farm.plan import Shard
from semforge.cli import EXIT_BAD_INPUT, EXIT_FAILED
from semforge.errors import InputError, RejectedSpecimen


@dataclass(frozen=True)
class Maker:
    """Where samples come from: `sample(index)` must depend on the job and the index only."""

    sample: Callable[[int], Sample]
    header: Callable[[], Header]


def blender_maker(job: Job, threads: int) -> Maker:
    """Samples of the job's recipe, rendered by Blender in this process on `threads` threads."""
    from blender_gen.device import Device
    from blender_gen.pipeline import make_header, make_sample
    from blender_gen.recipe import parse_recipe

    recipe = parse_recipe(job.recipe, "job.json")
    return Maker(
        sample=lambda index: make_sample(recipe, index, job.seed, device=Device("cpu", threads)),
        header=lambda: make_header(recipe, job.seed),
    )


def render_shard(path: Path, shard: Shard, maker: Maker, report: Callable[[int, float], None]) -> None:
    """Make the shard's samples and write its file; `report(index, seconds)` is told each sample."""
    samples = []
    for index in shard.indices:
        began = time.perf_counter()
        samples.append(maker.sample(index))
        report(index, time.perf_counter() - began)
    write_samples(path, samples, maker.header())


def main(make: Callable[[Job, int], Maker] = blender_maker) -> NoReturn:
    """Render the shard that the command line names, then end the process."""
    arguments = _arguments()
    progress = _take_stdout()
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def report(index: int, seconds: float) -> None:
        for stream in (progress, sys.stderr):
            print(f"sample {index}: {seconds:.2f} s", file=stream, flush=True)

    folder, shard = Folder(arguments.folder), Shard(arguments.start, arguments.stop)
    try:
        render_shard(folder.shard_path(shard), shard, make(folder.job(), arguments.threads), report)
        status = 0
    except (InputError, RejectedSpecimen) as error:  # another attempt would draw the same
        print(error, file=sys.stderr)
        status = EXIT_BAD_INPUT
    except Exception:
        traceback.print_exc()
        status = EXIT_FAILED
    sys.stderr.flush()
    os._exit(status)  # the file is closed and in place; Blender's teardown can only crash


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m render_farm.worker", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with job.json")
    parser.add_argument("start", type=int, help="first sample index")
    parser.add_argument("stop", type=int, help="one past the last sample index")
    parser.add_argument("--threads", type=int, default=0, help="render threads; 0 leaves it to Blender")
    return parser.parse_args()


def _take_stdout() -> TextIO:
    """Keep stdout for progress and send whatever else is printed, from C code too, to stderr."""
    progress = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return progress


def _end_with_parent() -> None:
    # Runs on while Cycles renders: the render call releases the interpreter lock.
    while os.read(0, 4096):
        pass
    os._exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
