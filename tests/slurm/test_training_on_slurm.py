"""Training on a real Slurm: two nodes, one process each, over gloo."""

import csv
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from slurm_cluster import SlurmCluster

from blender_gen.sample import Header, Sample, write_samples
from render_farm.clusters import Cluster, SlurmPool
from render_farm.training import Layout, TrainingJob, TrainingRun, choose_pool, job_parameters, lay_out
from semforge.errors import InputError

LIMIT_S = 200.0
VAL_EVERY = 5
STEPS = 30


def write_samples_to(path: Path) -> Path:
    samples = []
    for index in range(5):
        rng = np.random.default_rng(index)
        phase = np.zeros((64, 64), np.uint8)
        phase[rng.integers(16, 48) :] = 1
        image = np.clip(60 + 120 * phase + rng.normal(0, 8, phase.shape), 0, 255).astype(np.uint8)
        samples.append(Sample(index, image[None], phase, np.zeros(phase.shape, np.uint32), 0.5, {}, [{}]))
    write_samples(path, samples, Header("family: coating\n", "hash", 1, ("resin", "steel"), {"semforge": "0"}, "cpu"))
    return path


class Bench:
    """A tiny training, a cluster file of two pools, and the command."""

    def __init__(self, folder: Path, slurm: SlurmCluster, partition: str = "cpu", **training: Any):
        self.folder, self.slurm, self.out = folder, slurm, folder / "run"
        config = {
            "name": "tiny", "out": str(self.out),
            "data": {"synthetic": [{"path": str(write_samples_to(folder / "s.h5")), "held_out": 1}], "crop_px": 32},
            "classes": [{"name": "resin", "role": "outside", "phases": ["resin"]},
                        {"name": "steel", "role": "substrate", "phases": ["steel"]}],
            "model": {"decoder_channels": [16, 16, 8, 8, 8]},
            "training": {"batch_size": 2, "val_every": VAL_EVERY, "precision": "32", **training},
        }  # fmt: skip
        (folder / "train.yaml").write_text(yaml.safe_dump(config))
        pool = {"engine": "slurm", "cpus": 1, "memory_gb": 2, "time_min": 10, "minutes_per_task": 5, "grace_s": 10}
        pools = {"cpu": {**pool, "partition": partition}, "gpu": {**pool, "partition": "gpu", "gres": "gpu:1"}}
        (folder / "site.yaml").write_text(yaml.safe_dump({"pools": pools, "poll_s": 1}))

    def start(self, *words: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "render_farm", "train", "train.yaml", "--cluster", "site.yaml", "--nodes", "2"]
        return subprocess.Popen(
            [*command, "--gpus", "0", *words], cwd=self.folder, text=True, env=self._environment(),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *words: str) -> tuple[int, str, str]:
        started = self.start(*words)
        out, err = started.communicate(timeout=LIMIT_S)
        return started.returncode, out, err

    def wait_for_checkpoint(self) -> str:
        """Id of the job, once it has saved its first checkpoint."""
        self.slurm.wait_for((self.out / "last.ckpt").exists, LIMIT_S, "a checkpoint", every_s=0.05)
        return self.slurm.run("squeue", "-h", "-o", "%A", "-t", "RUNNING").split()[0]

    def steps(self) -> list[int]:
        with (self.out / "history.csv").open(newline="") as file:
            return [int(row["step"]) for row in csv.DictReader(file)]

    def saved_step(self) -> int:
        return int(torch.load(self.out / "last.ckpt", weights_only=True)["global_step"])

    def attempts(self, job: str) -> list[str]:
        return self.slurm.run("sacct", "-D", "-X", "-n", "-P", "-j", job, "-o", "State").split()

    @staticmethod
    def _environment() -> dict[str, str]:
        root = str(Path(__file__).parents[2])
        return os.environ | {"PYTHONPATH": os.pathsep.join([root, *os.environ.get("PYTHONPATH", "").split(os.pathsep)])}


def test_two_nodes_train_one_model(slurm: SlurmCluster, tmp_path: Path) -> None:
    bench = Bench(tmp_path, slurm, steps=10)
    code, out, err = bench.run()
    assert code == 0, err + out
    assert "processes: 2" in err
    assert f"{bench.out} is finished: 10 steps" in out
    assert bench.steps() == [5, 10]
    assert bench.saved_step() == 10
    assert sorted(path.name for path in bench.out.iterdir()) == [
        "best.ckpt", "config.yaml", "history.csv", "last.ckpt", "run.json", "slurm", "tensorboard",
    ]  # fmt: skip
    job = re.search(r"job (\d+)", err)[1]  # type: ignore[index]
    logs = [(bench.out / "slurm" / f"{job}_{rank}_log.out").read_text() for rank in (0, 1)]
    assert [log.count("step 10/10") for log in logs] == [1, 0]
    assert bench.run() == (0, f"{bench.out} was finished before\n", "")


