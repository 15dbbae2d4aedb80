"""Logits of every class at every pixel, as U-Nets and most networks of semantic segmentation end: no softmax in the graph.

In: output logits [N, K, h, w] or [N, h, w, K]; one channel is a binary mask.
Out: Logits, from which a softmax is made only when it is asked for; of one channel float32 [1, h, w], by the sigmoid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vedette.kernels.argmax_labels import MOST
from vedette.runtime.decoders import named
from vedette.runtime.frame import Array
from vedette.runtime.manifest import STRICT, Manifest, Output

SMALLEST = 32  # pixels; below it, maps are hardly of classes of pixels


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a manifest may say."""

    __pydantic_config__ = STRICT
    layout: Literal["nchw", "nhwc"] = "nchw"


@dataclass(frozen=True, slots=True, eq=False)
class Logits:
    """Of several classes; the greatest wins."""

    maps: Array  # float32 [K, h, w]


def roles(outputs: Sequence[Output]) -> dict[str, str] | None:
    """The role of each output by name, if it is the only one and says itself what it is."""
    return {outputs[0].name: "logits"} if claims(outputs) else None


def claims(outputs: Sequence[Output]) -> Parameters | None:
    """The parameters, if the one output is named logits and has maps of 2 to 255 classes.

    Maps under another name may as well be heat maps or a grid of boxes, and one channel a probability.
    """
    if len(outputs) != 1 or outputs[0].name != "logits" or len(outputs[0].shape) != 4:
        return None
    _, classes, height, width = outputs[0].shape
    large = all(side == -1 or side >= SMALLEST for side in (height, width))
    return Parameters() if 2 <= classes <= MOST and large else None


def decode(
    outputs: Mapping[str, Array],
    manifest: Manifest,
    parameters: Parameters,
    conf: float,
    *,
    input_size: tuple[int, int],
) -> list[Array | Logits]:
    """Logits, or probabilities of the one channel, an item an image. The task applies conf."""
    maps = named(outputs, manifest, "logits")
    if parameters.layout == "nhwc":
        maps = maps.transpose(0, 3, 1, 2)
    if maps.shape[1] == 1:
        return list(_sigmoid(maps))
    return [Logits(image) for image in maps]


def _sigmoid(maps: Array) -> Array:
    """By the hyperbolic tangent, which overflows nowhere; what is no number becomes 0."""
    probabilities = np.float32(0.5) * np.tanh(np.float32(0.5) * maps) + np.float32(0.5)
    return np.where(np.isnan(probabilities), np.float32(0), probabilities)
