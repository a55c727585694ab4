"""What the machine can do: device and number format."""

import os
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

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


def number_format(precision: str, device: torch.device) -> Literal["bf16", "fp16", "32"]:
    """What to compute in: as told, or with `auto` bfloat16 where the hardware multiplies in it, else float32."""
    if precision in ("bf16", "fp16", "32"):
        return precision
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if fast else "32"


def refuse_bad_precision(precision: str, device: torch.device) -> None:
    """Raises InputError if one cannot train in `precision` on `device`."""
    if precision == "fp16" and device.type == "cpu":
        raise InputError("training.precision is fp16, which takes a GPU, and this runs on a CPU; give auto, bf16 or 32")


def autocasts(precision: str, device: torch.device) -> AbstractContextManager:
    """The context in which a network predicts in the chosen number format; of fp16 on a CPU, in what suits it."""
    chosen = number_format("auto" if precision == "fp16" and device.type == "cpu" else precision, device)
    dtype = torch.float16 if chosen == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=chosen != "32")


@contextmanager
def deterministic_algorithms(wanted: bool) -> Iterator[None]:
    """Within, if `wanted`, PyTorch uses no algorithm whose result may differ from one call to the next.

    Raises InputError that names an operation that has no other on this device.
    """
    if not wanted:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS is first used
    torch.use_deterministic_algorithms(True)
    try:
        yield
    except RuntimeError as error:
        name, found, _ = str(error).partition(" does not have a deterministic implementation")
        if not found:
            raise
        raise InputError(
            f"training.deterministic: PyTorch has no deterministic {name} on this device; turn it off, "
            "set training.accelerator to cpu, or choose another model or loss"
        ) from error
    finally:
        torch.use_deterministic_algorithms(before)
