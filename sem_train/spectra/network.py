"""The network that reads one spectrum, wherever it was taken: by itself for phases, as a branch for particles."""

import numpy as np
import torch
from torch import nn

FILTERS = (16, 32)  # of the two layers that look at stretches of energy
KERNEL, STRIDE = (8, 5), (4, 4)  # of them, in channels: a line of X-rays is some ten channels of 10 eV wide
WIDTH = 128  # features of a spectrum
EVIDENCE = 6.0  # decades of counts that the last input spans


def spectra_input(counts: torch.Tensor | np.ndarray) -> torch.Tensor:
    """What the network is given of spectra (..., C) of counts: (..., C + 1) float32.

    The roots of each channel's share of all counts, of mean square 1, whose noise is the same in every channel; and
    last the decades of counts, so that the network knows how sure it may be. A spectrum without counts gives zeros.
    """
    given = torch.from_numpy(np.ascontiguousarray(counts, np.float32)) if isinstance(counts, np.ndarray) else counts
    known = given.to(torch.float32).clamp(min=0)
    channels = known.shape[-1]
    total = known.sum(-1, keepdim=True)
    out = torch.empty(*known.shape[:-1], channels + 1, dtype=torch.float32, device=known.device)
    roots = out[..., :channels]
    torch.mul(known, channels / total.clamp(min=1e-12), out=roots).sqrt_()
    out[..., channels:] = torch.log10(1 + total) / EVIDENCE
    return out


class SpectrumNetwork(nn.Module):
    """Logits (N, classes) of inputs (N, channels + 1) as `spectra_input` makes them.

    Two strided convolutions gather stretches of energy, two dense layers weigh them against each other. Position in
    the energy axis counts, position on the specimen is not known to it.
    """

    def __init__(self, channels: int, classes: int, width: int = WIDTH, dropout: float = 0.0):
        super().__init__()
        self.channels, self.classes, self.width = channels, classes, width
        first, second = FILTERS
        self.lines = nn.Sequential(
            nn.Conv1d(2, first, KERNEL[0], STRIDE[0], padding=KERNEL[0] // 2), nn.ReLU(),
            nn.Conv1d(first, second, KERNEL[1], STRIDE[1], padding=KERNEL[1] // 2), nn.ReLU(),
        )  # fmt: skip
        with torch.no_grad():
            flat = self._stretches(torch.zeros(1, channels)).shape[-1]
        self.body = nn.Sequential(
            nn.Linear(flat + 1, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, width), nn.ReLU()
        )
        self.head = nn.Linear(width, classes)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """(N, width) of inputs (N, channels + 1)."""
        roots, evidence = x[..., : self.channels], x[..., self.channels :]
        return self.body(torch.cat([self._stretches(roots), evidence], dim=-1))

    def stretches(self, x: torch.Tensor) -> torch.Tensor:
        """(N, stretches, filters) of inputs (N, channels + 1): what each stretch of energy shows by itself."""
        return self._stretches(x[..., : self.channels]).unflatten(1, (FILTERS[1], -1)).transpose(1, 2)

    def _stretches(self, roots: torch.Tensor) -> torch.Tensor:
        """(N, filters · stretches) of roots (N, channels), and of their squares, which are linear in counts."""
        if torch.is_autocast_enabled(roots.device.type):
            roots = roots.to(torch.get_autocast_dtype(roots.device.type))
        # channels last, as pictures of one row: five times as fast on a CPU as a convolution along one axis
        both = torch.empty(*roots.shape, 2, dtype=roots.dtype, device=roots.device)
        both[..., 0], both[..., 1] = roots, roots.square() / 8
        x = both.transpose(1, 2).unsqueeze(2)
        for layer in (self.lines[0], self.lines[2]):
            x = nn.functional.relu(nn.functional.conv2d(
                x, layer.weight.unsqueeze(2), layer.bias, stride=(1, *layer.stride), padding=(0, *layer.padding)
            ))  # fmt: skip
        return x.flatten(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, classes) logits."""
        return self.head(self.features(x))
