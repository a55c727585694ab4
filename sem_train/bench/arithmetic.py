"""How large a network is, how much it computes, and how fast this machine multiplies."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

MATRIX = {"cpu": 2048, "cuda": 8192}  # rows of the square matrices that a device's peak is measured with
TRIES = 3


def parameters(network: nn.Module) -> int:
    """Weights of a network."""
    return sum(weight.numel() for weight in network.parameters())


def multiply_adds(network: nn.Module, size: int) -> int:
    """Multiply-adds of a prediction of one crop; convolutions and matrix products, not Fourier transforms."""
    with torch.inference_mode(), _counting() as counter:
        network.eval()(torch.zeros(1, 1, size, size))
    return counter.get_total_flops() // 2


def step_multiply_adds(network: nn.Module, batch: int, size: int) -> int:
    """Multiply-adds of a step of training, forward and backward, counted as `multiply_adds` does."""
    with _counting() as counter:
        network.train()(torch.zeros(batch, 1, size, size)).sum().backward()
    network.zero_grad()
    return counter.get_total_flops() // 2


@contextmanager
def _counting() -> Iterator[FlopCounterMode]:
    """Within, tensors have shapes only, and nothing is computed."""
    with FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False) as counter:
        yield counter


def matmul_rate(dtype: torch.dtype, device: torch.device) -> float:
    """Multiply-adds of a large matrix product a second: a CPU second of a core, or a second of a GPU.

    The best of a few, which is what the machine can do at most. Float32 on a GPU is measured as PyTorch's convolutions
    compute it, which is in TF32 where there is TF32.
    """
    n = MATRIX[device.type]
    a, b = (torch.ones(n, n, dtype=dtype, device=device) for _ in range(2))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if torch.backends.cudnn.allow_tf32 else "highest")
    try:
        torch.mm(a, b)
        return n**3 / min(_seconds(a, b) for _ in range(TRIES))
    finally:
        torch.set_float32_matmul_precision(before)


def wait_for(device: torch.device) -> None:
    """Return when the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _seconds(a: torch.Tensor, b: torch.Tensor) -> float:
    clock = time.perf_counter if a.device.type == "cuda" else time.process_time
    wait_for(a.device)
    start = clock()
    torch.mm(a, b)
    wait_for(a.device)
    return clock() - start
