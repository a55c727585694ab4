"""Label maps by Cycles against closed form; determinism; the relief in pores."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from specimens import COATING, PORE, RESIN, SUBSTRATE, slab

from blender_gen.device import Device
from blender_gen.imaging.relief import sky_visibility
from blender_gen.pipeline import make_sample
from blender_gen.recipe import load_recipe, with_frame
from blender_gen.section import audit, cut
from blender_gen.views import render_section
from semforge.errors import RejectedSpecimen

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def small():
    return with_frame(load_recipe(ROOT / "configs/recipes/slurry_coating.yaml"), width_px=96, height_px=80,
                      pixel_size_um=1.1)  # fmt: skip


def expected_slab(view, thickness):
    y = view.pixel_centres()[..., 1]
    return np.where(y > thickness, RESIN, np.where(y > 0, COATING, SUBSTRATE)), np.minimum(abs(y), abs(y - thickness))


@pytest.mark.parametrize("tilt", [0.0, 11.0, -30.0])
def test_every_pixel_of_a_slab(tilt):
    specimen = slab(20.0, tilt_deg=tilt)
    phase = render_section(cut(specimen)).phase
    expected, distance = expected_slab(specimen.view, 20.0)
    wrong = phase != expected
    assert not wrong[distance > 1e-3 * specimen.view.pixel_size_um].any()
    if tilt == 0:
        rows = (phase == COATING).sum(axis=0)
        assert np.all(np.abs(rows - 20.0 / specimen.view.pixel_size_um) <= 1)


def test_cut_spheres_give_their_discs():
    spheres = [(-12.0, 10.0, 0.0, 6.0), (9.0, 8.0, 3.0, 7.0), (20.0, 11.0, -2.0, 4.0)]
    specimen = slab(20.0, spheres=spheres)
    passes = render_section(cut(specimen))
    points, pixel = specimen.view.pixel_centres(), specimen.view.pixel_size_um
    for number, (x, y, z, radius) in enumerate(spheres, start=1):
        disc = np.sqrt(radius**2 - z**2)
        distance = np.hypot(points[..., 0] - x, points[..., 1] - y) - disc
        faceting = 0.01 * radius
        inside, outside = distance < -faceting, distance > faceting
        assert np.all(passes.phase[inside] == PORE)
        assert np.all(passes.instance[inside] == number)
        assert not np.any(passes.instance[outside] == number)
        crossed = 2 * np.pi * disc / pixel * np.sqrt(2)
        assert abs((passes.instance == number).sum() - np.pi * disc**2 / pixel**2) < crossed


def test_relief_of_a_hemispherical_pore():
    radius = 8.0
    specimen = slab(20.0, spheres=[(0.0, 10.0, 0.0, radius)], pixel_size_um=0.2)
    passes = render_section(cut(specimen))
    points = specimen.view.pixel_centres()
    r = np.hypot(points[..., 0], points[..., 1] - 10.0)
    inside = r < 0.8 * radius
    bowl = np.sqrt(radius**2 - np.minimum(r, radius) ** 2)
    assert passes.height_um[inside] == pytest.approx(-bowl[inside], abs=0.05)
    assert passes.normal[inside, 2] == pytest.approx(bowl[inside] / radius, abs=0.03)
    assert np.all(passes.wall[inside] == COATING)
    flat = passes.phase != PORE
    assert np.all(passes.height_um[flat] == 0)
    # anywhere in a hemispherical cavity half of the cosine-weighted sky is seen
    visible = sky_visibility(passes.height_um, ~flat, pixel_size_um=0.2)
    assert np.all(visible[flat] == 1)
    assert visible[inside].mean() == pytest.approx(0.5, abs=0.03)


def test_labels_hold_only_declared_phases(small):
    for index in range(3):
        sample = make_sample(small, index, seed=5)
        assert sample.phase.max() < len(small.phase_names)
        assert sample.image.shape == (1, 80, 96)
        assert sample.image.std() > 5


def test_sample_does_not_depend_on_threads_order_or_process(small):
    first = make_sample(small, 3, seed=1, device=Device(threads=1)).digest
    make_sample(small, 7, seed=1)
    assert make_sample(small, 3, seed=1, device=Device(threads=2)).digest == first
    code = (
        "from blender_gen.recipe import *; from blender_gen.pipeline import *; from blender_gen.device import *\n"
        "import sys; r = with_frame(load_recipe(sys.argv[1]), width_px=96, height_px=80, pixel_size_um=1.1)\n"
        "print(make_sample(r, 3, seed=1, device=Device(threads=2)).digest)"
    )
    recipe = str(ROOT / "configs/recipes/slurry_coating.yaml")
    fresh = subprocess.run([sys.executable, "-c", code, recipe], capture_output=True, text=True, check=True)
    assert fresh.stdout.strip().splitlines()[-1] == first


def test_other_index_or_seed_gives_another_sample(small):
    digests = {make_sample(small, i, s).digest for i, s in [(0, 0), (1, 0), (0, 1)]}
    assert len(digests) == 3


def test_blender_does_not_grow_over_many_scenes(small):
    import bpy

    for index in range(3):
        make_sample(small, index, seed=0)
        counts = len(bpy.data.meshes), len(bpy.data.objects), len(bpy.data.materials)
        if index == 0:
            first = counts
    assert counts == first


def test_thousands_of_bodies_keep_their_order():
    """More bodies than a fixed step could stack; every one of them must be seen whole."""
    rng = np.random.default_rng(0)
    grid = [(x, y) for x in np.arange(-29, 29, 0.8) for y in np.arange(1, 19, 0.8)]
    spheres = [(x, y, rng.uniform(-0.1, 0.1), 0.3) for x, y in grid] * 6  # six bodies at every place
    specimen = slab(20.0, spheres=spheres, size_px=(400, 200), pixel_size_um=0.15, subdivisions=1)
    seen = np.unique(render_section(cut(specimen)).instance)
    assert len(spheres) > 7000
    assert seen[1:].min() > 5 * len(grid)  # the last one at a place hides the others


def test_audit_rejects_a_label_map_that_is_off():
    specimen = slab(20.0)
    section = cut(specimen)
    phase = render_section(section).phase
    audit(section, phase)
    shifted = np.roll(phase, 1, axis=0)
    with pytest.raises(RejectedSpecimen, match="off the exact outlines"):
        audit(section, shifted)


def test_blender_is_imported_only_by_rendering():
    code = (
        "import sys, pkgutil, importlib, blender_gen\n"
        "for m in pkgutil.walk_packages(blender_gen.__path__, 'blender_gen.'):\n"
        "    if not m.name.endswith('__main__'): importlib.import_module(m.name)\n"
        "assert not {'bpy', 'torch', 'submitit', 'render_farm', 'sem_train'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_picture_is_stable():
    """Exact label map of one specimen, so that a change of Blender or of the geometry is noticed."""
    specimen = slab(20.0, tilt_deg=5, spheres=[(0.0, 10.0, 0.0, 6.0)])
    twice = [hashlib.sha256(render_section(cut(specimen)).phase.tobytes()).hexdigest() for _ in range(2)]
    assert twice[0] == twice[1]
