"""The test cluster is a real one: what other tests take for granted."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import slurm_cluster
from slurm_cluster import GPU_NODES, NODES, ClusterError, Options, SlurmCluster, descendants


def submit(slurm: SlurmCluster, folder: Path, script: str, *options: str) -> str:
    """Job id of a bash script, whose output goes to FOLDER/ID.out, attempts one after the other."""
    path = folder / "job.sh"
    path.write_text(f"#!/bin/bash\n{script}\n")
    output = ("--output", str(folder / "%j.out"), "--open-mode=append")
    return slurm.run("sbatch", "--parsable", *output, *options, str(path)).strip()


def state(slurm: SlurmCluster, job: str) -> str:
    """State of a job as accounting has it, empty before it has any."""
    return slurm.run("sacct", "-X", "-n", "-P", "-o", "State", "-j", job).strip()


def wait_for_state(slurm: SlurmCluster, job: str, *wanted: str, timeout_s: float = 30.0) -> None:
    slurm.wait_for(lambda: state(slurm, job) in wanted, timeout_s, f"job {job} to be {' or '.join(wanted)}")


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_all_nodes_are_idle_and_accounting_answers(slurm: SlurmCluster, tmp_path: Path) -> None:
    assert {name: slurm.node_state(name) for name in NODES} == dict.fromkeys(NODES, "idle")
    job = submit(slurm, tmp_path, "srun hostname; exit 3")
    wait_for_state(slurm, job, "FAILED")
    columns = "JobID,State,ExitCode,NodeList"
    assert slurm.run("sacct", "-X", "-n", "-P", "-o", columns, "-j", job) == f"{job}|FAILED|3:0|c1\n"


def test_ten_tasks_run_at_once(slurm: SlurmCluster, tmp_path: Path) -> None:
    job = submit(slurm, tmp_path, "srun sleep 60", "--array=0-9", "--partition=urgent")
    running = lambda: slurm.run("squeue", "-h", "-t", "RUNNING", "-j", job, "-o", "%N").split()
    nodes = slurm.wait_for(lambda: len(found := running()) == 10 and found, 20, "ten running tasks")
    assert sorted(nodes) == sorted(NODES * 2)


def test_gpu_job_sees_its_device_and_no_two_share_one(slurm: SlurmCluster, tmp_path: Path) -> None:
    script = 'srun bash -c "echo $SLURMD_NODENAME ${CUDA_VISIBLE_DEVICES-none}; sleep 2"'
    jobs = [submit(slurm, tmp_path, script, "--partition=gpu", "--gres=gpu:1") for _ in GPU_NODES]
    for job in jobs:
        wait_for_state(slurm, job, "COMPLETED")
    assert sorted((tmp_path / f"{job}.out").read_text() for job in jobs) == [f"{name} 0\n" for name in GPU_NODES]


def test_cpu_job_on_a_gpu_node_sees_no_device(slurm: SlurmCluster, tmp_path: Path) -> None:
    job = submit(slurm, tmp_path, 'srun bash -c "echo ${CUDA_VISIBLE_DEVICES-none}"', "--partition=gpu")
    wait_for_state(slurm, job, "COMPLETED")
    assert (tmp_path / f"{job}.out").read_text() == "none\n"


@pytest.mark.parametrize(("partition", "outcome"), [("scavenge_requeue", "requeued"), ("scavenge_cancel", "cancelled")])
def test_an_urgent_job_preempts(slurm: SlurmCluster, tmp_path: Path, partition: str, outcome: str) -> None:
    script = 'echo "attempt ${SLURM_RESTART_COUNT-0}"; [ "${SLURM_RESTART_COUNT-0}" = 1 ] || srun sleep 60'
    low = submit(slurm, tmp_path, script, f"--partition={partition}", "--nodelist=c1", "--cpus-per-task=2")
    slurm.wait_for((tmp_path / f"{low}.out").exists, 20, "the low job to run")
    high = submit(slurm, tmp_path, "sleep 1", "--partition=urgent", "--nodelist=c1", "--cpus-per-task=2")
    wait_for_state(slurm, high, "COMPLETED")
    if outcome == "requeued":
        wait_for_state(slurm, low, "COMPLETED")
        assert (tmp_path / f"{low}.out").read_text().splitlines()[-1] == "attempt 1"
    else:
        wait_for_state(slurm, low, "PREEMPTED")
        assert "attempt 1" not in (tmp_path / f"{low}.out").read_text()


def test_preemption_with_grace_sends_the_users_signal(slurm: SlurmCluster, tmp_path: Path) -> None:
    with SlurmCluster(slurm.folder.parent / "u", Options(grace_s=60, user_signal=True)) as other:
        body = f"trap 'echo USR2 > {tmp_path}/got; exit' USR2; echo > {tmp_path}/up; while true; do sleep 0.1; done"
        (tmp_path / "task.sh").write_text(body)
        options = ("--nodelist=c1", "--cpus-per-task=2")
        low = submit(
            other,
            tmp_path,
            f"srun bash {tmp_path}/task.sh",
            "--partition=scavenge_requeue",
            "--signal=USR2@60",
            *options,
        )
        other.wait_for((tmp_path / "up").exists, 20, "the low job to run")
        began = time.monotonic()
        submit(other, tmp_path, "true", "--partition=urgent", *options)
        other.wait_for((tmp_path / "got").exists, 20, "the signal")
        assert time.monotonic() - began < 20  # not the kill at the end of the grace time
        wait_for_state(other, low, "COMPLETED")


def test_what_a_job_leaves_behind_is_found_and_ended(slurm: SlurmCluster, tmp_path: Path) -> None:
    job = submit(slurm, tmp_path, f"setsid sleep 300 & echo $! > {tmp_path}/pid")
    wait_for_state(slurm, job, "COMPLETED")
    pid = int((tmp_path / "pid").read_text())
    assert alive(pid)
    assert pid in slurm.job_processes()
    slurm.reset()
    slurm.wait_for(lambda: not alive(pid), 5, "the orphan to be gone")
    assert slurm.job_processes() == []


def test_a_node_without_power_requeues_its_job(slurm: SlurmCluster, tmp_path: Path) -> None:
    script = f'echo $$ > {tmp_path}/pid.$SLURMD_NODENAME; [ "$SLURM_RESTART_COUNT" = 1 ] || sleep 300'
    job = submit(slurm, tmp_path, script, "--nodelist=c1")
    slurm.wait_for((tmp_path / "pid.c1").exists, 20, "the job to run")
    pid = int(slurm.wait_for((tmp_path / "pid.c1").read_text, 5, "its process id"))
    assert alive(pid)
    slurm.kill_node("c1", everything=True)
    slurm.wait_for(lambda: not alive(pid), 5, "the job's process to be gone")
    slurm.wait_for(lambda: slurm.node_state("c1") == "down*", 40, "c1 to be down")
    assert slurm.run("squeue", "-h", "-j", job, "-o", "%T").strip() == "PENDING"
    slurm.start_node("c1")
    wait_for_state(slurm, job, "COMPLETED")


def test_a_drained_node_takes_nothing_new_until_resumed(slurm: SlurmCluster, tmp_path: Path) -> None:
    slurm.drain("c2")
    job = submit(slurm, tmp_path, "true", "--nodelist=c2")
    time.sleep(3)
    assert slurm.run("squeue", "-h", "-j", job, "-o", "%T").strip() == "PENDING"
    slurm.resume("c2")
    wait_for_state(slurm, job, "COMPLETED")


def test_two_clusters_at_once_and_nothing_stays(slurm: SlurmCluster, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with SlurmCluster(slurm.folder.parent / "d") as other:
        assert other.environment() != slurm.environment()
        # A job that has left its process group and its parent, and does not heed SIGTERM.
        daemon = f"trap '' TERM; echo $BASHPID > {pid_file}; sleep 300"
        submit(other, tmp_path, f'setsid bash -c "{daemon.replace("$", chr(92) + "$")}" & disown; sleep 300')
        other.wait_for(lambda: pid_file.exists() and pid_file.read_text(), 20, "the job to run")
        assert slurm.run("squeue", "-h") == ""
        keeper = other._keeper
        assert keeper is not None
        processes = [keeper.pid, *descendants(keeper.pid)]
        assert int(pid_file.read_text()) in processes
    assert not [pid for pid in processes if alive(pid)]


def test_a_killed_owner_leaves_nothing(slurm: SlurmCluster) -> None:
    folder = slurm.folder.parent / "e"
    code = f"from slurm_cluster import *; c = SlurmCluster(Path({str(folder)!r})); c.start(); print(c._keeper.pid)"
    with subprocess.Popen(
        [sys.executable, "-c", f"{code}; sys.stdout.flush(); time.sleep(600)"], stdout=subprocess.PIPE, text=True,
        cwd=Path(slurm_cluster.__file__).parent,
    ) as owner:  # fmt: skip
        assert owner.stdout is not None
        keeper = int(owner.stdout.readline())
        processes = [keeper, *descendants(keeper)]
        assert len(processes) > 8
        os.kill(owner.pid, signal.SIGKILL)
    slurm.wait_for(lambda: not [pid for pid in processes if alive(pid)], 15, "all its processes to be gone")


@pytest.mark.parametrize(("name", "complaint"), [("f", "for the cluster alone"), ("f" * 60, "too long a path")])
def test_a_start_that_fails_says_why(slurm: SlurmCluster, name: str, complaint: str) -> None:
    folder = slurm.folder.parent / name
    folder.mkdir()
    (folder / "letter").write_text("mine")
    with pytest.raises(ClusterError, match=complaint):
        SlurmCluster(folder).start()
    assert (folder / "letter").read_text() == "mine"
