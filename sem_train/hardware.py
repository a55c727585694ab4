"""What the machine can do: device and number format."""

import os
import platform
from contextlib import AbstractContextManager

import torch

from semforge.errors import InputError


def best_device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def training_device(accelerator: str, processes: int) -> torch.device:
    """Kind of device for `processes` processes of this machine, one GPU each.

    `accelerator` is auto, cpu or gpu. Raises InputError if there are no GPUs, or too few: a run never falls back
    to the CPU silently where GPUs were asked for.
    """
    if accelerator == "cpu" or (accelerator == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    found = torch.cuda.device_count()
    if found < processes:
        raise InputError(
            f"{host()}: PyTorch finds {found} GPUs, expected {processes}, one a process; "
            "set training.devices, or training.accelerator to cpu"
        )
    return torch.device("cuda")


def host() -> str:
    """Name of this machine, as Slurm calls it where there is Slurm."""
    return os.environ.get("SLURMD_NODENAME") or platform.node()


def flush_denormals() -> None:
    """Let denormal numbers count as zero: Adam's second moments fall that low and then slow a CPU down severalfold.

    The mode belongs to a thread and new threads inherit it, so this must run before PyTorch starts
    its worker threads, that is before the first large tensor operation of the process.
    """
    torch.set_flush_denormal(True)


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16: as told, or with `auto` where the hardware multiplies in it."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def autocasts(precision: str, device: torch.device) -> AbstractContextManager:
    """The context in which a network computes in the chosen number format."""
    return torch.autocast(device.type, torch.bfloat16, enabled=uses_bf16(precision, device))
