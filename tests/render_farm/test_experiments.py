"""Experiments through the farm, on this machine, with a stand-in for sem-train."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fake_compare
import pytest
import yaml
from fake_compare import counted, started

from render_farm.clusters import Cluster, DebugPool, LocalPool
from render_farm.experiments.choice import choose_pool
from render_farm.experiments.here import Slots, share_machine
from render_farm.experiments.plan import Experiment, ExperimentJob, failed
from semforge.errors import InputError

ROOT = Path(__file__).parents[2]
JOBS = [
    {"name": "real"},
    {"name": "first", "kind": "pretraining"},
    {"name": "tuned-1", "needs": "first"},
    {"name": "tuned-2", "needs": "first"},
]


class Bench:
    """An experiment of stand-ins, and the command."""

    def __init__(self, folder: Path, jobs: list[dict[str, Any]], **pool: Any):
        self.folder, self.out = folder, folder / "out"
        (folder / "experiment.yaml").write_text(yaml.safe_dump({"name": "tiny", "out": str(self.out), "jobs": jobs}))
        pools = {"here": {"engine": "local", **pool}}
        (folder / "site.yaml").write_text(yaml.safe_dump({"pools": pools, "poll_s": 0.1}))
        path = os.pathsep.join([str(fake_compare.install(folder / "fake")), str(ROOT)])
        self.environment = os.environ | {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}

    def start(self, *words: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "render_farm", "compare", "experiment.yaml", *words]
        return subprocess.Popen(
            command if "--cluster" in words else [*command, "--cluster", "site.yaml"], cwd=self.folder, text=True,
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *words: str) -> tuple[int, str, str]:
        process = self.start(*words)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def done_at(self, name: str) -> float:
        return float((self.out / f"{name}.done").read_text())

    def began_at(self, name: str) -> float:
        return float(started(self.out, name)[-1]["t"])


def test_all_jobs_run_a_pretraining_before_those_that_need_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, JOBS, workers=2)
    code, out, err = bench.run()
    assert code == 0, err
    assert out == "report of tiny: 8 steps\n"
    assert f"{bench.out}: 4 of 4 jobs to run, 2 at a time; logs in {bench.out}/logs" in err
    assert all(counted(bench.out, job["name"]) == [1, 2] for job in JOBS)
    for name in ("tuned-1", "tuned-2"):
        assert bench.began_at(name) >= bench.done_at("first")
    threads = max(1, len(os.sched_getaffinity(0)) // 2)
    assert {start["OMP_NUM_THREADS"] for job in JOBS for start in started(bench.out, job["name"])} == {str(threads)}
    assert bench.run() == (0, "report of tiny: 8 steps\n", "")
    assert [len(started(bench.out, job["name"])) for job in JOBS] == [1, 1, 1, 1]


def test_debug_runs_one_after_the_other_and_shows_what_jobs_print(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [{"name": "a"}, {"name": "b", "fails": True}])
    code, _, err = bench.run("--cluster", "debug")
    assert code == 1
    assert "1 at a time" in err and "sem-train: i3.png: is not a picture\n" in err
    assert bench.began_at("b") >= bench.done_at("a")


def test_a_job_that_fails_is_named_with_its_last_words_and_stops_only_what_needs_it(tmp_path: Path) -> None:
    jobs = [{**job, "fails": job["name"] == "first"} for job in JOBS]
    bench = Bench(tmp_path, jobs, workers=1)
    code, out, err = bench.run()
    assert (code, out) == (1, "")
    lines = err.splitlines()
    assert "first: ended with status 2, i3.png: is not a picture" in lines
    assert "tuned-1: needs first, which is not finished" in lines
    assert lines[-1] == (
        "render-farm: tuned-2: needs first, which is not finished; 3 of 4 jobs are not finished, "
        f"the same command goes on with them; logs in {bench.out}/logs"
    )
    assert counted(bench.out, "real") == [1, 2]
    (bench.out / "repaired").touch()
    assert bench.run()[:2] == (0, "report of tiny: 8 steps\n")
    assert len(started(bench.out, "real")) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_it_saves_and_the_same_command_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    bench = Bench(tmp_path, [{"name": "a", "steps": 5}, {"name": "b", "steps": 5}], workers=2)
    bench.out.mkdir()
    (bench.out / "gate").touch()
    process = bench.start()
    end = time.monotonic() + 30
    while not (counted(bench.out, "a") and counted(bench.out, "b")) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == (
        f"render-farm: {bench.out}: stopped; what was trained is kept, the same command goes on from there"
    )
    (bench.out / "gate").unlink()
    assert bench.run()[0] == 0
    assert counted(bench.out, "a") == counted(bench.out, "b") == [1, 2, 3, 4, 5]


def test_jobs_end_with_the_command_even_if_it_is_killed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [{"name": "a", "steps": 5}])
    bench.out.mkdir()
    (bench.out / "gate").touch()
    process = bench.start()
    end = time.monotonic() + 30
    while not counted(bench.out, "a") and time.monotonic() < end:
        time.sleep(0.05)
    assert jobs_of(bench)
    process.kill()
    process.communicate(timeout=60)
    end = time.monotonic() + 10
    while jobs_of(bench) and time.monotonic() < end:
        time.sleep(0.05)
    assert not jobs_of(bench)


def jobs_of(bench: Bench) -> list[int]:
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            line = (place / "cmdline").read_bytes().decode()
        except OSError:
            continue
        if str(bench.out) in line and "--job" in line:
            found.append(int(place.name))
    return found


def test_settings_are_those_that_were_handed_in(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [{"name": "a"}])
    assert bench.run("jobs.0.steps=4")[:2] == (0, "report of tiny: 4 steps\n")
    (settings,) = (bench.out / "logs").glob("experiment-*.yaml")
    assert yaml.safe_load(settings.read_text())["jobs"] == [{"name": "a", "steps": 4}]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["typo=1"], "experiment.yaml: typo: unknown key"),
        (["jobs=[]"], "experiment.yaml: has no jobs, expected a cell at least"),
        (["--pool", "gpu"], "--pool gpu: no such pool, expected one of here"),
        (["--parallel", "0"], "--parallel 0: expected 1 or more"),
        (["--gpus", "1"], "--gpus 1: this machine has 0; 0 trains on the CPU"),
        (["--detach"], "--detach: jobs on this machine do not outlive the command; choose a Slurm pool"),
        (["--dry-run"],
         "--dry-run: jobs on this machine have no batch script; see sem-train compare EXPERIMENT --plan"),
        (["--cluster", "nowhere"], "--cluster nowhere: is not known here, expected local, debug or a YAML file such as "
         "those in configs/clusters/"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_starts_nothing(tmp_path: Path, words: list[str], said: str) -> None:
    bench = Bench(tmp_path, [{"name": "a"}])
    assert bench.run(*words) == (2, "", f"render-farm: {said}\n")
    assert not started(bench.out, "a")


@pytest.mark.parametrize(
    ("pool", "gpus", "parallel", "found", "slots"),
    [
        (LocalPool(), None, None, [], Slots(8, 1)),
        (LocalPool(workers=3), None, None, [], Slots(3, 2)),
        (LocalPool(workers=3), None, 16, [], Slots(16, 1)),
        (LocalPool(), None, None, ["0", "1"], Slots(2, 4, ("0", "1"), 1)),
        (LocalPool(), 2, None, ["4", "5", "6", "7"], Slots(2, 4, ("4", "5", "6", "7"), 2)),
        (LocalPool(), 0, None, ["0", "1"], Slots(8, 1, ("0", "1"), 0)),
        (DebugPool(engine="debug"), None, None, ["0", "1"], Slots(1, 8, ("0", "1"), 1)),
    ],
)
def test_cores_and_gpus_are_shared(
    pool: LocalPool | DebugPool, gpus: int | None, parallel: int | None, found: list[str], slots: Slots
) -> None:
    assert share_machine(pool, gpus, parallel, found, cores=8) == slots


def test_no_two_jobs_get_one_gpu() -> None:
    slots = share_machine(LocalPool(), 2, None, ["4", "5", "6", "7"], cores=8)
    assert [slots.environment(k)["CUDA_VISIBLE_DEVICES"] for k in range(slots.count)] == ["4,5", "6,7"]
    assert share_machine(LocalPool(), 0, None, ["0"], cores=8).environment(3)["CUDA_VISIBLE_DEVICES"] == ""
    with pytest.raises(InputError, match="3 jobs at a time with 1 GPUs each, but this machine has 2; expected --par"):
        share_machine(LocalPool(workers=3), None, None, ["0", "1"], cores=8)


def test_the_pool_that_fits_is_chosen() -> None:
    pool = {"engine": "slurm"}
    cluster = Cluster.model_validate({"pools": {"a": pool, "b": {**pool, "gres": "gpu:1"}}})
    assert [choose_pool(cluster, None, gpus) for gpus in (0, 2)] == ["a", "b"]
    assert choose_pool(cluster, "b", None) == "b"
    with pytest.raises(InputError, match="has 2 pools; choose by --pool: a, b"):
        choose_pool(cluster, None, None)


def test_what_waits_for_a_failed_job_is_told_so() -> None:
    jobs = (ExperimentJob("p", None, 1, "unfinished", "pretraining"), ExperimentJob("c", "p", 1, "new", "cell"),
            ExperimentJob("d", None, 1, "new", "cell"), ExperimentJob("e", None, 1, "finished", "cell"))  # fmt: skip
    experiment = Experiment(Path("x.yaml"), (), Path("out"), jobs)
    assert failed(experiment, {"p": "was killed by SIGKILL", "c": "CANCELLED (DependencyNeverSatisfied)"}) == [
        "p: was killed by SIGKILL",
        "c: needs p, which is not finished",
        "d: is not finished, and nothing says why",
    ]
