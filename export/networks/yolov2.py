"""YOLOv2 for handwritten digits: several anchors a cell, batch norm, a passthrough; 1.1 M parameters.

In: a picture, float32 [N, 3, H, W], BGR, 0..1, H and W multiples of 32. Out: the raw region, which a decoder turns into
boxes. A smaller network than the paper's, of the same design; the paper's own is yolov2_darknet.py.
Trained by export/training/yolov2.py on the scenes of export/training/scenes.py.

Source: Redmon and Farhadi, YOLO9000: Better, Faster, Stronger, CVPR 2017.
"""

from __future__ import annotations

import torch
from torch import nn

from vedette.export.networks._darknet import Convolution
from vedette.runtime.manifest import Decoder, Input, Manifest, Output, Resize

CLASSES = 10
STRIDE = 8
ANCHORS = ((1.55, 2.77), (2.12, 3.62), (2.83, 4.54))  # width, height in cells


def halved(x: torch.Tensor) -> torch.Tensor:
    """Every 2 x 2 pixels to channels: [N, C, H, W] to [N, 4C, H / 2, W / 2]."""
    return torch.cat([x[:, :, row::2, column::2] for row in (0, 1) for column in (0, 1)], dim=1)


class Yolov2(nn.Module):
    """The whole detector; see the top of the file."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(
            *(Convolution(3, 24, 3, stride=2), Convolution(24, 32, 3), nn.MaxPool2d(2)),
            *(Convolution(32, 64, 3), Convolution(64, 32, 1), Convolution(32, 64, 3)),
        )
        self.coarse = nn.Sequential(
            *(nn.MaxPool2d(2), Convolution(64, 128, 3), Convolution(128, 64, 1), Convolution(64, 128, 3)),
            *(Convolution(128, 192, 3), Convolution(192, 96, 1), Convolution(96, 192, 3)),
        )
        self.passthrough = Convolution(64, 16, 1)
        self.head = Convolution(192 + 4 * 16, 192, 3)
        self.region = nn.Conv2d(192, len(ANCHORS) * (5 + CLASSES), 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Detect.

        Args:
            images: float32 [N, 3, H, W], BGR, 0..1; H and W multiples of 8.

        Returns:
            [N, 3 * (5 + 10), H / 8, W / 8], anchor by anchor: x, y, width, height, objectness, ten class scores;
            all raw. The box is centred on (column + sigmoid(x), row + sigmoid(y)) and measures the anchor
            times exp(width), exp(height), in cells; it scores sigmoid(objectness) * softmax(classes).
        """
        fine = self.fine(images)
        features = torch.cat((halved(self.passthrough(fine)), self.coarse(fine)), dim=1)
        output: torch.Tensor = self.region(self.head(features))
        return output


def network() -> nn.Module:
    """Return our YOLOv2 with fresh weights."""
    return Yolov2()


def card() -> Manifest:
    """What the runtime must know: BGR 0..1, letterboxed, any size in steps of 32; digits of 1/6 to 1/3 of its side."""
    pixels = Input(
        "images", (-1, 3, -1, -1), minimum=(1, 3, 64, 64), typical=(1, 3, 128, 128), maximum=(8, 3, 512, 512),
        multiple_of=(1, 1, 32, 32), pixel_format="bgr", resize=Resize("letterbox"), scale=1 / 255,
    )  # fmt: skip
    channels = len(ANCHORS) * (5 + CLASSES)
    region = Output("region", (-1, channels, -1, -1), role="region", box_format="cxcywh", box_units="cells")
    return Manifest(
        "yolov2", "detection", (pixels,), (region,), Decoder("yolov2", {"anchors": [list(anchor) for anchor in ANCHORS]}),
        labels=tuple(str(digit) for digit in range(CLASSES)), licence="Apache-2.0",
        provenance="trained here on digit scenes: scikit-learn's digits on photos of scikit-image and scikit-learn",
        accuracy="AP 0.71, AP50 0.95 on 1000 held-out digit scenes (pycocotools; other writers, other photos)",
    )  # fmt: skip
