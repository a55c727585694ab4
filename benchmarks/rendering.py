"""Where the time of a sample goes: `python -m benchmarks.rendering [COUNT]`, one thread.

Prints mean CPU seconds a stage and its share of the whole, for every shipped recipe, after one
sample to warm up. Shares compare within one run; seconds depend on the machine and its load.
"""

import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from blender_gen import detector, scene
from blender_gen.families.coating import make_coating
from blender_gen.recipe import Recipe, load_recipe
from blender_gen.section import cut
from blender_gen.seeding import Stage, generator
from blender_gen.texture import texture
from blender_gen.truth import coating_truth

RECIPES = sorted((Path(__file__).parents[1] / "configs" / "recipes").glob("*.yaml"))
STAGES = ("specimen", "cut", "truth", "render", "texture", "image")


def stage_seconds(recipe: Recipe, index: int) -> dict[str, float]:
    """CPU seconds that each stage of one sample takes."""
    seconds: dict[str, float] = {}

    def timed(stage, make):
        start = time.process_time()
        made = make()
        seconds[stage] = time.process_time() - start
        return made

    specimen = timed("specimen", lambda: make_coating(recipe, generator(0, index, Stage.SPECIMEN)))
    section = timed("cut", lambda: cut(specimen))
    timed("truth", lambda: coating_truth(section))
    passes = timed("render", lambda: scene.render(section, threads=1))
    grain = timed("texture", lambda: texture(recipe, specimen.view, passes.wall, generator(0, index, Stage.TEXTURE)))
    rng = generator(0, index, Stage.IMAGING)
    conditions = detector.draw_conditions(recipe.imaging, rng)
    pixel = specimen.view.pixel_size_um
    empty = np.zeros(grain.shape, dtype=bool)
    timed("image", lambda: detector.image(passes, recipe.phase_materials, grain, empty, pixel, conditions, rng))
    return seconds


def main() -> None:
    """Time every recipe."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    table = Table("recipe", *STAGES, "total, s", title=f"CPU seconds a stage and share of the total, mean of {count}")
    for path in RECIPES:
        recipe = load_recipe(path)
        stage_seconds(recipe, count)
        total: Counter[str] = Counter()
        for index in range(count):
            total.update(stage_seconds(recipe, index))
        whole = total.total()
        cells = [f"{total[stage] / count:.2f} ({100 * total[stage] / whole:.0f} %)" for stage in STAGES]
        table.add_row(path.stem, *cells, f"{whole / count:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
