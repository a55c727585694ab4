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
        [sys.executable, "-m", "render_farm", "verify", str(out), "--deep", "--json"], capture_output=True, check=False
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
def test_renderers_end_promptly_in_the_middle_of_a_render(tmp_path: Path, number: int) -> None:
    out = tmp_path / "out"
    large = ("frame.width_px=2048", "frame.height_px=2048")
    process = subprocess.Popen(command(out, "--count", "2", "--workers", "1", *large), stderr=subprocess.DEVNULL)
    end = time.monotonic() + 30
    while not (renderers := [child for task in _children(process.pid) for child in _children(task)]):
        assert time.monotonic() < end
        time.sleep(0.05)
    while not any('"ready"' in path.read_text() for path in out.glob("journal/*")) and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(1)  # Blender is at work
    os.kill(process.pid, number)
    began = time.monotonic()
    process.wait()
    while any(_runs(pid) for pid in renderers) and time.monotonic() < began + 30:
        time.sleep(0.05)
    assert time.monotonic() - began < 4
    assert not list(out.glob("shards/*.h5"))


def test_killed_blender_costs_its_sample_and_the_digest_is_the_same(tmp_path: Path) -> None:
    disturbed, plain = tmp_path / "disturbed", tmp_path / "plain"
    process = subprocess.Popen(command(disturbed, "--count", "6", "--workers", "1", *SMALL), stdout=subprocess.DEVNULL)
    end = time.monotonic() + 30
    while not any('"sample"' in path.read_text() for path in disturbed.glob("journal/*")):
        assert time.monotonic() < end
        time.sleep(0.02)
    (renderer,) = [child for task in _children(process.pid) for child in _children(task)]
    os.kill(renderer, signal.SIGKILL)
    assert process.wait() == 0
    (failure,) = disturbed.glob("failures/*")
    assert "renderer was killed by SIGKILL" in failure.read_text()
    assert subprocess.run(command(plain, "--count", "6", "--workers", "1", *SMALL), check=False).returncode == 0
    assert digest(disturbed) == digest(plain)


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is a GPU here")
def test_absent_device_is_an_error_and_no_silent_run_on_the_cpu(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("pools: {gpus: {engine: local, workers: 1, device: optix}}\npoll_s: 0.1\n")
    line = command(tmp_path / "out", "--count", "2", "--cluster", str(site), *SMALL)
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "device optix is asked for, but only CPU" in done.stderr
    assert not list((tmp_path / "out" / "shards").iterdir()) and not (tmp_path / "out" / "failures").exists()


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
