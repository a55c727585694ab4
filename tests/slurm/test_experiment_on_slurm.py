"""Experiments on a real Slurm: with a stand-in for sem-train where only the queue matters, and a tiny real one."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import fake_compare
import numpy as np
import pytest
import yaml
from fake_compare import counted, started
from PIL import Image
from slurm_cluster import SlurmCluster
from test_training_on_slurm import write_samples_to

LIMIT_S = 200.0
ROOT = Path(__file__).parents[2]
JOBS = [
    {"name": "real"},
    {"name": "first", "kind": "pretraining"},
    {"name": "tuned-1", "needs": "first"},
    {"name": "tuned-2", "needs": "first"},
    {"name": "other"},
]


class Bench:
    """An experiment, a cluster file of two pools, and the command."""

    def __init__(self, folder: Path, slurm: SlurmCluster, path: Path = ROOT, **pool: Any):
        self.folder, self.slurm, self.out, self.path = folder, slurm, folder / "out", path
        common = {"engine": "slurm", "cpus": 1, "memory_gb": 2, "time_min": 10, "minutes_per_task": 5, "grace_s": 10}
        pools = {"cpu": {**common, "partition": "cpu", **pool},
                 "gpu": {**common, "partition": "gpu", "gres": "gpu:1"}}  # fmt: skip
        (folder / "site.yaml").write_text(yaml.safe_dump({"pools": pools, "poll_s": 1}))
        self.earlier: set[str] = set()  # jobs of other tests, which the queue remembers for a while
        self.earlier = {task.partition("_")[0] for task in self.queue()}

    def start(self, *words: str, pool: str = "cpu") -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "render_farm", "compare", "experiment.yaml", "--cluster", "site.yaml"]
        path = os.pathsep.join([str(self.path), str(ROOT)])
        return subprocess.Popen(
            [*command, "--pool", pool, *words], cwd=self.folder, text=True, env=os.environ | {"PYTHONPATH": path},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *words: str, pool: str = "cpu") -> tuple[int, str, str]:
        process = self.start(*words, pool=pool)
        out, err = process.communicate(timeout=LIMIT_S)
        return process.returncode, out, err

    def queue(self) -> dict[str, tuple[str, str]]:
        """State and reason of all tasks, ended ones too, by 12_3."""
        lines = self.slurm.run("squeue", "-h", "-r", "-t", "all", "-o", "%F_%K|%T|%r").splitlines()
        rows = [line.split("|") for line in lines]
        return {name: (state, reason) for name, state, reason in rows if name.partition("_")[0] not in self.earlier}

    def attempts(self, task: str) -> list[str]:
        return self.slurm.run("sacct", "-D", "-X", "-n", "-P", "-j", task, "-o", "State").split()


def counting(folder: Path, slurm: SlurmCluster, jobs: list[dict[str, Any]], gate: bool = False, **pool: Any) -> Bench:
    """An experiment of stand-ins; with `gate` all stop after their first step until `open_gate`."""
    bench = Bench(folder, slurm, fake_compare.install(folder / "fake"), **pool)
    settings = {"name": "tiny", "out": str(bench.out), "jobs": jobs}
    (folder / "experiment.yaml").write_text(yaml.safe_dump(settings))
    if gate:
        bench.out.mkdir()
        (bench.out / "gate").touch()
    return bench


def test_jobs_are_tasks_of_one_array_and_a_pretraining_is_waited_for(slurm: SlurmCluster, tmp_path: Path) -> None:
    bench = counting(tmp_path, slurm, JOBS, gate=True, parallel=2)
    process = bench.start()
    slurm.wait_for(lambda: counted(bench.out, "first") and counted(bench.out, "real"), LIMIT_S, "two jobs")
    queue = bench.queue()
    assert len({task.partition("_")[0] for task in queue}) == 1
    assert sorted(queue.values()) == [
        ("PENDING", "Dependency"), ("PENDING", "Dependency"), ("PENDING", "JobArrayTaskLimit"),
        ("RUNNING", "None"), ("RUNNING", "None"),
    ]  # fmt: skip
    assert not started(bench.out, "tuned-1")
    (bench.out / "gate").unlink()
    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, err
    assert out == "report of tiny: 10 steps\n"
    assert f"{bench.out}: 5 jobs handed in to pool cpu; logs in {bench.out}/slurm" in err
    for name in ("tuned-1", "tuned-2"):
        began = started(bench.out, name)
        assert len(began) == 1 and began[0]["t"] >= float((bench.out / "first.done").read_text())
        assert (began[0]["OMP_NUM_THREADS"], began[0]["CUDA_VISIBLE_DEVICES"]) == ("1", "")
    assert bench.run() == (0, "report of tiny: 10 steps\n", "")


def test_ctrl_c_leaves_the_jobs_and_the_same_command_follows_them(slurm: SlurmCluster, tmp_path: Path) -> None:
    bench = counting(tmp_path, slurm, JOBS, gate=True)
    process = bench.start()
    slurm.wait_for(lambda: len(started(bench.out, "other")) == 1, LIMIT_S, "the jobs")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert err.splitlines()[-1] == (
        f"render-farm: {bench.out}: stopped; jobs in Slurm's queue go on, the same command goes on from there"
    )
    assert bench.run("--detach")[2].startswith(f"{bench.out}: 5 are in the queue already; logs in")
    # Another setting for what is yet to be handed in: nothing is, so it changes nothing
    assert "5 are in the queue already" in bench.run("--detach", "name=other")[2]
    following = bench.start()
    (bench.out / "gate").unlink()
    out, err = following.communicate(timeout=LIMIT_S)
    assert (following.returncode, out) == (0, "report of tiny: 10 steps\n"), err
    assert [len(started(bench.out, job["name"])) for job in JOBS] == [1] * 5


def test_a_failed_job_is_named_and_only_what_is_missing_is_handed_in_again(slurm: SlurmCluster, tmp_path: Path) -> None:
    bench = counting(tmp_path, slurm, [{**job, "fails": job["name"] == "first"} for job in JOBS])
    code, out, err = bench.run()
    assert (code, out) == (1, "")
    lines = err.splitlines()
    assert re.fullmatch(r"first: process 0 on c\d ended with status 2, i3.png: is not a picture", lines[-3])
    assert lines[-2] == "tuned-1: needs first, which is not finished"
    assert lines[-1] == (
        "render-farm: tuned-2: needs first, which is not finished; 3 of 5 jobs are not finished, "
        f"the same command goes on with them; logs in {bench.out}/slurm"
    )
    (bench.out / "repaired").touch()
    code, out, err = bench.run()
    assert (code, out) == (0, "report of tiny: 10 steps\n"), err
    assert "3 jobs handed in to pool cpu" in err
    assert [len(started(bench.out, job["name"])) for job in JOBS] == [1, 2, 1, 1, 1]


def test_more_jobs_than_an_array_may_have(slurm: SlurmCluster, tmp_path: Path) -> None:
    cells = [{"name": f"c{k}"} for k in range(7)] + [{"name": f"t{k}", "needs": "first"} for k in range(6)]
    bench = counting(tmp_path, slurm, [{"name": "first", "kind": "pretraining"}, *cells])
    code, out, err = bench.run()  # MaxArraySize is 11: ten tasks and four
    assert (code, out) == (0, "report of tiny: 28 steps\n"), err
    lines = (bench.out / "slurm" / "handed_in.jsonl").read_text().splitlines()
    assert [len(json.loads(line)["names"]) for line in lines] == [10, 4]
    done = float((bench.out / "first.done").read_text())
    assert all(float(started(bench.out, f"t{k}")[0]["t"]) >= done for k in range(6))


def test_tasks_that_nobody_wrote_down_are_cancelled(slurm: SlurmCluster, tmp_path: Path) -> None:
    bench = counting(tmp_path, slurm, [{"name": "a"}, {"name": "b"}], gate=True)
    bench.run("--detach")
    slurm.wait_for(lambda: counted(bench.out, "a"), LIMIT_S, "a job")
    (bench.out / "slurm" / "handed_in.jsonl").unlink()  # as if killed before it wrote
    assert "2 jobs handed in" in bench.run("--detach")[2]
    (bench.out / "gate").unlink()
    assert bench.run()[:2] == (0, "report of tiny: 4 steps\n")
    assert counted(bench.out, "a") == counted(bench.out, "b") == [1, 2]


@pytest.mark.parametrize("how", ["warned", "preempted"])
def test_a_pretraining_that_comes_back_is_waited_for(slurm: SlurmCluster, tmp_path: Path, how: str) -> None:
    slurm.set_grace(0)
    partition = "cpu" if how == "warned" else "scavenge_requeue"
    jobs = [{"name": "first", "kind": "pretraining", "steps": 3}, {"name": "tuned", "needs": "first"}]
    bench = counting(tmp_path, slurm, jobs, gate=True, partition=partition)
    process = bench.start()
    slurm.wait_for(lambda: counted(bench.out, "first"), LIMIT_S, "the pretraining")
    (task,) = [name for name, (state, _) in bench.queue().items() if state == "RUNNING"]
    if how == "warned":
        slurm.run("scancel", "--signal=USR2", task)  # what Slurm sends ahead of the time limit
        slurm.wait_for(lambda: "REQUEUED" in bench.attempts(task), 30, "the requeue")
    else:
        node = slurm.run("squeue", "-h", "-j", task, "-o", "%N").strip()
        script = tmp_path / "urgent.sh"
        script.write_text("#!/bin/bash\nsleep 1\n")
        slurm.run("sbatch", "--partition=urgent", f"--nodelist={node}", "--exclusive",
                  f"--output={tmp_path}/urgent.out", str(script))  # fmt: skip
        slurm.wait_for(lambda: "PREEMPTED" in bench.attempts(task), 60, "the preemption")
    (bench.out / "gate").unlink()
    out, err = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, out) == (0, "report of tiny: 5 steps\n"), err
    assert counted(bench.out, "first") == [1, 2, 3]
    assert [start.get("SLURM_RESTART_COUNT") for start in started(bench.out, "first")] == [None, "1"]
    assert len(started(bench.out, "tuned")) == 1


def test_a_gpu_job_sees_its_gpu_and_dry_run_hands_in_nothing(slurm: SlurmCluster, tmp_path: Path) -> None:
    bench = counting(tmp_path, slurm, JOBS)
    code, script, _ = bench.run("--dry-run", "--parallel", "3", pool="gpu")
    assert code == 0
    for line in ("--array=0-4%3", "--gres=gpu:1", "--partition=gpu", "--requeue", "--hold", "--signal=USR2@10"):
        assert f"#SBATCH {line}\n" in script
    assert not bench.out.exists() and slurm.run("squeue", "-h") == ""
    assert bench.run("jobs=[{name: a}]", pool="gpu")[0] == 0
    assert started(bench.out, "a")[0]["CUDA_VISIBLE_DEVICES"] == "0"


@pytest.mark.parametrize(
    ("words", "said"),
    [(("typo=1",), "experiment.yaml: typo: unknown key"),
     (("--gpus", "2"), "--gpus 2: pool cpu has no gres such as gpu:1; choose another --pool")],
)  # fmt: skip
def test_bad_input_hands_in_nothing(slurm: SlurmCluster, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    bench = counting(tmp_path, slurm, JOBS)
    assert bench.run(*words) == (2, "", f"render-farm: {said}\n")
    assert slurm.run("squeue", "-h") == ""


def test_what_slurm_has_against_a_pool_is_one_line(slurm: SlurmCluster, tmp_path: Path) -> None:
    bench = counting(tmp_path, slurm, JOBS, partition="nope")
    code, _, err = bench.run()
    assert (code, err) == (2, "render-farm: pool cpu: sbatch refused: invalid partition specified: nope "
                              "(partition: nope)\n")  # fmt: skip


def real_experiment(folder: Path, out: Path) -> dict[str, Any]:
    """Two arms, one of them pretrained, on four tiny images."""
    for name in "abcd":
        rng = np.random.default_rng(ord(name))
        labels = np.zeros((64, 64), np.uint8)
        labels[rng.integers(16, 48) :] = 1
        image = np.clip(60 + 120 * labels + rng.normal(0, 8, labels.shape), 0, 255).astype(np.uint8)
        for kind, array in (("images", image), ("labels", labels)):
            (folder / "real" / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(folder / "real" / kind / f"{name}.png")
    classes = [{"name": "resin", "role": "outside", "phases": ["resin"], "values": [0]},
               {"name": "steel", "role": "substrate", "phases": ["steel"], "values": [1]}]  # fmt: skip
    data = {"real": [{"root": str(folder / "real")}], "crop_px": 32,
            "synthetic": [{"path": str(write_samples_to(folder / "s.h5"))}]}  # fmt: skip
    training = {"steps": STEPS, "batch_size": 2, "val_every": 5, "precision": "32", "tensorboard": False}
    return {
        "name": "tiny", "out": str(out), "reference": "real_only", "folds": {"count": 2, "run": [0]},
        "arms": {"real_only": 1.0, "pretrained": {"pretrain": 0.5, "real_fraction": 1.0}},
        "plan": {"data": data, "classes": classes, "model": {"decoder_channels": [16, 16, 8, 8, 8]},
                 "training": training},
    }  # fmt: skip


STEPS = 30


def results(out: Path) -> dict[str, list[dict[str, Any]]]:
    """What all cells found, without the time it took."""
    return {path.parent.name: [{**row, "seconds": 0} for row in json.loads(path.read_text())]
            for path in sorted(out.glob("cells/*/results.json"))}  # fmt: skip


def test_a_real_experiment_preempted_finds_what_an_undisturbed_one_finds(slurm: SlurmCluster, tmp_path: Path) -> None:
    slurm.set_grace(0)
    bench = Bench(tmp_path, slurm, partition="scavenge_requeue")
    settings = real_experiment(tmp_path, bench.out)
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(settings))
    process = bench.start()
    cell = bench.out / "cells" / "real_only-all-fold0-seed0"
    slurm.wait_for((cell / "run" / "last.ckpt").exists, LIMIT_S, "a checkpoint", every_s=0.05)
    trainer = child_with("real_only-all-fold0-seed0")
    os.kill(trainer, signal.SIGSTOP)  # until Slurm, which preempts it, sends SIGCONT
    handed = json.loads((bench.out / "slurm" / "handed_in.jsonl").read_text())
    task = f"{handed['job']}_{handed['names'].index(cell.name)}"
    node = slurm.run("squeue", "-h", "-j", task, "-o", "%N").strip()
    script = tmp_path / "urgent.sh"
    script.write_text("#!/bin/bash\nsleep 1\n")
    slurm.run("sbatch", "--partition=urgent", f"--nodelist={node}", "--exclusive",
              f"--output={tmp_path}/urgent.out", str(script))  # fmt: skip
    slurm.wait_for(lambda: "PREEMPTED" in bench.attempts(task), 60, "the preemption")
    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, err
    assert (bench.out / "experiment.html").exists() and "experiment.html" in out
    assert bench.attempts(task)[-1] == "COMPLETED"
    with (cell / "run" / "history.csv").open(newline="") as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == list(range(5, STEPS + 1, 5))
    undisturbed = tmp_path / "undisturbed"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "sem_train", "compare", "experiment.yaml", f"out={undisturbed}"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=LIMIT_S)
    assert len(results(bench.out)) == 2
    assert results(bench.out) == results(undisturbed)


def child_with(name: str) -> int:
    """The process of sem-train that runs a job."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"sem_train" in words and name.encode() in words:
            return int(process.name)
    raise AssertionError(f"no process of {name}")
