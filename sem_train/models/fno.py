"""A Fourier neural operator that segments, after FNOSeg (Wong, Wang & Syeda-Mahmood, ISBI 2023), in two dimensions.

As there: one matrix of complex weights for all frequencies of a layer, which keeps parameters few and ties
them to no image size; residual connections; all blocks feed the output; a stem that halves the image.
Other than there: the cut-off is a wavelength in pixels and not a number of waves across the image. A crop in
training and a larger window in prediction are then filtered alike, since both have the same pixel size.
"""

import torch
import torch.nn.functional as F
from torch import nn


class SpectralConv(nn.Module):
    """Mixes channels in the frequency domain; waves shorter than `wavelength_px` pixels are left out.

    Shape: (N, C, H, W) to the same, float32 whatever the number format around it.
    """

    def __init__(self, width: int, wavelength_px: float):
        super().__init__()
        self.wavelength_px = wavelength_px
        self.real, self.imaginary = (nn.Parameter(torch.randn(width, width) * (2 * width) ** -0.5) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, columns = x.shape[-2:]
        with torch.autocast(x.device.type, enabled=False):  # no Fourier transform in bfloat16
            waves = torch.fft.rfft2(x.float().contiguous())
            high, wide = _count(rows, self.wavelength_px), _count(columns, self.wavelength_px) + 1
            low = torch.cat([waves[..., : high + 1, :wide], waves[..., rows - high :, :wide]], dim=-2)
            turned = 1j * low
            turned[..., 0] = 0  # waves along columns have their conjugates beside them, which must stay conjugates
            real, imaginary = (part.to(low.dtype) for part in (self.real, self.imaginary))
            low = torch.einsum("oi,nihw->nohw", real, low) + torch.einsum("oi,nihw->nohw", imaginary, turned)
            mixed = waves.new_zeros(waves.shape)
            mixed[..., : high + 1, :wide] = low[..., : high + 1, :]
            mixed[..., rows - high :, :wide] = low[..., high + 1 :, :]
            return torch.fft.irfft2(mixed, s=(rows, columns))


def _count(size: int, wavelength_px: float) -> int:
    """Waves of at least this length that fit into `size` pixels, below the Nyquist frequency."""
    return min(int(size / wavelength_px), (size - 1) // 2)


class SpectralBlock(nn.Module):
    """A spectral and a pointwise convolution side by side, and what came in."""

    def __init__(self, width: int, wavelength_px: float):
        super().__init__()
        self.spectral = SpectralConv(width, wavelength_px)
        self.pointwise = nn.Conv2d(width, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + F.gelu(self.norm(self.spectral(x) + self.pointwise(x)))


class SpectralSegmenter(nn.Module):
    """Stem at half size, `blocks` spectral blocks of `width` channels, logits from all of them at full size.

    Height and width of the input must be even.
    """

    def __init__(self, n_classes: int, width: int, blocks: int, wavelength_px: float):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 2, stride=2), nn.BatchNorm2d(width), nn.GELU())
        self.blocks = nn.ModuleList(SpectralBlock(width, wavelength_px / 2) for _ in range(blocks))
        self.head = nn.Conv2d((blocks + 1) * width, n_classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = [self.stem(x)]
        for block in self.blocks:
            seen.append(block(seen[-1]))
        return F.interpolate(self.head(torch.cat(seen, dim=1)), size=x.shape[-2:], mode="bilinear")
