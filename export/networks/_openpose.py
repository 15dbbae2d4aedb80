"""What OpenPose's two networks share: the front of VGG-19, layers under Caffe's names, and state dicts of other programs.

In: a picture, float32 [N, 3, H, W].  Out: features [N, 128, H / 8, W / 8].
Every layer has the name that it has in OpenPose's prototxt, so that the weights of a .caffemodel, and of the PyTorch ports
that kept those names, find their places.

Sources: Simonyan and Zisserman, VGG, 2015; CMU OpenPose models/pose/*/pose_deploy*.prototxt (names and sizes).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from vedette.runtime.decoders.openpose import Parameters
from vedette.runtime.manifest import Decoder, Input, Manifest, Output, Resize

FEATURES = 128
VGG = (
    (64, 64),
    (128, 128),
    (256, 256, 256, 256),
    (512, 512),
)  # widths of the convolutions before each pooling
Named = list[tuple[str, nn.Module]]


def rectified(name: str, channels: int, width: int, kernel: int) -> Named:
    """A convolution that keeps the size, and a ReLU."""
    return [(name, nn.Conv2d(channels, width, kernel, padding=kernel // 2)), (f"{name}_relu", nn.ReLU())]


def parametric(name: str, channels: int, width: int, kernel: int) -> Named:
    """A convolution that keeps the size, and a PReLU of its own slope for each channel."""
    slope = name.replace("conv", "prelu")
    return [(name, nn.Conv2d(channels, width, kernel, padding=kernel // 2)), (slope, nn.PReLU(width))]


def front(*, prelu: bool) -> nn.Sequential:
    """Ten convolutions of VGG-19, and two that narrow it to FEATURES; prelu: after the last three, instead of ReLU."""
    layers: Named = []
    channels = 3
    for block, widths in enumerate(VGG, start=1):
        if block > 1:
            layers.append((f"pool{block - 1}", nn.MaxPool2d(2)))
        for index, width in enumerate(widths, start=1):
            made = parametric if prelu and (block, index) == (4, 2) else rectified
            layers += made(f"conv{block}_{index}", channels, width, 3)
            channels = width
    last = parametric if prelu else rectified
    layers += [*last("conv4_3_CPM", channels, 256, 3), *last("conv4_4_CPM", 256, FEATURES, 3)]
    return nn.Sequential(OrderedDict(layers))


class CaffeNamed(nn.Module):
    """A network that takes any state dict whose keys end in Caffe's names: conv1_1.weight, model0.conv1_1.weight.

    These are those of export/_caffe.py, of Hzzone/pytorch-openpose and what descends from it (ControlNet's
    body_pose_model.pth), and of beingjoey/pytorch_openpose_body_25.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_load_state_dict_pre_hook(_renamed)  # type: ignore[no-untyped-call]


def _renamed(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Give the tensors of a state dict our names, and vectors our shape; what has no place here keeps its name."""
    ours = {_short(name): (name, tensor) for name, tensor in module.state_dict().items()}
    for key in list(state):
        name, tensor = ours.get(_short(key), (key, state[key]))
        state[prefix + name] = _shaped(state.pop(key), tensor)


def _short(key: str) -> str:
    return ".".join(key.split(".")[-2:])


def _shaped(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Caffe's older files have vectors as [1, 1, 1, n]."""
    return value.reshape(like.shape) if like.dim() == 1 and value.squeeze().shape == like.shape else value


def openpose_card(name: str, parameters: Parameters, provenance: str) -> Manifest:
    """What the runtime must know: BGR, -0.5..0.5, the aspect ratio kept, sides in steps of 16."""
    channels = len(parameters.keypoint_names) + 1 + 2 * len(parameters.pairs)
    pixels = Input(
        "images", (-1, 3, -1, -1), minimum=(1, 3, 128, 128), typical=(1, 3, 368, 656), maximum=(4, 3, 736, 1312),
        multiple_of=(1, 1, 16, 16), pixel_format="bgr", resize=Resize("multiple", "top-left", pad=0.0, multiple=16),
        scale=1 / 256, mean=(0.5,),
    )  # fmt: skip
    maps = Output("net_output", (-1, channels, -1, -1), role="maps")
    return Manifest(
        name, "pose", (pixels,), (maps,), Decoder("openpose", asdict(parameters)), labels=("person",),
        licence="the weights are CMU's, for non-commercial use", provenance=provenance,
    )  # fmt: skip
