"""Feature pyramid: what the deep stages know, at the size of the shallow ones.

In: the maps of a body, finest first.  Out: as many maps of one width. Next: _rpn.py, _roi.py.
The submodules have torchvision's names, so that its weights load.

Source: Lin et al., Feature Pyramid Networks for Object Detection, CVPR 2017.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional


class FeaturePyramid(nn.Module):
    """1x1 convolutions into the pyramid, sums on the way up, 3x3 convolutions out of it."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.inner_blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(count, width, 1)) for count in channels)
        self.layer_blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1)) for _ in channels
        )

    def forward(self, stages: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        inner = [block(stage) for block, stage in zip(self.inner_blocks, stages, strict=True)]
        for finer in reversed(range(len(inner) - 1)):  # the sides are multiples of the coarsest stride
            inner[finer] = inner[finer] + functional.interpolate(inner[finer + 1], scale_factor=2.0)
        return [block(level) for block, level in zip(self.layer_blocks, inner, strict=True)]
