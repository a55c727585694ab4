"""A probe takes no more of a login node than a task would."""

from pathlib import Path

import pytest
import yaml
from farm_fakes import fake_cluster, make_job, renderer_command

from render_farm.clusters import Cluster
from render_farm.disk.folder import Folder
from render_farm.planning.plan import Task
from render_farm.work import probe as module
from render_farm.work.probe import probe, task_threads


@pytest.fixture(autouse=True)
def twelve_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("render_farm.work.probe", "render_farm.pools.opening"):
        monkeypatch.setattr(f"{name}.available_cores", lambda: 12)


def slurm(*cpus: int) -> Cluster:
    pools = {f"p{n}": {"engine": "slurm", "cpus": n} for n in cpus}
    return Cluster.model_validate({"pools": pools})


def test_threads_are_those_of_a_task_of_the_first_pool() -> None:
    assert task_threads(slurm(4, 8)) == 4
    assert task_threads(slurm(64)) == 12  # all that there are
    assert task_threads(fake_cluster()) == 6  # two workers share this machine
    assert task_threads(Cluster.model_validate({"pools": {"local": {"engine": "local"}}})) == 1
    assert task_threads(Cluster.model_validate({"pools": {"debug": {"engine": "debug"}}})) == 12


@pytest.mark.parametrize(("cluster", "threads"), [(slurm(3), 3), (None, module.THREADS)])
def test_a_probe_reads_the_cluster_of_its_folder(tmp_path: Path, cluster: Cluster | None, threads: int) -> None:
    folder = Folder(tmp_path)
    folder.begin(make_job())
    if cluster:
        folder.cluster_file.write_text(yaml.safe_dump(cluster.model_dump(mode="json")))
    found = probe(folder, samples=2, command=renderer_command())
    assert found.threads == threads and sorted(found.samples) == Task.parse(found.task).indices == [0, 1]
