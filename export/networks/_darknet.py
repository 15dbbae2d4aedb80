"""What darknet's detectors are made of, and its .weights files.

In: a module and a file of darknet's format.  Out: the module with the file's weights, or the file.
Layers are in the order of the cfg, which is that of their registration.

A file is a header (int32 major, minor, revision, then the number of pictures seen, int64 since version 0.2), and
float32 numbers: for each convolution its biases, with batch norm also scales, means and variances, then weights.

Source: AlexeyAB/darknet, src/parser.c (load_weights_upto, load_convolutional_weights) and src/blas.c (reorg_cpu).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from vedette.runtime.coco import COCO_80
from vedette.runtime.decoders.yolov2 import COCO_ANCHORS, COCO_CHANNELS
from vedette.runtime.errors import ModelError
from vedette.runtime.manifest import Decoder, Input, Manifest, Output, Resize

SLOPE = 0.1  # of leaky ReLU
HEADER = np.array([0, 2, 5], "<i4")


class Convolution(nn.Sequential):
    """Darknet's [convolutional] with batch norm and leaky ReLU; of stride 1 it keeps the size."""

    def __init__(self, channels: int, width: int, kernel: int, *, stride: int = 1) -> None:
        convolution = nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(width), nn.LeakyReLU(SLOPE))


class Reorg(nn.Module):
    """Darknet's [reorg] of stride 2: [N, C, H, W] to [N, 4C, H / 2, W / 2], as its code does it.

    It reads the input's memory as [N, C / 4, 2H, 2W] and takes every second pixel of that each way, so neighbours
    in the output are no neighbours in the input; trained weights expect just this.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, channels, height, width = x.shape
        cells = x.reshape(batch, channels // 4, height, 2, width, 2)
        return cells.permute(0, 3, 5, 1, 2, 4).reshape(batch, channels * 4, height // 2, width // 2)


class SamePooling(nn.Module):
    """Darknet's [maxpool] of size 2 and stride 1: each pixel with those right of it, below, and both."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.max_pool2d(x, 2, stride=1, padding=1)[:, :, 1:, 1:]


def region_card(name: str) -> Manifest:
    """The card of a detector trained on COCO: RGB 0..1, letterboxed with grey, any size in steps of 32."""
    pixels = Input(
        "images", (-1, 3, -1, -1), minimum=(1, 3, 160, 160), typical=(1, 3, 416, 416), maximum=(8, 3, 1280, 1280),
        multiple_of=(1, 1, 32, 32), pixel_format="rgb", resize=Resize("letterbox", "centre", pad=127.5),
        scale=1 / 255,
    )  # fmt: skip
    region = Output(
        "region", (-1, COCO_CHANNELS, -1, -1), role="region", box_format="cxcywh", box_units="cells"
    )
    return Manifest(
        name, "detection", (pixels,), (region,), Decoder("yolov2", {"anchors": [list(anchor) for anchor in COCO_ANCHORS]}),
        labels=COCO_80, licence="YOLO licence (public domain)",
        provenance="YOLOv2 by Redmon and Farhadi, trained on COCO; the weights are yours",
    )  # fmt: skip


def load_darknet(module: nn.Module, path: Path) -> None:
    """Load a .weights file.

    Raises:
        ModelError: unreadable, transposed, or of another network than this; the layer is named.
    """
    numbers = _numbers(path)
    state = module.state_dict()
    layers = list(_layers(module))
    _refuse_wrong_size(path, len(numbers), layers, state)
    keys = [key for _, tensors in layers for key in tensors]
    parts = np.split(numbers, np.cumsum([state[key].numel() for key in keys])[:-1])
    for key, part in zip(keys, parts, strict=True):
        state[key] = torch.from_numpy(part.astype(np.float32)).reshape(state[key].shape)
    module.load_state_dict(state, strict=True)


def save_darknet(module: nn.Module, path: Path, *, seen: int = 0) -> None:
    """Write a module's weights in darknet's format; what load_darknet reads back exactly."""
    state = module.state_dict()
    tensors = [state[key].numpy().astype("<f4").tobytes() for _, keys in _layers(module) for key in keys]
    path.write_bytes(HEADER.tobytes() + np.array(seen, "<i8").tobytes() + b"".join(tensors))


def _layers(module: nn.Module) -> Iterator[tuple[str, list[str]]]:
    """The convolutions in order: a name with sizes, and their tensors in the order of a file."""
    layers = [*module.named_modules(), ("", module)]
    for index, (name, layer) in enumerate(layers):
        if not isinstance(layer, nn.Conv2d):
            continue
        kernel = "x".join(map(str, layer.kernel_size))
        title = f"{name}, {layer.in_channels} to {layer.out_channels} channels, {kernel}"
        norm = layers[index + 1][0]
        before = [f"{norm}.{key}" for key in ("bias", "weight", "running_mean", "running_var")]
        yield title, [*(before if layer.bias is None else [f"{name}.bias"]), f"{name}.weight"]


def _numbers(path: Path) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """All that follows a file's header, float32."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"cannot read {path}", why=error.strerror or str(error), cure="check --weights"
        ) from None
    if len(data) < 16:
        raise ModelError(
            f"{path.name} is not a darknet .weights file", why="it is shorter than a header", cure="copy it again"
        )  # fmt: skip
    major, minor, _ = (int(value) for value in np.frombuffer(data, "<i4", 3))
    if major > 1000 or minor > 1000:
        raise ModelError(
            f"{path.name} is not a darknet .weights file that can be read",
            why=f"its version is {major}.{minor}; transposed weights have such, and other files",
            cure="save it again with darknet",
        )
    body = data[20 if major * 10 + minor >= 2 else 16 :]
    if len(body) % 4:
        raise ModelError(
            f"{path.name} is damaged",
            why=f"after its header come {len(body)} bytes, which no float32 numbers have",
            cure="copy it again",
        )
    return np.frombuffer(body, "<f4")


def _refuse_wrong_size(
    path: Path, count: int, layers: Sequence[tuple[str, list[str]]], state: Mapping[str, torch.Tensor]
) -> None:
    """Name the convolution in which a file ends too early, or the last one if it goes on after that."""
    ends = np.cumsum([sum(state[key].numel() for key in keys) for _, keys in layers])
    expected = int(ends[-1])
    if count == expected:
        return
    place = min(int(np.searchsorted(ends, count, side="right")), len(layers) - 1)
    name = f"convolution {place} ({layers[place][0]})"
    where = f"ends in {name}" if count < expected else f"goes on after {name}, the last"
    raise ModelError(
        f"{path.name} does not hold the weights of this network",
        why=f"it {where}: it has {count} numbers, this network {expected}",
        cure="name the network that they were trained for: yolov2-darknet and yolov2-tiny-darknet are darknet's",
    )
