"""FastestDet: a COCO-80 detector with a single level of cells, 0.24 M parameters.

In: a picture, float32 [N, 3, 352, 352], BGR, 0..1. Out: objectness, box and class scores of 22 x 22 cells.
Modules bear the names of the author's checkpoints, which thus load as they are; batch norm is not folded.

Source: dog-qiuqiu, FastestDet (github.com/dog-qiuqiu/FastestDet); Ma et al., ShuffleNet V2, 2018.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from vedette.runtime.coco import COCO_80
from vedette.runtime.manifest import Decoder, Input, Manifest, Output, Resize

CLASSES = 80
STEM_WIDTH = 24
STAGES = ((48, 4), (96, 8), (192, 4))  # width and units; each halves the size
HEAD_WIDTH = 96


def _depthwise(width: int, kernel: int, *, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(width, width, kernel, stride, padding=kernel // 2, groups=width, bias=False)
    return [convolution, nn.BatchNorm2d(width)]


def _pointwise(channels: int, width: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)]


class ShuffleUnit(nn.Module):
    """Filter every second channel and pass the others on."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.branch_main = nn.Sequential(
            *_pointwise(half, half), nn.ReLU(), *_depthwise(half, 3), *_pointwise(half, half), nn.ReLU()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat((x[:, 0::2], self.branch_main(x[:, 1::2])), dim=1)


class HalvingUnit(nn.Module):
    """Filter all channels twice, at half the size."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        half = width // 2
        self.branch_main = nn.Sequential(
            *(*_pointwise(channels, half), nn.ReLU()),
            *_depthwise(half, 3, stride=2),
            *(*_pointwise(half, half), nn.ReLU()),
        )
        self.branch_proj = nn.Sequential(
            *_depthwise(channels, 3, stride=2), *_pointwise(channels, half), nn.ReLU()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat((self.branch_proj(x), self.branch_main(x)), dim=1)


class Backbone(nn.Module):
    """ShuffleNet V2: features [N, 48 | 96 | 192, H / s, W / s] for s = 8, 16, 32."""

    def __init__(self) -> None:
        super().__init__()
        convolution = nn.Conv2d(3, STEM_WIDTH, 3, stride=2, padding=1, bias=False)
        self.first_conv = nn.Sequential(convolution, nn.BatchNorm2d(STEM_WIDTH), nn.ReLU())
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        widths = (STEM_WIDTH, *(width for width, _ in STAGES))
        self.stage2, self.stage3, self.stage4 = (
            nn.Sequential(HalvingUnit(channels, width), *(ShuffleUnit(width) for _ in range(units - 1)))
            for channels, (width, units) in zip(widths, STAGES, strict=False)
        )

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        fine = self.stage2(self.maxpool(self.first_conv(images)))
        middle = self.stage3(fine)
        return fine, middle, self.stage4(middle)


class Pointwise(nn.Module):
    """A pointwise convolution under the name that checkpoints have for it."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1x1 = nn.Sequential(*_pointwise(channels, width), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        filtered: torch.Tensor = self.conv1x1(x)
        return filtered


class ReceptiveFields(nn.Module):
    """One, two and three 5x5 filters side by side; in the place of spatial pyramid pooling."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.Conv1x1 = Pointwise(channels, width)
        self.S1, self.S2, self.S3 = (
            nn.Sequential(*(layer for _ in range(depth) for layer in (*_depthwise(width, 5), nn.ReLU())))
            for depth in (1, 2, 3)
        )
        self.output = nn.Sequential(*_pointwise(3 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.Conv1x1(x)
        fields = torch.cat((self.S1(x), self.S2(x), self.S3(x)), dim=1)
        return functional.relu(x + self.output(fields))


class Predictor(nn.Module):
    """A 5x5 depthwise and a pointwise convolution, with batch norm and no ReLU at the end."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.conv5x5 = nn.Sequential(*_depthwise(width, 5), nn.ReLU(), *_pointwise(width, outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        predicted: torch.Tensor = self.conv5x5(x)
        return predicted


class Head(nn.Module):
    """Objectness, box and class scores of each cell, [N, 1 + 4 + 80, h, w]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1x1 = Pointwise(width, width)
        self.obj_layers = Predictor(width, 1)
        self.reg_layers = Predictor(width, 4)
        self.cls_layers = Predictor(width, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv1x1(x)
        objectness = self.obj_layers(x).sigmoid()
        return torch.cat((objectness, self.reg_layers(x), self.cls_layers(x).softmax(dim=1)), dim=1)


class FastestDet(nn.Module):
    """The whole detector; see the top of the file."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.avg_pool = nn.AvgPool2d(3, 2, padding=1)
        self.upsample = nn.Upsample(scale_factor=2.0, mode="nearest")
        self.SPP = ReceptiveFields(sum(width for width, _ in STAGES), HEAD_WIDTH)
        self.detect_head = Head(HEAD_WIDTH)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Detect.

        Args:
            images: float32 [N, 3, 352, 352], BGR, 0..1.

        Returns:
            [N, 85, 22, 22]: objectness in [0, 1]; dx, dy, w, h of the box, raw; 80 class probabilities, which
            sum to 1. As parts of the picture, the box is centred on (column + tanh(dx)) / 22 and
            (row + tanh(dy)) / 22, and measures sigmoid(w) by sigmoid(h).
        """
        fine, middle, coarse = self.backbone(images)
        features = torch.cat((self.avg_pool(fine), middle, self.upsample(coarse)), dim=1)
        output: torch.Tensor = self.detect_head(self.SPP(features))
        return output


def network() -> nn.Module:
    """Return FastestDet with fresh weights."""
    return FastestDet()


def card() -> Manifest:
    """What the runtime must know: BGR 0..1, stretched to 352 x 352."""
    pixels = Input(
        "images", (-1, 3, 352, 352), minimum=(1, 3, 352, 352), typical=(1, 3, 352, 352), maximum=(8, 3, 352, 352),
        pixel_format="bgr", resize=Resize("stretch"), scale=1 / 255,
    )  # fmt: skip
    return Manifest(
        "fastestdet", "detection", (pixels,),
        (Output("grid", (-1, 85, 22, 22), role="grid", box_format="cxcywh", box_units="cells"),),
        Decoder("fastestdet"), labels=COCO_80, licence="BSD-3-Clause",
        provenance="FastestDet by dog-qiuqiu, trained on COCO train2017",
        accuracy="AP 0.338, AP50 0.603 on 50 VOC photos (COCO protocol, the categories that occur)",
    )  # fmt: skip
