"""Logits of every class at every pixel, as U-Nets and most networks of semantic segmentation end: no softmax in the graph.

In: output logits [N, K, h, w] or [N, h, w, K]; one channel is a binary mask.
Out: Logits, from which a softmax is made only when it is asked for; of one channel float32 [1, h, w], by the sigmoid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vedette.kernels.argmax_labels import MOST
from vedette.runtime.decoders import Seen, named
from vedette.runtime.decoders.mask import layout_of
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest, Output

LARGEST = 100  # beyond it, maps are hardly logits: depths, say
POSITIVE = {"Relu", "Softplus", "Exp", "Clip"}  # ends of networks of depth
JOINTS = 17  # maps at a quarter of the input are COCO's, of a person that was cut out


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a manifest may say."""

    layout: Literal["nchw", "nhwc"] = "nchw"


@dataclass(frozen=True, slots=True, eq=False)
class Logits:
    """Of several classes; the greatest wins."""

    maps: Array  # float32 [K, h, w]


def roles(outputs: Sequence[Output]) -> dict[str, str] | None:
    """The role of each output by name, if it is the only one and has maps."""
    return {outputs[0].name: "logits"} if layout_of(outputs, most=MOST) else None


def claims(
    outputs: Sequence[Output], *, input_size: tuple[int, int] | None = None, seen: Seen | None = None
) -> Parameters | None:
    """The parameters, if the one output has maps and is named logits, or was seen to be no shares.

    Maps under another name may as well be heat maps or a grid of boxes, and one channel a probability.
    """
    layout = layout_of(outputs, most=MOST, input_size=input_size)
    if layout not in ("nchw", "nhwc") or (seen is None and (layout != "nchw" or outputs[0].name != "logits")):
        return None
    if seen is None:
        return Parameters() if outputs[0].shape[1] > 1 else None
    return Parameters(layout) if _are_logits(outputs[0], layout, input_size, seen) else None


def _are_logits(output: Output, layout: str, input_size: tuple[int, int] | None, seen: Seen) -> bool:
    """Whether maps are neither shares, nor depths, nor the heat of one person's joints."""
    values, last = seen.values[output.name], set(seen.ends.get(output.name, ())[:2])
    if (
        output.dtype not in ("float32", "float16")
        or seen.shares(output.name)
        or not np.abs(values).max() <= LARGEST
    ):
        return False
    positive = values.shape[1 if layout == "nchw" else 3] == 1 and values.min() >= 0 and bool(last & POSITIVE)
    joints = (
        layout == "nchw"
        and values.shape[1] == JOINTS
        and input_size is not None
        and values.shape[3] * 4 == input_size[0]
    )
    return not positive and not joints


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
