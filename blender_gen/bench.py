"""Where the time of a sample goes: the pipeline as it is, measured stage by stage."""

import os
import tempfile
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

from rich.table import Table

from blender_gen.clock import Clock, Lap, measured, stage
from blender_gen.device import Device, processor
from blender_gen.pipeline import make_header, make_sample
from blender_gen.recipe import Recipe
from blender_gen.sample import write_samples

STAGES = {
    "specimen": "draw the specimen and cut it",
    "scene": "triangles to Blender",
    "passes": "render; phases, heights, normals",
    "truth": "audit and truth",
    "target": "grain, preparation, relief",
    "imaging": "one micrograph",
    "write": "digest, compress, write",
}
ONLY_SOME = {"edx": "spectra of pixels and particles"}  # stages that only some recipes have


@dataclass(frozen=True)
class Timing:
    """Mean seconds of a new specimen with its first micrograph, by stage, and of a further micrograph."""

    recipe: str
    size_px: tuple[int, int]
    specimens: int
    micrographs: int  # of each specimen
    threads: int
    device: str  # that rendered
    stages: dict[str, Lap]
    further: Lap | None  # None if there was only one micrograph
    load: float  # runnable processes at the end, mean over a minute

    @property
    def new(self) -> Lap:
        """The sum of the stages."""
        return reduce(add, self.stages.values())


def time_recipe(recipe: Recipe, count: int, device: Device = Device(), seed: int = 0) -> Timing:
    """Make `count` samples after one that warms up, each written to a file of its own."""
    header = make_header(recipe, seed, device)
    with tempfile.TemporaryDirectory(prefix="semforge-bench-") as folder:
        make_sample(recipe, count, seed, device)
        with measured() as clock:
            for index in range(count):
                sample = make_sample(recipe, index, seed, device)
                with stage("write"):
                    write_samples(Path(folder) / f"{index}.h5", [sample], header)
    micrographs = len(sample.image)
    stages = {name: _mean(clock.laps[name], count) for name in STAGES if name != "imaging"}
    stages["imaging"], further = _micrographs(clock, micrographs, count)
    stages = {name: stages[name] for name in STAGES}
    stages |= {name: _mean(clock.laps[name], count) for name in ONLY_SOME if name in clock.laps}
    size = sample.phase.shape[1], sample.phase.shape[0]
    load = os.getloadavg()[0]
    threads = device.threads or os.cpu_count() or 1
    return Timing(recipe.name, size, count, micrographs, threads, header.device, stages, further, load)


def report(timing: Timing) -> dict[str, Any]:
    """The timing as plain values."""
    new, further = timing.new, timing.further
    return {
        "recipe": timing.recipe,
        "size_px": list(timing.size_px),
        "specimens": timing.specimens,
        "micrographs": timing.micrographs,
        "threads": timing.threads,
        "device": timing.device,
        "machine": {"processor": processor(), "cores": os.cpu_count(), "load": round(timing.load, 2)},
        "stages": {
            name: {"wall_s": lap.wall_s, "cpu_s": lap.cpu_s, "share": lap.wall_s / new.wall_s}
            for name, lap in timing.stages.items()
        },
        "new_specimen": {"wall_s": new.wall_s, "cpu_s": new.cpu_s},
        "further_micrograph": {"wall_s": further.wall_s, "cpu_s": further.cpu_s} if further else None,
    }


def table(timing: Timing) -> Table:
    """The timing for the eye."""
    width, height = timing.size_px
    title = (f"{timing.recipe}, {width} x {height}, mean of {timing.specimens} specimens, {timing.threads} threads\n"
             f"{timing.device}, {os.cpu_count()} cores, load {timing.load:.1f}")  # fmt: skip
    drawn = Table("stage", "", title=title)
    for heading in ("wall, s", "CPU, s", "share"):
        drawn.add_column(heading, justify="right")
    whole = timing.new
    for name, lap in timing.stages.items():
        what = (STAGES | ONLY_SOME)[name]
        drawn.add_row(name, what, f"{lap.wall_s:.3f}", f"{lap.cpu_s:.3f}", f"{lap.wall_s / whole.wall_s:.0%}")
    drawn.add_section()
    drawn.add_row("new specimen", "with its first micrograph", f"{whole.wall_s:.3f}", f"{whole.cpu_s:.3f}", "100%")
    if timing.further:
        drawn.add_row("further micrograph", "", f"{timing.further.wall_s:.3f}", f"{timing.further.cpu_s:.3f}", "")
    return drawn


def _micrographs(clock: Clock, each: int, count: int) -> tuple[Lap, Lap | None]:
    """Mean of the first micrographs, and of all others."""
    laps = clock.laps["imaging"][-each * count :]
    first, others = laps[::each], [lap for number, lap in enumerate(laps) if number % each]
    return _mean(first, count), _mean(others, len(others)) if others else None


def _mean(laps: list[Lap], count: int) -> Lap:
    total = reduce(add, laps, Lap(0.0, 0.0))
    return Lap(total.wall_s / count, total.cpu_s / count)
