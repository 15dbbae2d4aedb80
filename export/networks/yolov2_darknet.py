"""YOLOv2 as darknet has it, for COCO-80: for the yolov2.weights that people have; 51 M parameters.

In: a picture, float32 [N, 3, H, W], RGB, 0..1, H and W multiples of 32. Out: the raw region of 5 anchors, which a
decoder turns into boxes. No weights are in the box: `vedette export yolov2-darknet --weights yolov2.weights`.

Sources: Redmon and Farhadi, YOLO9000: Better, Faster, Stronger, CVPR 2017; AlexeyAB/darknet cfg/yolov2.cfg.
"""

from __future__ import annotations

import torch
from torch import nn

from vedette.export.networks._darknet import Convolution, Reorg, region_card
from vedette.runtime.decoders.yolov2 import COCO_CHANNELS
from vedette.runtime.manifest import Manifest


def _alternating(channels: int, *widths: int) -> list[nn.Module]:
    """3x3 and 1x1 filters in turn, beginning with 3x3."""
    ends = zip((channels, *widths), widths, strict=False)
    return [Convolution(before, after, 1 if index % 2 else 3) for index, (before, after) in enumerate(ends)]


class Yolov2Darknet(nn.Module):
    """The whole detector; see the top of the file. The parts are in the order of the cfg."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(
            *(*_alternating(3, 32), nn.MaxPool2d(2)),
            *(*_alternating(32, 64), nn.MaxPool2d(2)),
            *(*_alternating(64, 128, 64, 128), nn.MaxPool2d(2)),
            *(*_alternating(128, 256, 128, 256), nn.MaxPool2d(2)),
            *_alternating(256, 512, 256, 512, 256, 512),
        )
        self.coarse = nn.Sequential(
            nn.MaxPool2d(2),
            *_alternating(512, 1024, 512, 1024, 512, 1024),
            *(Convolution(1024, 1024, 3), Convolution(1024, 1024, 3)),
        )
        self.passthrough = nn.Sequential(Convolution(512, 64, 1), Reorg())
        self.head = Convolution(4 * 64 + 1024, 1024, 3)
        self.region = nn.Conv2d(1024, COCO_CHANNELS, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Detect: float32 [N, 3, H, W], RGB, 0..1 to the raw region [N, 5 * (5 + 80), H / 32, W / 32]."""
        fine = self.fine(images)
        features = torch.cat((self.passthrough(fine), self.coarse(fine)), dim=1)
        output: torch.Tensor = self.region(self.head(features))
        return output


def network() -> nn.Module:
    """Return darknet's YOLOv2 with fresh weights."""
    return Yolov2Darknet()


def card() -> Manifest:
    """What the runtime must know: RGB 0..1, letterboxed with grey, any size in steps of 32."""
    return region_card("yolov2_darknet")
