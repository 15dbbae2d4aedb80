"""ResNet, all of its stages: the body of Mask R-CNN.

In: a picture, float32 [N, 3, H, W].  Out: a map a stage, each of half the size of the one before. Next: _fpn.py.
The submodules have torchvision's names, so that its weights load.

Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016; torchvision models/resnet.py (names, shapes).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

EXPANSION = 4  # of a bottleneck: its output in widths


@dataclass(frozen=True, slots=True)
class Body:
    """The shape of a ResNet.

    Attributes:
        stem: channels after the first convolution, whose stride is 2.
        kernel: its side.
        pool: a pooling with stride 2 follows; else the first stage has the stride.
        bottleneck: blocks of three convolutions (ResNet-50), else of two (ResNet-18).
        widths: of each stage.
        depths: blocks in each stage.
    """

    stem: int
    kernel: int
    pool: bool
    bottleneck: bool
    widths: tuple[int, ...]
    depths: tuple[int, ...]

    @property
    def channels(self) -> tuple[int, ...]:
        """Of the map of each stage."""
        return tuple(width * EXPANSION if self.bottleneck else width for width in self.widths)

    @property
    def strides(self) -> tuple[int, ...]:
        """Input pixels a cell of each stage."""
        return tuple(4 * 2**stage for stage in range(len(self.widths)))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(channels, width, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(inner)) + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut; the stride is in the 3x3 one."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * EXPANSION, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * EXPANSION)
        self.downsample = _shortcut(channels, width * EXPANSION, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = functional.relu(self.bn1(self.conv1(x)))
        inner = functional.relu(self.bn2(self.conv2(inner)))
        return functional.relu(self.bn3(self.conv3(inner)) + self.downsample(x))


def _shortcut(channels: int, out: int, stride: int) -> nn.Module:
    """Nothing, or a 1x1 convolution where the shape changes."""
    if channels == out and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))


class ResNet(nn.Module):
    """The stem and the stages layer1, layer2 and so on."""

    def __init__(self, body: Body) -> None:
        super().__init__()
        self.body = body
        self.conv1 = nn.Conv2d(3, body.stem, body.kernel, 2, body.kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(body.stem)
        channels = body.stem
        for stage, out in enumerate(body.channels):
            self.add_module(f"layer{stage + 1}", _stage(body, stage, channels))
            channels = out

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        x = functional.relu(self.bn1(self.conv1(images)))
        if self.body.pool:
            x = functional.max_pool2d(x, 3, 2, 1)
        stages = []
        for stage in range(len(self.body.widths)):
            x = self.get_submodule(f"layer{stage + 1}")(x)
            stages.append(x)
        return stages


def _stage(body: Body, stage: int, channels: int) -> nn.Sequential:
    block = Bottleneck if body.bottleneck else BasicBlock
    width, out = body.widths[stage], body.channels[stage]
    stride = 1 if stage == 0 and body.pool else 2
    first, rest = block(channels, width, stride), range(1, body.depths[stage])
    return nn.Sequential(first, *(block(out, width, 1) for _ in rest))
