"""Masks whose network ends in a sigmoid or softmax: a probability for every pixel and class.

In: output probability [N, C, h, w], [N, h, w, C] or [N, h, w].  Out: float32 [C, h, w].
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vedette.runtime.decoders import named
from vedette.runtime.frame import Array
from vedette.runtime.manifest import STRICT, Manifest, Output

SMALLEST = 32  # pixels; below it, an output of one channel is hardly a mask


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a manifest may say."""

    __pydantic_config__ = STRICT
    layout: Literal["nchw", "nhwc", "nhw"] = "nchw"


def roles(outputs: Sequence[Output]) -> dict[str, str] | None:
    """The role of each output by name, if it is the only one and has one channel of a mask's size."""
    return {outputs[0].name: "probability"} if _layout(outputs) else None


def claims(outputs: Sequence[Output]) -> Parameters | None:
    """The parameters, if the outputs have this family's shape."""
    layout = _layout(outputs)
    return Parameters(layout) if layout else None


def _layout(outputs: Sequence[Output]) -> Literal["nchw", "nhwc"] | None:
    if len(outputs) != 1 or len(outputs[0].shape) != 4:
        return None
    _, first, second, last = outputs[0].shape
    if first == 1 and min(second, last) >= SMALLEST:
        return "nchw"
    if last == 1 and min(first, second) >= SMALLEST:
        return "nhwc"
    return None


def decode(
    outputs: Mapping[str, Array],
    manifest: Manifest,
    parameters: Parameters,
    conf: float,
    *,
    input_size: tuple[int, int],
) -> list[Array]:
    """Probabilities [C, h, w], an item an image; what is not finite becomes 0. The task applies conf."""
    maps = named(outputs, manifest, "probability")
    maps = np.where(np.isfinite(maps), maps, np.float32(0))
    if parameters.layout == "nhwc":
        return [image.transpose(2, 0, 1) for image in maps]
    return [image[None] if parameters.layout == "nhw" else image for image in maps]
