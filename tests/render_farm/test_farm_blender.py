"""The farm with Blender itself, on micrographs of 64 × 64 pixels."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from blender_gen.sample import SampleFile

pytest.importorskip("bpy")

RECIPE = Path(__file__).parents[2] / "configs" / "recipes" / "slurry_coating.yaml"
SMALL = ("frame.width_px=64", "frame.height_px=64", "frame.pixel_size_um=1.5")


def command(out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "render_farm", "run", str(RECIPE), "--out", str(out), *more]


def digest(out: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "render_farm", "verify", str(out), "--json"], capture_output=True, check=False
    )
    assert done.returncode == 0
    return json.loads(done.stdout)["digest"]


def test_digest_is_the_same_for_any_shards_workers_and_threads(tmp_path: Path) -> None:
    for name, size, workers in (("one", "4", "1"), ("two", "1", "2")):
        line = command(tmp_path / name, "--count", "4", "--shard-size", size, "--workers", workers, *SMALL)
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    with SampleFile(tmp_path / "two" / "dataset.h5") as file:
        assert len(file) == 4 and file.shape == (64, 64) and "Fe2Al5" in file.header.phase_names
        assert file.truth(3)["family"] == "coating"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_promptly_in_the_middle_of_a_render(tmp_path: Path, number: int) -> None:
    out = tmp_path / "out"
    large = ("frame.width_px=2048", "frame.height_px=2048")
    process = subprocess.Popen(command(out, "--count", "2", "--workers", "1", *large), stderr=subprocess.DEVNULL)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    end = time.monotonic() + 30
    while not (children.exists() and children.read_text()) and time.monotonic() < end:
        time.sleep(0.05)
    worker = int(children.read_text().split()[0])
    time.sleep(3)  # Blender is up and at work
    os.kill(process.pid, number)
    began = time.monotonic()
    process.wait()
    while _runs(worker) and time.monotonic() < began + 30:
        time.sleep(0.05)
    assert time.monotonic() - began < 4
    assert not list(out.glob("shards/*.h5"))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
