"""Images of any size for networks that halve them several times."""

import torch
import torch.nn.functional as F


class AnySize:
    """Mixed in before a network: its input is padded to what it needs, by repeating the border, its output cropped.

    A base class and not a module around the network, so that the names of its weights stay as they are.
    """

    multiple: int = 32  # of height and width
    least: int = 32  # height and width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[-2:]
        bottom, right = (self._padded(size) - size for size in (height, width))
        if bottom or right:
            x = F.pad(x, (0, right, 0, bottom), mode="replicate")
        return super().forward(x)[..., :height, :width]

    def _padded(self, size: int) -> int:
        return max(self.least, -(-size // self.multiple) * self.multiple)
