"""Masks whose network ends in a sigmoid or softmax: a probability for every pixel and class.

In: output probability [N, C, h, w], [N, h, w, C] or [N, h, w].  Out: float32 [C, h, w].
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vedette.runtime.decoders import Seen, named
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest, Output

SMALLEST = 32  # pixels; below it, maps are hardly of classes of pixels
COARSEST = 8  # input pixels of a map's; beyond, they are hardly either
MOST = 255  # classes
OTHERS = ("depth", "disparity")  # in the names of maps of something else


Layout = Literal["nchw", "nhwc", "nhw"]
_CHANNELS: Mapping[Layout, int | None] = {"nchw": 0, "nhwc": 2}  # the axis of an image's
_NONE: Mapping[Layout, int | None] = {"nhw": None}


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a manifest may say."""

    layout: Layout = "nchw"


def roles(outputs: Sequence[Output]) -> dict[str, str] | None:
    """The role of each output by name, if it is the only one and has maps; of several alike, U2-Net's, the first counts."""
    return {outputs[0].name: "probability"} if layout_of(_first(outputs)) else None


def claims(
    outputs: Sequence[Output], *, input_size: tuple[int, int] | None = None, seen: Seen | None = None
) -> Parameters | None:
    """The parameters, if the one output has a single map, or was seen to be shares."""
    outputs = _first(outputs)
    layout = layout_of(outputs, most=MOST if seen else 1, input_size=input_size)
    if (
        layout is None
        or (seen is None and (layout == "nhw" or outputs[0].name == "logits"))
        or outputs[0].dtype not in ("float32", "float16")
    ):
        return None
    return Parameters(layout) if seen is None or seen.shares(outputs[0].name) else None


def _first(outputs: Sequence[Output]) -> Sequence[Output]:
    alike = {(output.shape, output.dtype) for output in outputs}
    return outputs[:1] if len(alike) == 1 and outputs[0].shape[1] == 1 else outputs


def layout_of(
    outputs: Sequence[Output], *, most: int = MOST, input_size: tuple[int, int] | None = None
) -> Layout | None:
    """Where the channels of one output of maps are; None if it is not the only one, or none of 1 to `most` classes of pixels.

    Args:
        outputs: of the network.
        most: channels.
        input_size: (width, height) of the input, where that is known; maps have an eighth of it at least.
    """
    if (
        len(outputs) != 1
        or len(outputs[0].shape) not in (3, 4)
        or any(word in outputs[0].name for word in OTHERS)
    ):
        return None
    smallest = [side // COARSEST for side in input_size[::-1]] if input_size else [SMALLEST, SMALLEST]
    for layout, channel in (_CHANNELS if len(outputs[0].shape) == 4 else _NONE).items():
        sides = list(outputs[0].shape[1:])
        channels = sides.pop(channel) if channel is not None else 1
        large = all(side == -1 or side >= least for side, least in zip(sides, smallest, strict=True))
        if 1 <= channels <= most and large and _alike(sides, input_size):
            return layout
    return None


def _alike(sides: Sequence[int], input_size: tuple[int, int] | None) -> bool:
    """Whether maps of (height, width) have the shape of the input, to a pixel of theirs."""
    if input_size is None or min(sides) < 1:
        return True
    return abs(sides[0] * input_size[0] - sides[1] * input_size[1]) <= max(input_size)


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
