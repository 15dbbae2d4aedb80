"""CycleGAN's generator: two halvings, some residual blocks, two doublings; a picture in, a picture of its size out.

In and out: float32 [N, C, H, W], H and W multiples of 4, -1 to 1. The names and shapes of the weights are those of
junyanz/pytorch-CycleGAN-and-pix2pix (resnet_9blocks and its kin), so that one class holds our small pair and the files that
people have. Its norm is instance norm; ours is batch norm, because that is one multiplication in a graph, leaves no seams
between the tiles of a large frame, and does not change from frame to frame.

Sources: Zhu et al., Unpaired Image-to-Image Translation, ICCV 2017; Johnson et al., Perceptual Losses, ECCV 2016;
github.com/junyanz/pytorch-CycleGAN-and-pix2pix, models/networks.py (BSD; the names).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

Norm = Literal["batch", "affine", "instance"]
FIRST_BLOCK = 10  # what precedes the blocks has the numbers 0 to 9
MOST_BLOCKS = 32
LARGEST = 1024  # channels


@dataclass(frozen=True, slots=True)
class Plan:
    """What the shapes of the weights tell.

    Attributes:
        width: channels at full size; each halving doubles them.
        blocks: residual ones.
        channels: of the picture, in and out.
        norm: over the batch, stored; or over the picture, with or without a learnt gain.
        bias: convolutions before a norm have one.
        dropout: blocks had one in training, which moves the number of their second convolution.
    """

    width: int = 16
    blocks: int = 4
    channels: tuple[int, int] = (3, 3)
    norm: Norm = "batch"
    bias: bool = False
    dropout: bool = False


class Block(nn.Module):
    """Two 3x3 convolutions around a skip."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        width = 4 * plan.width
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3, bias=plan.bias), _norm(plan, width), nn.ReLU(),
            *([nn.Identity()] if plan.dropout else []),
            nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3, bias=plan.bias), _norm(plan, width),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        added: torch.Tensor = x + self.conv_block(x)
        return added


class ResnetGenerator(nn.Module):
    """Picture [N, C, H, W] to picture, -1 to 1."""

    def __init__(self, plan: Plan = Plan()) -> None:
        super().__init__()
        self.plan = plan
        width, bias = plan.width, plan.bias
        self.model = nn.Sequential(
            nn.ReflectionPad2d(3), nn.Conv2d(plan.channels[0], width, 7, bias=bias), _norm(plan, width), nn.ReLU(),
            *_halving(plan, width), *_halving(plan, 2 * width),
            *(Block(plan) for _ in range(plan.blocks)),
            *_doubling(plan, 4 * width), *_doubling(plan, 2 * width),
            nn.ReflectionPad2d(3), nn.Conv2d(width, plan.channels[1], 7), nn.Tanh(),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        picture: torch.Tensor = self.model(x)
        return picture


def _norm(plan: Plan, width: int) -> nn.Module:
    if plan.norm == "batch":
        return nn.BatchNorm2d(width)
    return nn.InstanceNorm2d(width, affine=plan.norm == "affine")


def _halving(plan: Plan, width: int) -> list[nn.Module]:
    conv = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=plan.bias)
    return [conv, _norm(plan, 2 * width), nn.ReLU()]


def _doubling(plan: Plan, width: int) -> list[nn.Module]:
    conv = nn.ConvTranspose2d(width, width // 2, 3, stride=2, padding=1, output_padding=1, bias=plan.bias)
    return [conv, _norm(plan, width // 2), nn.ReLU()]


def plan_of(state: Mapping[str, torch.Tensor]) -> Plan | None:
    """Read a plan off a file's weights; None where the first convolution or the first block is not there."""
    first, block = _shape(state, "model.1.weight"), f"model.{FIRST_BLOCK}.conv_block"
    if len(first) != 4 or not 1 <= first[0] <= LARGEST or len(_shape(state, f"{block}.1.weight")) != 4:
        return None
    blocks = 0
    while f"model.{FIRST_BLOCK + blocks}.conv_block.1.weight" in state and blocks < MOST_BLOCKS:
        blocks += 1
    last = _shape(state, f"model.{FIRST_BLOCK + blocks + 7}.weight")
    return Plan(
        first[0], blocks, (first[1], last[0] if len(last) == 4 else 3), _norm_of(state), "model.1.bias" in state,
        len(_shape(state, f"{block}.6.weight")) == 4,
    )  # fmt: skip


def _norm_of(state: Mapping[str, torch.Tensor]) -> Norm:
    if "model.2.weight" not in state:
        return "instance"
    return "batch" if "model.2.running_mean" in state else "affine"


def _shape(state: Mapping[str, torch.Tensor], name: str) -> tuple[int, ...]:
    """Empty where there is no such tensor."""
    return tuple(getattr(state.get(name), "shape", ()))