def test_a_warned_job_is_requeued_and_goes_on_from_where_it_was(slurm: SlurmCluster, tmp_path: Path) -> None:
    bench = Bench(tmp_path, slurm, steps=STEPS)
    started = bench.start()
    job = bench.wait_for_checkpoint()
    process = training_process(job, rank=1)
    os.kill(process, signal.SIGSTOP)  # or it might be done before Slurm has acted
    slurm.run("scancel", "--signal=USR2", job)  # what Slurm sends ahead of the time limit
    os.kill(process, signal.SIGCONT)
    slurm.wait_for(lambda: "REQUEUED" in bench.attempts(job), 30, "the requeue")
    stopped = bench.saved_step()
    assert VAL_EVERY <= stopped < STEPS
    out, err = started.communicate(timeout=LIMIT_S)
    assert started.returncode == 0, err + out
    assert bench.attempts(job) == ["REQUEUED", "COMPLETED"]
    assert bench.steps() == list(range(VAL_EVERY, STEPS + 1, VAL_EVERY))
    assert bench.saved_step() == STEPS
    told = [int(step) for step in re.findall(rf"^step (\d+)/{STEPS}", out, re.MULTILINE)]
    assert told == sorted(set(told))  # no step was done twice


@pytest.mark.parametrize("grace_s", [0, 6])
def test_a_preempted_job_saves_and_comes_back(slurm: SlurmCluster, tmp_path: Path, grace_s: int) -> None:
    slurm.set_grace(grace_s)
    bench = Bench(tmp_path, slurm, partition="scavenge_requeue", steps=STEPS)
    started = bench.start()
    job = bench.wait_for_checkpoint()
    os.kill(training_process(job, rank=1), signal.SIGSTOP)  # until Slurm, which preempts it, sends SIGCONT
    nodes = slurm.run("squeue", "-h", "-j", job, "-o", "%N").strip()
    script = tmp_path / "urgent.sh"
    script.write_text("#!/bin/bash\nsleep 1\n")
    slurm.run("sbatch", "--partition=urgent", f"--nodelist={nodes}", "--nodes=2", "--exclusive",
              f"--output={tmp_path}/urgent.out", str(script))  # fmt: skip
    slurm.wait_for(lambda: "PREEMPTED" in bench.attempts(job), 60, "the preemption")
    out, err = started.communicate(timeout=LIMIT_S)
    assert started.returncode == 0, err + out
    assert bench.attempts(job) == ["PREEMPTED", "COMPLETED"]
    assert len(re.findall(r"^SIG(TERM|USR2): saving after this step", out, re.MULTILINE)) == 1
    told = [int(step) for step in re.findall(rf"^step (\d+)/{STEPS}", out, re.MULTILINE)]
    assert told == sorted(set(told))
    assert bench.steps() == list(range(VAL_EVERY, STEPS + 1, VAL_EVERY))
    assert bench.saved_step() == STEPS


def test_a_killed_process_ends_the_job_with_one_line(slurm: SlurmCluster, tmp_path: Path) -> None:
    bench = Bench(tmp_path, slurm, steps=100_000)
    started = bench.start()
    job = bench.wait_for_checkpoint()
    os.kill(training_process(job, rank=1), signal.SIGKILL)
    out, err = started.communicate(timeout=LIMIT_S)
    assert started.returncode == 1, err + out
    assert re.fullmatch(
        rf"render-farm: .*: job {job} ended FAILED: process 1 on c\d was killed by SIGKILL; "
        r"the same command goes on from the last checkpoint", err.splitlines()[-1],
    )  # fmt: skip
    assert bench.saved_step() >= VAL_EVERY


def training_process(job: str, rank: int) -> int:
    marks = {f"SLURM_JOB_ID={job}".encode(), f"SLURM_PROCID={rank}".encode()}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"sem_train" in words and marks <= set((process / "environ").read_bytes().split(b"\0")):
                return int(process.name)
        except OSError:
            continue
    raise AssertionError(f"no training process {rank} of job {job}")


def test_missing_data_is_one_line(slurm: SlurmCluster, tmp_path: Path) -> None:
    bench = Bench(tmp_path, slurm, steps=10)
    (tmp_path / "s.h5").unlink()
    code, _, err = bench.run()
    assert code == 1
    lines = err.splitlines()
    assert len(lines) == 2  # handed in; how it ended
    assert re.search(r"ended FAILED: process 0 on c\d ended with status 2, .*s\.h5: no such file", lines[1])


def test_bad_settings_are_refused_before_anything_is_handed_in(slurm: SlurmCluster, tmp_path: Path) -> None:
    bench = Bench(tmp_path, slurm, steps=10)
    assert bench.run("training.stepz=3") == (
        2, "", "render-farm: train.yaml: training.stepz: unknown key; did you mean 'steps'?\n",
    )  # fmt: skip
    assert bench.run("training.batch_size=3")[2].startswith("render-farm: training.batch_size is 3, expected a multi")
    assert not bench.out.exists()
    assert slurm.run("squeue", "-h") == ""


