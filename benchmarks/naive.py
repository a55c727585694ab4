"""Images a second of this project and of the usual script: `python -m benchmarks.naive RECIPE [--count 3]`.

The same specimens, in turn: one by `benchmarks.usual_script` in a process of its own, start-up and
all, since that is how it is used; then the same one here, in a process that has rendered one before,
since that is how `render-farm` works. What a first specimen costs here, start-up and all, is printed
too. Eight micrographs of a specimen cost the script eight renderings, here one.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from blender_gen.device import processor
from blender_gen.pipeline import make_header, make_sample
from blender_gen.recipe import Recipe, load_recipe
from blender_gen.sample import write_samples
from semforge import cli

MANY = 8


@dataclass(frozen=True)
class Comparison:
    """Mean seconds of wall clock and of processor (children and all threads) a specimen."""

    usual_s: float  # one image with its mask
    one_s: float  # a specimen with one micrograph, masks and truth, written
    many_s: float  # the same with MANY micrographs
    usual_cpu_s: float
    one_cpu_s: float
    many_cpu_s: float
    cold_s: float  # the first specimen of a process, with its start

    @property
    def ratio_one(self) -> float:
        """Images a second here over those of the script, one micrograph a specimen."""
        return self.usual_s / self.one_s

    @property
    def ratio_many(self) -> float:
        """The same with MANY micrographs."""
        return MANY * self.usual_s / self.many_s


def compare(path: Path, size: int, count: int, overrides: list[str]) -> Comparison:
    """Render `count` specimens both ways in turn."""
    frame = [f"frame.width_px={size}", f"frame.height_px={size}", *overrides]
    one, many = (load_recipe(path, [*frame, f"imaging.images_per_specimen={k}"]) for k in (1, MANY))
    seconds: dict[str, list[tuple[float, float]]] = {"usual": [], "one": [], "many": []}
    with tempfile.TemporaryDirectory(prefix="semforge-naive-") as folder:
        out = Path(folder)
        cold, _ = _timed(partial(_child, "-c", COLD, str(path), *frame))
        _ours(one, count, out)
        for index in range(count):
            script = ["-m", "benchmarks.usual_script", str(path), str(index), str(out / "usual"), *frame]
            seconds["usual"].append(_timed(partial(_child, *script)))
            seconds["one"].append(_timed(partial(_ours, one, index, out)))
            seconds["many"].append(_timed(partial(_ours, many, index, out)))
    wall = {f"{name}_s": float(np.mean([t[0] for t in times])) for name, times in seconds.items()}
    cpu = {f"{name}_cpu_s": float(np.mean([t[1] for t in times])) for name, times in seconds.items()}
    return Comparison(**wall, **cpu, cold_s=cold)


COLD = """
import sys
from pathlib import Path
from blender_gen.pipeline import make_sample
from blender_gen.recipe import load_recipe
path, *changes = sys.argv[1:]
make_sample(load_recipe(Path(path), changes), 0, seed=0)
"""


def _ours(recipe: Recipe, index: int, folder: Path) -> None:
    write_samples(folder / "ours.h5", [make_sample(recipe, index, seed=0)], make_header(recipe, 0))


def _child(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)


def _timed(work: Callable[[], None]) -> tuple[float, float]:
    """Wall and processor seconds, the latter with ended children."""
    before, wall = os.times(), time.perf_counter()
    work()
    return time.perf_counter() - wall, sum(os.times()[:4]) - sum(before[:4])


def main(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (YAML).")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value changes of the recipe.")] = None,
    size: Annotated[int, typer.Option(help="Width and height in pixels.", min=32)] = 512,
    count: Annotated[int, typer.Option(help="How many specimens.", min=1)] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure and print."""
    found = compare(recipe, size, count, overrides or [])
    load = os.getloadavg()[0]
    if as_json:
        ratios = {"ratio_one": found.ratio_one, "ratio_many": found.ratio_many}
        machine = {"processor": processor(), "cores": os.cpu_count(), "load": load}
        print(json.dumps({"recipe": str(recipe), "size": size, "count": count, **asdict(found), **ratios, **machine}))
        return
    print(f"{recipe}, {size} x {size}, {count} specimens; {processor()}, {os.cpu_count()} cores, load {load:.1f}")
    rows = [
        ("usual script, 128 samples, a process an image", found.usual_s, found.usual_cpu_s, 1),
        ("here, 1 micrograph a specimen", found.one_s, found.one_cpu_s, 1),
        (f"here, {MANY} micrographs a specimen", found.many_s, found.many_cpu_s, MANY),
    ]
    for name, wall, cpu, images in rows:
        print(f"{name:48s} {wall:8.2f} s ({cpu:.2f} s CPU)  {images / wall:8.3f} images/s")
    print(f"ratio: {found.ratio_one:.0f} with one micrograph, {found.ratio_many:.0f} with {MANY}")
    print(f"first specimen of a new process here, start-up and all: {found.cold_s:.2f} s")


if __name__ == "__main__":
    app = cli.application("Images a second of this project and of the usual script.")
    app.command()(main)
    cli.run(app, "benchmarks.naive")
