"""TensorFlow's SAME padding for stride 2, where PyTorch's padding differs."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class HalvingConv2d(nn.Conv2d):
    """Convolution of stride 2 for even sizes; an odd number of padded rows puts one more at the bottom."""

    def __init__(self, channels: int, width: int, kernel: int, *, groups: int = 1, bias: bool = True) -> None:
        super().__init__(channels, width, kernel, stride=2, groups=groups, bias=bias)
        before, after = (kernel - 2) // 2, (kernel - 1) // 2
        self.around = (before, after, before, after)  # left, right, top, bottom

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(functional.pad(x, self.around))