def test_ctrl_c_leaves_the_job_and_says_how_to_go_on(slurm: SlurmCluster, tmp_path: Path) -> None:
    bench = Bench(tmp_path, slurm, steps=100_000)
    started = bench.start()
    job = bench.wait_for_checkpoint()
    started.send_signal(signal.SIGINT)
    _, err = started.communicate(timeout=LIMIT_S)
    assert started.returncode == 130
    assert f"job {job} goes on; follow it with tail -f " in err and err.endswith(f"cancel it with scancel {job}\n")
    again = bench.run("--detach")
    assert again[0] == 0 and f"job {job} is in the queue already" in again[2]
    following = bench.start()
    slurm.run("scancel", job)
    out, err = following.communicate(timeout=LIMIT_S)
    assert following.returncode == 1
    assert f"job {job} ended CANCELLED; the same command goes on" in err
    before = [int(step) for step in re.findall(r"^step (\d+)/", out, re.MULTILINE)]
    assert re.search(r"^SIG(TERM|USR2): saving after this step", out, re.MULTILINE)
    assert bench.saved_step() >= before[-1]


def test_dry_run_shows_the_script_and_hands_in_nothing(slurm: SlurmCluster, tmp_path: Path) -> None:
    bench = Bench(tmp_path, slurm, steps=10)
    code, script, _ = bench.run("--pool", "gpu", "--gpus", "1", "--dry-run")
    assert code == 0
    for line in (
        "--nodes=2",
        "--ntasks-per-node=1",
        "--gres=gpu:1",
        "--partition=gpu",
        "--requeue",
        "--signal=USR2@10",
    ):
        assert f"#SBATCH {line}\n" in script
    assert not bench.out.exists()
    assert slurm.run("squeue", "-h") == ""


POOL: dict[str, Any] = {"engine": "slurm", "cpus": 4, "memory_gb": 8}


@pytest.mark.parametrize(
    ("gres", "gpus", "tasks", "asked"),
    [
        (None, None, 1, None),
        ("gpu:1", None, 1, "gpu:1"),
        ("gpu", 4, 4, "gpu:4"),
        ("gpu:a100", None, 1, "gpu:a100:1"),
        ("gpu:a100:2", 4, 4, "gpu:a100:4"),
        ("tmpdisk:10,gpu:2", None, 2, "tmpdisk:10,gpu:2"),
        ("tmpdisk:10,gpu:2", 0, 1, "tmpdisk:10"),
        ("gpu:2", 0, 1, None),
    ],
)
def test_one_process_a_gpu_or_one_a_node(gres: str | None, gpus: int | None, tasks: int, asked: str | None) -> None:
    pool = SlurmPool(**POOL, gres=gres)
    layout = lay_out(pool, 3, gpus, batch_size=24)
    parameters = job_parameters(pool, layout)
    assert (layout.tasks_per_node, layout.processes, parameters["ntasks_per_node"]) == (tasks, 3 * tasks, tasks)
    assert (parameters["gres"], parameters["mem"]) == (asked, f"{8192 * tasks}M")


def test_gpus_of_a_pool_without_any_are_refused() -> None:
    with pytest.raises(InputError, match="--gpus 2: the pool has no gres"):
        lay_out(SlurmPool(**POOL), 1, 2, batch_size=8)


def test_the_pool_that_fits_is_chosen() -> None:
    cluster = Cluster.model_validate({"pools": {"a": POOL, "b": {**POOL, "gres": "gpu:1"}}})
    assert choose_pool(cluster, None, 0).gres is None
    assert choose_pool(cluster, None, 2).gres == "gpu:1"
    assert choose_pool(cluster, "b", None).gres == "gpu:1"
    with pytest.raises(InputError, match="2 Slurm pools; choose by --pool: a, b"):
        choose_pool(cluster, None, None)
    with pytest.raises(InputError, match="--pool c: no such Slurm pool, expected one of a, b"):
        choose_pool(cluster, "c", None)
    with pytest.raises(InputError, match="has no Slurm pool"):
        choose_pool(Cluster.model_validate({"pools": {"here": {"engine": "local"}}}), None, None)


def test_the_cause_is_told_and_not_its_consequences(tmp_path: Path) -> None:
    job = TrainingJob(TrainingRun(tmp_path, "new", {}), SlurmPool(**POOL), Layout(2, 0), tmp_path)
    (tmp_path / "7_0_log.out").write_text(
        "sem-train: process 0 of 2: another process of this training is gone; it has\n"
    )
    (tmp_path / "7_1_log.out").write_text("Traceback\nValueError: bad\nsrun: error: c2: task 1\n")
    assert job.cause("7") == ""
    (tmp_path / "7_0.failed").write_text("process 0 on c1 ended with status 1\n")
    (tmp_path / "7_1.failed").write_text("process 1 on c2 ended with status 1\n")
    assert job.cause("7") == "process 1 on c2 ended with status 1, ValueError: bad"
