"""Settings of trainings that take seconds."""

from pathlib import Path

from spectra_data import write_tiny_library

from sem_train.spectra.settings import MapConfig


def tiny_config(folder: Path, out: str = "run", **training) -> MapConfig:
    """Settings that train in seconds."""
    library = folder / "library.h5"
    if not library.is_file():
        write_tiny_library(library)
    settings = {"steps": 120, "batch_size": 64, "val_every": 60, "val_spectra": 500, "tensorboard": False,
                "accelerator": "cpu", "precision": "32", **training}  # fmt: skip
    return MapConfig.model_validate({
        "name": "tiny", "out": folder / out, "data": {"libraries": [{"path": library}]}, "training": settings,
        "draws": {"counts": [20, 20_000], "broadening_ev": [0, 20]}, "network": {"width": 32},
    })  # fmt: skip
