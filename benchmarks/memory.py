"""Whether a process that renders many specimens grows: `python -m benchmarks.memory RECIPE [--count 300]`.

Prints the resident memory and the number of Blender's data blocks after every tenth specimen, and
a verdict: memory after the last within 5 % of that after the 20th, data blocks the same throughout.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from blender_gen.device import Device
from blender_gen.pipeline import make_sample
from blender_gen.recipe import Recipe, load_recipe
from blender_gen.scene import data_blocks
from semforge import cli

SETTLED = 20  # specimens after which caches and allocators have what they need
TOLERANCE = 0.05


@dataclass(frozen=True)
class Growth:
    """Resident memory in MiB after each specimen, and the data blocks that Blender held."""

    memory_mib: list[float]
    blocks: list[int]

    @property
    def ratio(self) -> float:
        """Memory after the last specimen over that after the settled one."""
        return self.memory_mib[-1] / self.memory_mib[min(SETTLED, len(self.memory_mib)) - 1]

    @property
    def steady(self) -> bool:
        """The verdict."""
        return self.ratio <= 1 + TOLERANCE and len(set(self.blocks)) == 1


def resident_mib() -> float:
    """Resident memory of this process (Linux)."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status tells no VmRSS")


def grow(recipe: Recipe, count: int, device: Device = Device(), every: int = 0) -> Growth:
    """Make `count` samples in this process; `every` so many a line is printed, 0 is never."""
    growth = Growth([], [])
    for index in range(count):
        make_sample(recipe, index, seed=0, device=device)
        growth.memory_mib.append(resident_mib())
        growth.blocks.append(data_blocks())
        if every and (index + 1) % every == 0:
            print(f"{index + 1:5d}  {growth.memory_mib[-1]:8.1f} MiB  {growth.blocks[-1]} data blocks", flush=True)
    return growth


def main(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (YAML).")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value changes of the recipe.")] = None,
    count: Annotated[int, typer.Option(help="How many specimens.", min=SETTLED + 1)] = 300,
    size: Annotated[int, typer.Option(help="Width and height in pixels.", min=32)] = 512,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure and judge."""
    loaded = load_recipe(recipe, [f"frame.width_px={size}", f"frame.height_px={size}", *(overrides or [])])
    growth = grow(loaded, count, every=0 if as_json else 10)
    if as_json:
        print(json.dumps({**asdict(growth), "ratio": growth.ratio, "steady": growth.steady}))
    else:
        verdict = "steady" if growth.steady else "GROWS"
        print(f"{verdict}: after {count} specimens {growth.ratio:.3f} of the memory after {SETTLED}, "
              f"data blocks {sorted(set(growth.blocks))}")  # fmt: skip
    raise typer.Exit(0 if growth.steady else 1)


if __name__ == "__main__":
    app = cli.application("Whether a process that renders many specimens grows.")
    app.command()(main)
    cli.run(app, "benchmarks.memory")
