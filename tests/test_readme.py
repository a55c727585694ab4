"""Every command of the README runs, made small; every file it and the guides point to exists."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blender_gen.recipe import parse_recipe
from blender_gen.sample import SampleFile

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests" / "slurm"))
from slurm_cluster import SlurmCluster, missing  # noqa: E402

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
BIN = Path(sys.executable).parent

SMALL_FRAME = "frame.width_px=160 frame.height_px=128 frame.pixel_size_um=0.9"
SMALL_FIT = "training.steps=2 training.val_every=2 training.batch_size=2 data.crop_px=64 data.synthetic.0.held_out=2"
SMALL_COMPARE = (
    "plan.training.steps=4 plan.training.batch_size=2 plan.data.crop_px=64 folds.count=2 seeds=[0] real_images=[all] "
    "plan.data.synthetic.0.path=data/ebc"
)
SMALL_CLASSIFY = (
    "training.steps=2 training.val_every=2 training.batch_size=4 "
    "data.synthetic.0.held_out=1 data.synthetic.0.excluded=1"
)
# How each command is made small: what it starts with, and what is appended or replaced.
SHORTER = {
    "make demo": lambda c: f"{c} DEMO={{tmp}}/demo COUNT=4 RENDER='{SMALL_FRAME}' FIT='{SMALL_FIT}'",
    "make test": lambda c: f"{c} --dry-run",  # this is it
    "blender-gen check": lambda c: c,
    "blender-gen preview": lambda c: c,
    "render-farm run": lambda c: re.sub(r"--count \d+", "--count 4", c) + f" {SMALL_FRAME}",
    "render-farm plan": lambda c: f"{c} {SMALL_FRAME}",
    "render-farm report": lambda c: c,
    "render-farm status": lambda c: c,
    "render-farm verify": lambda c: c,
    "sem-train fit": lambda c: f"{c} {SMALL_FIT}",
    "sem-train analyse": lambda c: c,
    "blender-gen spectra": lambda c: c if "--live-s" in c else f"{c} variants=2",
    "sem-train classify fit": lambda c: f"{c} {SMALL_CLASSIFY}",
    "sem-train classify predict": lambda c: c,
    "sem-train map fit": lambda c: f"{c} training.steps=2 training.batch_size=4",
    "sem-train map predict": lambda c: c,
    "sem-train predict": lambda c: c,
    "sem-train report": lambda c: c,
    "sem-train measure": lambda c: c,
    "sem-train evaluate": lambda c: c,
    "sem-train gap": lambda c: f"{c} --crop-px 64 --crops 32",
    "sem-train compare": lambda c: f"{c} {SMALL_COMPARE}",
}


ON_SLURM = "data/big"  # what the README renders on a cluster


def commands():
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```(?:bash)?\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def run(command, cwd, **env):
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", command], cwd=cwd, capture_output=True, text=True,
                          env={**os.environ, "PATH": path, **env})  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def fake_barrier_coatings(folder):
    """Real-looking stand-ins: four images of four specimens, with masks and an index."""
    rng = np.random.default_rng(0)
    rows = ["split,name,specimen"]
    for number in range(4):
        labels = np.zeros((160, 160), np.uint8)
        labels[60:110] = 1
        labels[60:110, 80:83] = 2
        image = np.select([labels == 1, labels == 2], [90, 30], 160) + rng.normal(0, 6, labels.shape)
        for kind, array in (("images", image.clip(0, 255).astype(np.uint8)), ("masks", labels)):
            path = folder / "nasa_ebc" / "train" / kind / f"s{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
        rows.append(f"train,s{number},specimen{number}")
    (folder / "nasa_ebc" / "index.csv").write_text("\n".join(rows) + "\n")


def test_every_command_has_its_small_form():
    assert len(commands()) >= 12
    for command in commands():
        assert sum(command.startswith(start) for start in SHORTER) == 1, command


@pytest.fixture
def cluster():
    """What the environment needs to reach a Slurm, or None if there is none here."""
    if missing():
        assert os.environ.get("SEMFORGE_SLURM") != "required", missing()
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="slurm", dir="/tmp") as folder, SlurmCluster(Path(folder) / "c") as running:
        yield running.environment()


def as_a_user_would_change_it(site):
    """The shipped cluster file with the numbers of the site at hand."""
    text = re.sub(r"(?m)^    setup:\n(      - .*\n)+", "", site.read_text())
    for key, value in {"cpus": 1, "memory_gb": 2, "parallel": 2}.items():
        text = re.sub(rf"(?m)^    {key}: \d+", f"    {key}: {value}", text)
    site.write_text(f"{text}\npoll_s: 1\n".replace("poll_s: 15", "# poll_s: 15"))


def test_the_readme_works_from_top_to_bottom(tmp_path, cluster):
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    as_a_user_would_change_it(tmp_path / "configs" / "clusters" / "slurm.yaml")
    fake_barrier_coatings(tmp_path / "real")
    outputs = {}
    for command in commands():
        start = next(start for start in SHORTER if command.startswith(start))
        if start == "sem-train analyse":
            (tmp_path / "micrographs").mkdir()
            with SampleFile(tmp_path / "data/slurry") as samples:
                Image.fromarray(samples.image(0)).save(tmp_path / "micrographs" / "a.png")
        if ON_SLURM in command and cluster is None:
            continue
        short = SHORTER[start](command).replace("{tmp}", str(tmp_path))
        if start.startswith("make"):
            outputs[command] = run(f"{short} -o {BIN.parent}/.ready VENV={BIN.parent}", ROOT)
        else:
            outputs[command] = run(short, tmp_path, SEMFORGE_DATA=str(tmp_path / "real"), **(cluster or {}))
    for made in ("preview.png", "demo/report.html", "data/slurry/dataset.h5", "runs/slow/last.ckpt", "report.html",
                 "predictions/a_labels.png", "predictions/a_overlay.png", "table.csv", "corrected.csv", "lines/a.zip",
                 "labels/a.tif", "results/a.json", "results/report.html", "certificate.html",
                 "data/minerals/library.h5", "particles/particles.csv", "particles/shares.csv", "particles/report.html",
                 "named/names.csv", "named/map.html"):  # fmt: skip
        assert (tmp_path / made).stat().st_size > 0, made
    assert "4 samples sound (every digest recomputed)" in outputs["render-farm verify data/slurry --deep"]
    if cluster is not None:
        assert (tmp_path / "farm.html").stat().st_size > 0
        assert "4 of 4 samples on disk" in outputs["render-farm report data/big --out farm.html"]
    assert "Fe2Al5" in (tmp_path / "table.csv").read_text()
    report = (tmp_path / "demo" / "report.html").read_text()
    assert not re.search(r'(src|href)="(https?:)?//', report), "the report must open offline"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_and_config_files_exist(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / target).exists(), f"{page.name} points to {target}"
    for config in re.findall(r"configs/[\w/]+\.yaml", text):
        assert (ROOT / config).exists(), f"{page.name} names {config}"


def test_the_recipe_of_the_guide_is_valid():
    text = (ROOT / "docs" / "recipes.md").read_text()
    recipe = parse_recipe(re.search(r"```yaml\n(.*?)```", text, flags=re.DOTALL).group(1), "docs/recipes.md")
    assert recipe.phase_names == ("resin", "coating", "pore", "steel")
