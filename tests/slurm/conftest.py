"""One cluster for all tests of this folder, brought back to its beginning before each."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_cluster import Options, SlurmCluster, missing

sys.path.append(str(Path(__file__).parents[1] / "render_farm"))  # farm_fakes
REQUIRED = os.environ.get("SEMFORGE_SLURM") == "required"


@pytest.fixture(scope="session")
def slurm_session() -> Iterator[SlurmCluster]:
    """The running cluster; skipped where none can be had, unless SEMFORGE_SLURM=required."""
    if reason := missing():
        if REQUIRED:
            pytest.fail(f"SEMFORGE_SLURM=required, but {reason}")
        pytest.skip(f"no Slurm cluster: {reason}")
    with (
        tempfile.TemporaryDirectory(prefix="slurm", dir="/tmp") as folder,
        SlurmCluster(Path(folder) / "c", Options(max_array=11)) as cluster,
    ):
        yield cluster


@pytest.fixture
def slurm(slurm_session: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> SlurmCluster:
    """The cluster with all nodes idle and no jobs; SLURM_CONF is set, so commands and submitit find it."""
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)  # as if from a login node, whatever tests before have left
    for name, value in slurm_session.environment().items():
        monkeypatch.setenv(name, value)
    slurm_session.reset()
    return slurm_session
