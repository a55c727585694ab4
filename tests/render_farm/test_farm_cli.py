"""The command line in processes of its own: signals, exit codes, what is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from render_farm.disk.folder import Folder
from render_farm.views.status import read_status, verify

RECIPE = Path(__file__).parents[2] / "configs" / "recipes" / "slurry_coating.yaml"
FAKE_FARM = Path(__file__).with_name("fake_farm.py")

Farm = Callable[..., subprocess.Popen[str]]


def command(out: Path, *more: str, **behaviour: object) -> list[str]:
    run = ["run", str(RECIPE), "--count", "8", "--shard-size", "4", "--workers", "2", "--out", str(out), *more]
    return [sys.executable, str(FAKE_FARM), json.dumps(behaviour), *run]


def farm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "render_farm", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def fake_farm(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, str(FAKE_FARM), "{}", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def start() -> Iterator[Farm]:
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object, **behaviour: object) -> subprocess.Popen[str]:
        line = command(*arguments, **behaviour)
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Not there, or waiting for a parent that is not ours to collect it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def at_work(folder: Folder) -> bool:
    """Both workers have made a sample."""
    logs = list(folder.logs.glob("*.log"))
    return len(logs) == 2 and all("sample" in log.read_text().partition("\n")[2] for log in logs)


def left_over(folder: Folder) -> list[Path]:
    return [path for path in folder.root.rglob(".*") if path.name != ".lock"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_run_leaves_no_process_and_no_half_file_and_goes_on(start: Farm, tmp_path: Path, number: int) -> None:
    folder = Folder(tmp_path / "out")
    process = start(folder.root, "--count", "12", pause_s=0.3)
    wait_for(lambda: at_work(folder))
    workers = children(process.pid)
    assert len(workers) == 2 and read_status(folder).state == "running"

    began = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=10)
    assert time.monotonic() - began < 5
    assert process.returncode == 130
    assert "the same command goes on" in errors and "Traceback" not in errors
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert not left_over(folder) and not folder.is_locked()
    assert read_status(folder).state == "incomplete"

    resumed = start(folder.root, "--count", "12")
    output, errors = resumed.communicate(timeout=30)
    assert resumed.returncode == 0, errors
    assert output.splitlines()[-1].startswith("12 samples") and str(folder.dataset) in output
    assert verify(folder, deep=True).passed


def test_worker_that_ignores_being_asked_is_killed(start: Farm, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out")
    process = start(folder.root, pause_s=0.3)
    wait_for(lambda: at_work(folder))
    workers = children(process.pid)
    os.kill(workers[0], signal.SIGSTOP)  # deaf, as in a long call into C code
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_workers_end_with_a_farm_that_is_killed(start: Farm, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out")
    process = start(folder.root, pause_s=0.3)
    wait_for(lambda: at_work(folder))
    workers = children(process.pid)
    process.kill()
    process.wait()
    wait_for(lambda: all(gone(worker) for worker in workers), seconds=3)
    assert not folder.is_locked()
    assert start(folder.root).wait(timeout=30) == 0
    assert verify(folder, deep=True).passed


def test_killed_worker_is_replaced(start: Farm, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out")
    process = start(folder.root, pause_s=0.2)
    wait_for(lambda: at_work(folder))
    os.kill(children(process.pid)[0], signal.SIGKILL)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert "killed by SIGKILL" in output
    assert verify(folder, deep=True).passed


def test_second_run_is_refused_while_the_first_goes_on(start: Farm, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out")
    first = start(folder.root, pause_s=2.0)
    wait_for(lambda: at_work(folder))
    second = start(folder.root)
    _, errors = second.communicate(timeout=20)
    assert second.returncode == 2 and "another run is at work" in errors
    assert first.wait(timeout=30) == 0


def test_poisoned_sample_exits_1_and_is_named_with_its_log(start: Farm, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(out, "--attempts", "2", at=6, how="crash")
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert errors.strip().count("\n") == 0
    (log,) = [path for path in (out / "logs").iterdir() if "scene fell apart" in path.read_text()]
    assert "sample 6: RuntimeError: scene fell apart" in errors and str(log) in errors
    assert "in quarantine" in farm("status", str(out)).stdout

    assert fake_farm("resume", str(out)).returncode == 1
    assert fake_farm("resume", str(out), "--retry-quarantined").returncode == 0
    assert verify(Folder(out), deep=True).samples == 8


def test_status_and_verify_speak_json(start: Farm, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert start(out).wait(timeout=30) == 0
    status = json.loads(farm("status", str(out), "--json").stdout)
    assert status["seconds_per_sample"] >= 0
    expected = {"state": "complete", "wanted": 8, "done": 8, "missing": 0, "bad_shards": [], "quarantined": []}
    assert expected.items() <= status.items()
    found = json.loads(farm("verify", str(out), "--deep", "--json").stdout)
    assert (found["samples"], found["bad"], found["missing"]) == (8, 0, 0) and len(found["digest"]) == 64
    assert json.loads(farm("verify", str(out), "--json").stdout)["digest"] == found["digest"]

    (out / "shards" / "samples_000004-000007.h5").write_bytes(b"\x89HDF")
    damaged = farm("verify", str(out), "--json")
    assert damaged.returncode == 1 and json.loads(damaged.stdout)["bad"] == 4
    said = farm("status", str(out)).stdout
    assert "damaged" in said and "with: render-farm resume" in " ".join(said.split())


def test_resume_needs_the_folder_only(start: Farm, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert start(out).wait(timeout=30) == 0
    (out / "shards" / "samples_000000-000003.h5").unlink()
    resumed = fake_farm("resume", str(out))
    assert resumed.returncode == 0 and "4 were there already" in resumed.stdout, resumed.stderr


@pytest.mark.parametrize("again", ["run", "resume"])
def test_deep_renders_again_what_changed_behind_its_journal(start: Farm, tmp_path: Path, again: str) -> None:
    out = tmp_path / "out"
    assert start(out).wait(timeout=30) == 0
    shard = out / "shards" / "samples_000000-000003.h5"
    stat, whole = shard.stat(), shard.read_bytes()
    half = len(whole) // 2
    shard.write_bytes(whole[:half] + bytes(len(whole) - half))
    os.utime(shard, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert farm("verify", str(out), "--deep").returncode == 1
    line = ("resume", str(out)) if again == "resume" else tuple(command(out)[3:])
    done = fake_farm(*line, "--deep")
    assert done.returncode == 0 and "4 were there already" in done.stdout, done.stderr
    assert farm("verify", str(out), "--deep").returncode == 0


def test_merge_needs_all_samples(start: Farm, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert start(out).wait(timeout=30) == 0
    (out / "dataset.h5").unlink()
    assert farm("merge", str(out)).returncode == 0 and (out / "dataset.h5").exists()
    (out / "shards" / "samples_000000-000003.h5").unlink()
    refused = farm("merge", str(out))
    assert refused.returncode == 1 and "4 of 8 samples are not on disk yet" in refused.stderr


def test_cancel_stops_a_run_from_another_process(start: Farm, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out")
    process = start(folder.root, pause_s=1.0)
    wait_for(lambda: at_work(folder))
    told = farm("cancel", str(folder.root))
    assert told.returncode == 0 and f"process {process.pid}" in told.stdout
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 1 and "cancelled" in errors
    assert "nothing is at work" in farm("cancel", str(folder.root)).stdout
    assert start(folder.root).wait(timeout=30) == 0


def test_debug_renders_in_this_very_process(tmp_path: Path) -> None:
    small = ["frame.width_px=64", "frame.height_px=64", "frame.pixel_size_um=1.5"]
    line = ["run", str(RECIPE), "--count", "2", "--cluster", "debug", "--out", str(tmp_path / "out"), *small]
    assert farm(*line).returncode == 0
    assert verify(Folder(tmp_path / "out"), deep=True).samples == 2


def test_submit_needs_a_cluster_that_outlives_it(tmp_path: Path) -> None:
    done = farm("submit", str(RECIPE), "--count", "2", "--out", str(tmp_path / "out"), "--cluster", "local")
    assert done.returncode == 2 and "use `render-farm run`" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "no.yaml", "--count", "2", "--out", "OUT"], "no.yaml"),
        (["run", "RECIPE", "--count", "0", "--out", "OUT"], "--count 0"),
        (["run", "RECIPE", "--count", "2", "--workers", "0", "--out", "OUT"], "--workers 0"),
        (["run", "RECIPE", "--count", "2", "--shard-size", "-1", "--out", "OUT"], "--shard-size -1"),
        (["run", "RECIPE", "--count", "2", "--seed", "-1", "--out", "OUT"], "--seed -1"),
        (
            ["run", "RECIPE", "--count", "2", "--out", "OUT", "--cluster", "moon"],
            "expected local, debug or a YAML file",
        ),
        (["run", "RECIPE", "--count", "2", "--out", "OUT", "frame.widht_px=3"], "unknown key"),
        (["run", "RECIPE", "--count", "2", "--out", "FILE"], "is a file"),
        (["run", "RECIPE", "--count", "2", "--out", "FILE/below"], "is a file"),
        (["status", "OUT"], "job.json"),
        (["verify", "FILE"], "job.json"),
        (["resume", "OUT"], "job.json"),
        (["cancel", "OUT"], "job.json"),
        (["merge", "OUT"], "job.json"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments: list[str], said: str, tmp_path: Path) -> None:
    places = {"OUT": tmp_path / "out", "FILE": tmp_path / "file", "FILE/below": tmp_path / "file" / "below"}
    (tmp_path / "file").write_text("not a folder")
    places["RECIPE"] = RECIPE
    done = farm(*[str(places.get(argument, argument)) for argument in arguments])
    assert done.returncode == 2, done.stderr
    assert said in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_farm_itself_never_imports_blender() -> None:
    modules = "render_farm.__main__, render_farm.work.task, render_farm.work.renderer, blender_gen.recipe"
    check = f"import sys, {modules}; sys.exit('bpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


@pytest.mark.parametrize(
    "name", ["run", "submit", "resume", "cancel", "status", "verify", "merge", "plan", "report", "simulate"]
)
def test_help_has_an_example(name: str) -> None:
    assert f"render-farm {name} " in farm(name, "--help").stdout
