"""Tiny YOLOv2 as darknet has it, for COCO-80: for the yolov2-tiny.weights that people have; 11 M parameters.

In: a picture, float32 [N, 3, H, W], RGB, 0..1, H and W multiples of 32. Out: the raw region of 5 anchors, which a
decoder turns into boxes. No weights are in the box: `vedette export yolov2-tiny-darknet --weights yolov2-tiny.weights`.

Source: AlexeyAB/darknet cfg/yolov2-tiny.cfg.
"""

from __future__ import annotations

from torch import nn

from vedette.export.networks._darknet import Convolution, SamePooling, region_card
from vedette.runtime.decoders.yolov2 import COCO_CHANNELS
from vedette.runtime.manifest import Manifest

HALVING = (16, 32, 64, 128, 256)


def network() -> nn.Module:
    """Return darknet's tiny YOLOv2 with fresh weights."""
    layers: list[nn.Module] = []
    for channels, width in zip((3, *HALVING), HALVING, strict=False):
        layers += [Convolution(channels, width, 3), nn.MaxPool2d(2)]
    layers += [Convolution(256, 512, 3), SamePooling()]
    layers += [Convolution(512, 1024, 3), Convolution(1024, 512, 3), nn.Conv2d(512, COCO_CHANNELS, 1)]
    return nn.Sequential(*layers)


def card() -> Manifest:
    """What the runtime must know: RGB 0..1, letterboxed with grey, any size in steps of 32."""
    return region_card("yolov2_tiny_darknet")
