"""The script that the speed is compared with renders the same specimens."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from skimage.io import imread

from blender_gen.pipeline import make_sample
from blender_gen.recipe import load_recipe

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("name", "pixel_um"), [("slurry_coating", 0.8), ("nanoparticles_sem", 0.06)])
def test_its_mask_is_the_label_map(name, pixel_um, tmp_path):
    path = ROOT / f"configs/recipes/{name}.yaml"
    small = ["frame.width_px=96", "frame.height_px=96", f"frame.pixel_size_um={pixel_um}"]
    command = [sys.executable, "-m", "benchmarks.usual_script", str(path), "1", str(tmp_path / "usual"), *small]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    mask = imread(tmp_path / "usual_mask.png")[..., 0].astype(int) - 1
    sample = make_sample(load_recipe(path, small), 1, seed=0)
    assert np.mean(mask == sample.phase) > 0.95
    assert imread(tmp_path / "usual_image.png").std() > 5
