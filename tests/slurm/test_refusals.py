"""What Slurm has against a pool is said before anything is handed in."""

from pathlib import Path
from typing import Any

import pytest
from farm_fakes import make_job
from farm_on_slurm import CPU, one_pool, slurm_cluster
from slurm_cluster import CPU_NODES, SlurmCluster

from render_farm.disk.folder import Folder
from render_farm.pools.opening import open_pools
from semforge.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "out")
    folder.begin(make_job())
    return folder


@pytest.mark.usefixtures("slurm")
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"partition": "nope"}, "invalid partition specified: nope (partition: nope)"),
        (
            {"partition": "gpu", "gres": "gpu:7"},
            "Requested node configuration is not available (partition: gpu, gres: gpu:7, cpus: 2, memory_gb: 1)",
        ),
        ({"gres": "tape:1"}, "Invalid generic resource (gres) specification (gres: tape:1)"),
        ({"constraint": "fast"}, "Invalid feature specification (constraint: fast)"),
        ({"cpus": 99}, "Requested node configuration is not available (partition: cpu, cpus: 99, memory_gb: 1)"),
        (
            {"additional": {"exclusively": True}},
            "unrecognized option '--exclusively' (additional: {'exclusively': True})",
        ),
    ],
)
def test_settings_that_slurm_does_not_take_are_one_line(folder: Folder, wrong: dict[str, Any], said: str) -> None:
    cluster = slurm_cluster(pools={"right": CPU, "wrong": {**CPU, **wrong}})
    with pytest.raises(InputError) as caught:
        open_pools(cluster, folder)
    assert str(caught.value) == f"pool wrong: sbatch refused: {said}"


def test_nodes_that_are_away_for_now_are_waited_for(slurm: SlurmCluster, folder: Folder) -> None:
    for node in CPU_NODES:
        slurm.drain(node)
    (pool,) = open_pools(slurm_cluster(pools=one_pool()), folder)
    assert pool.look() == {}
