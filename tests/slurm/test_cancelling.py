"""What is cancelled is what was named, of arrays as of single jobs."""

from pathlib import Path

import pytest
from slurm_cluster import SlurmCluster
from test_cluster_itself import submit

from render_farm.pools import slurm_commands


def left(slurm: SlurmCluster, job: str) -> set[str]:
    return set(slurm.run("squeue", "-h", "-r", "-t", "PENDING,RUNNING", "-j", job, "-o", "%K").split())


@pytest.mark.parametrize(("cancelled", "remaining"), [([0], {"1", "2"}), ([1], {"0", "2"}), ([0, 1, 2], set())])
def test_tasks_of_an_array_by_number(
    slurm: SlurmCluster, tmp_path: Path, cancelled: list[int], remaining: set[str]
) -> None:
    job = submit(slurm, tmp_path, "sleep 60", "--array=0-2")
    slurm_commands.cancel([f"{job}_{index}" for index in cancelled])
    slurm.wait_for(lambda: left(slurm, job) == remaining, 20, "the others alone")


def test_a_job_without_array_is_its_task_0(slurm: SlurmCluster, tmp_path: Path) -> None:
    job, other = (submit(slurm, tmp_path, "sleep 60") for _ in range(2))
    slurm_commands.cancel([f"{job}_0"])
    slurm.wait_for(lambda: not left(slurm, job), 20, "its end")
    assert left(slurm, other)
