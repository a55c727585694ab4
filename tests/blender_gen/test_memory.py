"""A process that renders many specimens does not grow; the long run is `make bench-memory`."""

from pathlib import Path

from benchmarks.memory import Growth, grow
from blender_gen.device import Device
from blender_gen.recipe import load_recipe

RECIPE = Path(__file__).parents[2] / "configs/recipes/slurry_coating.yaml"


def test_forty_specimens_take_no_more_memory_than_twenty():
    small = load_recipe(RECIPE, ["frame.width_px=64", "frame.height_px=64", "frame.pixel_size_um=1.2"])
    growth = grow(small, 40, Device(threads=1))
    assert growth.ratio < 1.05
    assert len(set(growth.blocks)) == 1


def test_the_verdict():
    flat = [100.0] * 30
    assert Growth(flat, [7] * 30).steady
    assert not Growth([*flat, 106.0], [7] * 31).steady
    assert not Growth(flat, [7] * 29 + [8]).steady
