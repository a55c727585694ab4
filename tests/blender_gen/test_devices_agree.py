"""Label maps of a GPU against those of the CPU: they may differ only as rounding makes them differ.

Both kinds of device trace the same ray through each pixel's centre to the same float32 triangles; only
the last digits of their arithmetic differ. So a pixel may change only if a boundary passes its centre
within rounding: it lies beside a boundary, and such pixels are a share ROUNDED of those along all
boundaries, the share by which the CPU's label maps may differ from the exact outlines. Their number
is then a Poisson variable.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import maximum_filter, minimum_filter
from scipy.stats import poisson

from blender_gen import scene
from blender_gen.device import Device
from blender_gen.families import FAMILIES
from blender_gen.recipe import load_recipe
from blender_gen.section import ROUNDED
from blender_gen.seeding import Stage, generator
from semforge.errors import RejectedSpecimen

RECIPES = sorted((Path(__file__).parents[2] / "configs/recipes").glob("*.yaml"))
ONE_A_FAMILY = ("slurry_coating", "mudrock", "urban_dust")
SIZE = ["frame.width_px=256", "frame.height_px=256"]
CHANCE = 1e-6  # that a right device fails, a picture


def specimen(name):
    """The family of a shipped recipe, and the first of its specimens that renders."""
    recipe = load_recipe(next(path for path in RECIPES if path.stem == name), SIZE)
    family = FAMILIES[recipe.family]
    for attempt in range(10):
        try:
            built = family.build(recipe, generator(0, 0, Stage.SPECIMEN, attempt))
            return family, built, labels(family.render(built, Device()))
        except RejectedSpecimen:
            continue
    raise AssertionError(f"{name}: no specimen")


def labels(passes):
    return passes.phase.astype(np.int64) << 32 | passes.instance


def disagreement(first, second):
    """Pixels that differ; how many may; how many of them are beside no boundary of the first map."""
    boundary = sum(np.count_nonzero(np.diff(first, axis=axis)) for axis in (0, 1))
    differ = first != second
    inside = maximum_filter(first, 3) == minimum_filter(first, 3)
    return int(differ.sum()), poisson.ppf(1 - CHANCE, ROUNDED * boundary), int((differ & inside).sum())


@pytest.mark.parametrize("name", [path.stem for path in RECIPES])
def test_a_gpu_labels_as_the_cpu_does(name):
    gpus = [kind for kind in scene.available() if kind != "cpu"]
    if not gpus:
        pytest.skip("no GPU on this machine")
    family, built, cpu = specimen(name)
    for kind in gpus:
        differ, most, inside = disagreement(cpu, labels(family.render(built, Device(kind))))
        assert differ <= most, kind
        assert inside == 0, kind


@pytest.mark.parametrize("name", ONE_A_FAMILY)
def test_the_comparison_sees_a_twentieth_of_a_pixel_and_no_rounding(name, monkeypatch):
    """A device that is a little off, by moving the camera."""
    family, built, cpu = specimen(name)
    camera = scene._camera

    def off_by(share):
        def moved(bpy, view, start_um):
            x, y = view.centre_um
            step = share * view.pixel_size_um
            camera(bpy, replace(view, centre_um=(x + step, y + step)), start_um)

        monkeypatch.setattr(scene, "_camera", moved)
        return disagreement(cpu, labels(family.render(built, Device())))

    assert off_by(0)[0] == 0
    differ, most, inside = off_by(1e-5)
    assert differ <= most and inside == 0
    differ, most, _ = off_by(0.05)
    assert differ > most
    assert off_by(1.9)[2] > 0
