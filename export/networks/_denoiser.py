"""A U-Net that sees a noisy picture and tells what to take away; the network of ddpm.py.

In: sample float32 [N, C, H, W], H and W multiples of 8; timestep float32 [N], 0 to 999.  Out: prediction [N, C, H, W].

Four pixels of a 2 x 2 square become channels first, so that the largest maps are at half the size: a sixth of the work.
Sources: Ho et al., Denoising Diffusion Probabilistic Models, NeurIPS 2020; Vaswani et al., Attention Is All You Need, 2017
(sines of the time).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

GROUPS = 8
SLOWEST = 10000.0  # of the sines' periods, in steps by 2 pi


@dataclass(frozen=True, slots=True)
class Plan:
    """How large.

    Attributes:
        channels: of the picture.
        widths: channels at a half, a quarter and an eighth of the size.
        time: length of the vector that tells the time.
    """

    channels: int = 1
    widths: tuple[int, int, int] = (48, 96, 128)
    time: int = 128


class Block(nn.Module):
    """Two 3x3 convolutions around a skip; the time is added between them."""

    def __init__(self, channels: int, width: int, time: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, channels)
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1)
        self.time = nn.Linear(time, width)
        self.norm2 = nn.GroupNorm(GROUPS, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.skip = nn.Identity() if channels == width else nn.Conv2d(channels, width, 1)

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        inner = self.conv1(functional.silu(self.norm1(x)))
        inner = inner + self.time(time)[:, :, None, None]
        inner = self.conv2(functional.silu(self.norm2(inner)))
        added: torch.Tensor = self.skip(x) + inner
        return added


class Attention(nn.Module):
    """Every place looks at every other, in heads of 32 channels or so, around a skip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // 32
        self.norm = nn.GroupNorm(GROUPS, width)
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, width, height, columns = x.shape
        side = width // self.heads
        query, key, value = (
            part.reshape(batch, self.heads, side, -1) for part in self.qkv(self.norm(x)).chunk(3, dim=1)
        )  # [N, heads, side, places]
        weights = (query.transpose(2, 3) @ key * side**-0.5).softmax(dim=3)  # [N, heads, places, places]
        seen = (value @ weights.transpose(2, 3)).reshape(batch, width, height, columns)
        added: torch.Tensor = x + self.out(seen)
        return added


class Net(nn.Module):
    """All that may compute in float16: the picture and its time as a vector in, the prediction out."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        (a, b, c), time = plan.widths, plan.time
        self.entry = nn.Conv2d(4 * plan.channels, a, 3, padding=1)
        self.time1 = nn.Linear(time, time)
        self.time2 = nn.Linear(time, time)
        self.down1 = Block(a, a, time)
        self.half1 = nn.Conv2d(a, b, 3, stride=2, padding=1)
        self.down2 = Block(b, b, time)
        self.look2 = Attention(b)
        self.half2 = nn.Conv2d(b, c, 3, stride=2, padding=1)
        self.down3 = Block(c, c, time)
        self.look3 = Attention(c)
        self.up3 = Block(2 * c, c, time)
        self.twice2 = nn.Conv2d(c, b, 3, padding=1)
        self.up2 = Block(2 * b, b, time)
        self.look_up2 = Attention(b)
        self.twice1 = nn.Conv2d(b, a, 3, padding=1)
        self.up1 = Block(2 * a, a, time)
        self.norm = nn.GroupNorm(GROUPS, a)
        self.exit = nn.Conv2d(a, 4 * plan.channels, 3, padding=1)

    def forward(self, sample: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
        time = functional.silu(self.time2(functional.silu(self.time1(sines))))
        x1 = self.down1(self.entry(functional.pixel_unshuffle(sample, 2)), time)
        x2 = self.look2(self.down2(self.half1(x1), time))
        x3 = self.half2(x2)
        x = self.look3(self.down3(x3, time))
        x = self.up3(torch.cat([x, x3], dim=1), time)
        x = self.look_up2(self.up2(torch.cat([self.twice2(_twice(x)), x2], dim=1), time))
        x = self.up1(torch.cat([self.twice1(_twice(x)), x1], dim=1), time)
        prediction: torch.Tensor = functional.pixel_shuffle(self.exit(functional.silu(self.norm(x))), 2)
        return prediction


def _twice(x: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


class Denoiser(nn.Module):
    """Sample [N, C, H, W] and timestep [N] to prediction [N, C, H, W]."""

    rates: torch.Tensor

    def __init__(self, plan: Plan = Plan()) -> None:
        super().__init__()
        self.plan = plan
        self.net = Net(plan)
        steps = torch.arange(plan.time // 2, dtype=torch.float32) / (plan.time // 2)
        self.register_buffer("rates", torch.exp(-math.log(SLOWEST) * steps), persistent=False)

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        angles = timestep[:, None] * self.rates  # [N, time / 2]; too large for float16
        prediction: torch.Tensor = self.net(sample, torch.cat([angles.sin(), angles.cos()], dim=1))
        return prediction


def fresh(module: Denoiser) -> Denoiser:
    """The same, its blocks' last convolutions and its exit zero, so that it starts by doing nothing."""
    for name, layer in module.named_modules():
        if name.endswith(("conv2", ".out", ".exit")) and isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module
