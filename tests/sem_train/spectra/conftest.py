"""A network trained once, for all that use one."""

from pathlib import Path

import pytest
from spectra_runs import tiny_config

from sem_train.spectra.model import SpectralModel, load_model
from sem_train.spectra.training import fit


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("spectral_run")
    fit(tiny_config(folder))
    return folder / "run"


@pytest.fixture(scope="session")
def tiny_model(tiny_run: Path) -> SpectralModel:
    return load_model(tiny_run, "32")
