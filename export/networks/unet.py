"""U-Net: a class for every pixel, by a path down, a path up, and a skip between them at every size.

In: a picture, float32 [N, 3, H, W], RGB, 0..1, H and W multiples of 16. Out: logits [N, classes, H, W]. The names of the weights
and their layout are those of milesial/Pytorch-UNet, so that one class holds our small network and the files that people have:
from_weights tells channels, classes, width, and the way up from the shapes in a file. The trainer is ../training/unet.py.

Sources: Ronneberger et al., U-Net, MICCAI 2015; github.com/milesial/Pytorch-UNet, unet/unet_model.py (GPL-3.0: nothing of it is
here but the names and shapes of its weights).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from vedette.export.weights import read, read_pickle
from vedette.runtime.errors import ModelError
from vedette.runtime.manifest import Decoder, Input, Manifest, Output, Resize

LABELS = ("background", "digit", "disc", "triangle", "stripes", "checks")
HALVINGS = 4
STEP = 2**HALVINGS
LARGEST = 4096  # a side of the weights at both ends
NOT_WEIGHTS = {
    "mask_values"
}  # the grey levels of its training masks, which milesial's trainer adds to the file


@dataclass(frozen=True, slots=True)
class Plan:
    """What the shapes of the weights tell.

    Attributes:
        channels: of the picture.
        classes: of the logits; 1 is a binary mask.
        width: channels at full size; each halving doubles them.
        bilinear: the way up interpolates; else it has transposed convolutions.
        bias: convolutions before a batch norm have one, as in files of 2021 and before.
    """

    channels: int = 3
    classes: int = len(LABELS)
    width: int = 16
    bilinear: bool = False
    bias: bool = False


class Twice(nn.Module):
    """Two 3x3 convolutions, each with batch norm and ReLU."""

    def __init__(self, channels: int, width: int, *, middle: int = 0, bias: bool = False) -> None:
        super().__init__()
        middle = middle or width
        self.double_conv = nn.Sequential(
            nn.Conv2d(channels, middle, 3, padding=1, bias=bias), nn.BatchNorm2d(middle), nn.ReLU(inplace=True),
            nn.Conv2d(middle, width, 3, padding=1, bias=bias), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        convolved: torch.Tensor = self.double_conv(x)
        return convolved


class Down(nn.Module):
    """Half the size, then two convolutions."""

    def __init__(self, channels: int, width: int, *, bias: bool) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), Twice(channels, width, bias=bias))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        smaller: torch.Tensor = self.maxpool_conv(x)
        return smaller


class Up(nn.Module):
    """Twice the size, beside what the way down had there, then two convolutions."""

    def __init__(self, channels: int, width: int, *, bilinear: bool, bias: bool) -> None:
        super().__init__()
        self.up: nn.Module = (
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            if bilinear
            else nn.ConvTranspose2d(channels, channels // 2, 2, stride=2)
        )
        self.conv = Twice(channels, width, middle=channels // 2 if bilinear else 0, bias=bias)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        larger: torch.Tensor = self.conv(torch.cat([skip, self.up(x)], dim=1))
        return larger


class Exit(nn.Module):
    """A 1x1 convolution to the classes."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.conv(x)
        return logits


