"""Seconds of a simulated spectrum image: `python -m benchmarks.spectrum_image`, one thread.

A polished section of fifteen phases, 512 x 512 pixels of 1,024 channels, drawn and cut as the recipe says and painted
without Blender. `shares` is what of each pixel's X-rays comes from which phase, `spectra` the phases' expected ones
(computed anew each time), `counts` the Poisson counts. Beside them: NumPy's Poisson numbers in every channel of a
part of the pixels, scaled up. CPU seconds, and wall seconds, which depend on what else the machine does.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from blender_gen.edx import Conditions, phase_spectrum
from blender_gen.edx.counts import simulate_image
from blender_gen.edx.mixing import mixture
from blender_gen.families.mudrock import make_mudrock
from blender_gen.imaging import Target, make_target
from blender_gen.passes import Passes
from blender_gen.recipe import load_recipe
from blender_gen.recipe.imaging import Preparation
from blender_gen.section import cut
from blender_gen.seeding import Stage, generator
from semforge.spectra import EnergyAxis

RECIPE = Path(__file__).parents[1] / "configs/recipes/mineral_section.yaml"
PART = 64  # one in so many pixels has every channel drawn


def section(size: int) -> Target:
    """The first specimen of the recipe, as seen at the centres of its pixels."""
    from skimage.draw import polygon

    recipe = load_recipe(RECIPE, [f"frame.width_px={size}", f"frame.height_px={size}"])
    cutting = cut(make_mudrock(recipe, generator(0, 0, Stage.SPECIMEN)))
    view = cutting.view
    phase = np.zeros((size, size), np.uint8)
    for number, region in sorted(cutting.visible.items()):
        for ring in region.to_polygons() if number else ():
            column, row = view.to_picture(np.asarray(ring)).T
            phase[polygon(row, column, phase.shape)] = number
    normal = np.zeros((size, size, 3), np.float32)
    normal[..., 2] = 1
    flat = np.zeros(phase.shape, np.float32)
    passes = Passes(phase, phase.astype(np.uint32), flat, normal, phase, {})
    return make_target(passes, recipe.phase_materials, flat + 1, view.pixel_size_um, Preparation(filled_pores=1),
                       np.random.default_rng(0))  # fmt: skip


def timed(work: Callable[[], np.ndarray], repeats: int) -> tuple[np.ndarray, float, float]:
    """What comes out, and the least CPU and wall seconds of several times."""
    found = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        found.append((time.process_time() - cpu, time.perf_counter() - wall))
    return result, min(c for c, _ in found), min(w for _, w in found)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--channels", type=int, default=1024)
    parser.add_argument("--counts", type=float, nargs="+", default=[20, 200, 2000, 20_000], help="of a pixel, mean")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    target = section(asked.size)
    conditions = Conditions(beam_kev=15, axis=EnergyAxis(asked.channels, 10_240 / asked.channels))
    table = Table("", "counts a pixel", "CPU s", "wall s", "Mpixels/s", "stored")

    def add(name: str, counts: str, cpu: float, wall: float, stored: str = "") -> None:
        table.add_row(name, counts, f"{cpu:.2f}", f"{wall:.2f}", f"{asked.size**2 / wall / 1e6:.3f}", stored)

    seen, cpu, wall = timed(lambda: mixture(target, conditions, 0.0, None).everywhere().shares, asked.repeats)
    shares = seen.reshape(asked.size, asked.size, -1)
    add(f"shares of {(shares.any(axis=(0, 1))).sum()} phases", "", cpu, wall)

    def spectra() -> np.ndarray:
        phase_spectrum.cache_clear()
        return np.stack([phase_spectrum(solid, conditions) for solid in target.solids])

    expected, cpu, wall = timed(spectra, asked.repeats)
    add("spectra", "", cpu, wall)
    mean = float((shares.mean(axis=(0, 1), dtype=np.float64) @ expected).sum())
    for dose in asked.counts:
        scaled = expected * dose / mean

        def counts(scaled: np.ndarray = scaled) -> np.ndarray:
            return simulate_image(shares, scaled, np.random.default_rng(0))

        drawn, cpu, wall = timed(counts, asked.repeats)
        assert abs(drawn.sum(dtype=np.int64) / dose / asked.size**2 - 1) < 0.01
        add("counts", f"{dose:g}", cpu, wall, f"{drawn.nbytes / 2**20:.0f} MiB")
        del drawn
    rng = np.random.default_rng(0)
    some = shares.reshape(-1, shares.shape[-1])[::PART].astype(np.float64)
    for dose in asked.counts:
        _, cpu, wall = timed(lambda dose=dose: rng.poisson(some @ (expected * dose / mean)), 1)
        add("every channel by numpy, scaled", f"{dose:g}", PART * cpu, PART * wall)
    Console().print(table)
    print(f"{asked.size} x {asked.size} x {asked.channels}, load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