class UNet(nn.Module):
    """Picture [N, channels, H, W] to logits [N, classes, H, W]."""

    def __init__(self, plan: Plan = Plan()) -> None:
        super().__init__()
        self.plan = plan
        width, deepest = plan.width, 16 * plan.width
        half = (
            2 if plan.bilinear else 1
        )  # interpolating keeps the channels, so the deeper level gives half of them
        self.inc = Twice(plan.channels, width, bias=plan.bias)
        self.down1 = Down(width, 2 * width, bias=plan.bias)
        self.down2 = Down(2 * width, 4 * width, bias=plan.bias)
        self.down3 = Down(4 * width, 8 * width, bias=plan.bias)
        self.down4 = Down(8 * width, deepest // half, bias=plan.bias)
        self.up1 = Up(deepest, 8 * width // half, bilinear=plan.bilinear, bias=plan.bias)
        self.up2 = Up(8 * width, 4 * width // half, bilinear=plan.bilinear, bias=plan.bias)
        self.up3 = Up(4 * width, 2 * width // half, bilinear=plan.bilinear, bias=plan.bias)
        self.up4 = Up(2 * width, width, bilinear=plan.bilinear, bias=plan.bias)
        self.outc = Exit(width, plan.classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = [self.inc(x)]
        for down in (self.down1, self.down2, self.down3, self.down4):
            skips.append(down(skips[-1]))
        x = skips.pop()
        for up in (self.up1, self.up2, self.up3, self.up4):
            x = up(x, skips.pop())
        logits: torch.Tensor = self.outc(x)
        return logits


def network() -> nn.Module:
    """Our network with fresh weights."""
    return UNet()


def card() -> Manifest:
    """What the runtime must know: RGB 0..1, letterboxed with grey, any size in steps of 16; trained on scenes of 128 x 128."""
    accuracy = "mIoU 0.91 on 600 held-out digit scenes (six classes; other writers, other photos)"
    return _card(Plan(), typical=(128, 128), labels=LABELS, licence="Apache-2.0", accuracy=accuracy, provenance=(
        "trained here on digit scenes: scikit-learn's digits and drawn shapes on the photos of scikit-learn and scikit-image"
    ))  # fmt: skip


def _card(
    plan: Plan,
    *,
    typical: tuple[int, int],
    labels: tuple[str, ...],
    licence: str,
    provenance: str,
    accuracy: str = "",
) -> Manifest:
    pixels = Input(
        "images", (-1, plan.channels, -1, -1), minimum=(1, plan.channels, 2 * STEP, 2 * STEP),
        typical=(1, plan.channels, *typical), maximum=(8, plan.channels, 1024, 1024), multiple_of=(1, 1, STEP, STEP),
        pixel_format="rgb" if plan.channels == 3 else "gray", resize=Resize("letterbox"), scale=1 / 255,
    )  # fmt: skip
    return Manifest(
        "unet", "segmentation", (pixels,), (Output("logits", (-1, plan.classes, -1, -1), role="logits"),),
        Decoder("unet"), labels=labels, licence=licence, provenance=provenance, accuracy=accuracy,
    )  # fmt: skip


def from_weights(path: Path) -> tuple[nn.Module, Manifest]:
    """The network that a file of weights is of, with them, and its card.

    The file is a state dict by milesial's names: of his trainer, which adds mask_values, of any width, or of the zoo.

    Raises:
        ModelError: unreadable, or the weights of a layer are missing, unknown, or of another size.
    """
    state = _read(path)
    plan = plan_of(state, path.name)
    _check(state, plan, path.name)
    module = UNet(plan)
    module.load_state_dict({name: value.to(module.state_dict()[name].dtype) for name, value in state.items()})
    return module.eval(), card() if plan == Plan() else _foreign_card(plan, path.name)


def _foreign_card(plan: Plan, name: str) -> Manifest:
    """Of milesial's training at a quarter of Carvana's pictures; the file does not say what its classes are."""
    labels = {1: ("foreground",), 2: ("background", "foreground")}.get(plan.classes, ())
    return _card(plan, typical=(320, 480), labels=labels, licence="unknown", provenance=f"weights of {name}")


def _read(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file, without what milesial's trainer adds to them."""
    if path.is_file() and path.suffix != ".safetensors":
        state = read_pickle(path)
        if isinstance(state, dict) and NOT_WEIGHTS & state.keys():
            return {name: value for name, value in state.items() if name not in NOT_WEIGHTS}
    return read(path)


def plan_of(state: Mapping[str, torch.Tensor], origin: str) -> Plan:
    """Read a plan off the shapes at both ends.

    Raises:
        ModelError: an end is missing, or of a shape that no U-Net has.
    """
    first, last = (_shape(state, name) for name in ("inc.double_conv.0.weight", "outc.conv.weight"))
    for name, shape in (("inc.double_conv.0.weight", first), ("outc.conv.weight", last)):
        if len(shape) != 4 or not all(1 <= side <= LARGEST for side in shape):
            found = f"is {list(shape)}" if shape else "is missing"
            raise ModelError(
                f"{origin} does not hold the weights of a U-Net",
                why=f"{name} {found}; expected the four sides of a convolution's",
                cure="give a state dict of milesial/Pytorch-UNet, saved by its train.py of 2020 or later",
            )
    return Plan(first[1], last[0], first[0], "up1.up.weight" not in state, "inc.double_conv.0.bias" in state)


def _shape(state: Mapping[str, torch.Tensor], name: str) -> tuple[int, ...]:
    """Empty where there is no such tensor."""
    return tuple(getattr(state.get(name), "shape", ()))


def _check(state: Mapping[str, torch.Tensor], plan: Plan, origin: str) -> None:
    """Every tensor of the plan is there and of its shape, and there is no other."""
    with torch.device("meta"):  # shapes without memory, as a file may claim any
        wanted = {name: tuple(value.shape) for name, value in UNet(plan).state_dict().items()}
    for name in [*wanted, *state]:
        found = list(_shape(state, name)) if name in state else "missing"
        expected = list(wanted[name]) if name in wanted else "nothing"
        if found != expected:
            raise ModelError(
                f"{origin} does not hold the weights of a U-Net of {plan.width} channels and {plan.classes} classes",
                why=f"{name} is {found}; expected {expected}",
                cure="give the whole state dict of one network, as it was saved",
            )
