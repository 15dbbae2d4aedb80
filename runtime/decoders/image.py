"""Image to image: CycleGAN, fast style transfer, super-resolution.

In: output picture [N, 3, H, W] or [N, H, W, 3], at the size of the input or a whole multiple.  Out: Picture.

Sources: Zhu et al., CycleGAN, ICCV 2017 (a tanh, -1 to 1); Johnson et al., ECCV 2016 (0 to 255).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vedette.runtime.decoders import Picture, Seen, named
from vedette.runtime.decoders.mask import layout_of
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest, Output

DARK, MIDDLE, BRIGHT = -60, (30, 225), (100, 350)  # of pixels' values: the least, the mean, the most


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a manifest may say: black and white, and where the channels are."""

    black: float = 0.0
    white: float = 1.0
    layout: Literal["nchw", "nhwc"] = "nchw"
    pixel_format: Literal["rgb", "bgr"] = "rgb"

    def __post_init__(self) -> None:
        if self.black == self.white:
            raise ValueError("black and white differ")


def roles(outputs: Sequence[Output]) -> dict[str, str] | None:
    """The role of each output by name, if it is the only one and has three maps."""
    return {outputs[0].name: "picture"} if _layout(outputs) else None


def _layout(outputs: Sequence[Output]) -> Literal["nchw", "nhwc"] | None:
    layout = layout_of(outputs, most=3)
    channel = {"nchw": 1, "nhwc": 3}.get(layout or "")
    if (
        channel is None
        or outputs[0].shape[channel] != 3
        or outputs[0].dtype not in ("float32", "float16", "uint8")
    ):
        return None
    return layout  # type: ignore[return-value]


def claims(
    outputs: Sequence[Output], *, input_size: tuple[int, int] | None = None, seen: Seen | None = None
) -> Parameters | None:
    """The parameters, if three maps as large as the input end in a tanh or sigmoid, or have the values of pixels."""
    layout = _layout(outputs)
    if layout is None or seen is None or not _as_large(outputs[0], layout, input_size):
        return None
    name, values = outputs[0].name, seen.values[outputs[0].name]
    ends = seen.ends.get(name, ())[:3]
    least, most = np.percentile(values, (2, 98))
    if least > DARK and MIDDLE[0] < values.mean() < MIDDLE[1] and BRIGHT[0] < most < BRIGHT[1]:
        return Parameters(0.0, 255.0, layout)
    if seen.shares(name) and not seen.sums_to_one(name, 1 if layout == "nchw" else 3):
        return Parameters(0.0, 1.0, layout)
    return Parameters(-1.0, 1.0, layout) if "Tanh" in ends and np.abs(values).max() <= 1 else None


def _as_large(output: Output, layout: str, input_size: tuple[int, int] | None) -> bool:
    if input_size is None:
        return True
    height, width = output.shape[2:] if layout == "nchw" else output.shape[1:3]
    return width % input_size[0] == 0 and height % input_size[1] == 0


def decode(
    outputs: Mapping[str, Array],
    manifest: Manifest,
    parameters: Parameters,
    conf: float,
    *,
    input_size: tuple[int, int],
) -> list[Picture]:
    """A picture an image; what is no number is black."""
    pictures = named(outputs, manifest, "picture")
    if parameters.layout == "nchw":
        pictures = pictures.transpose(0, 2, 3, 1)
    if parameters.pixel_format == "rgb":
        pictures = pictures[..., ::-1]
    gain = 255 / (parameters.white - parameters.black)
    levels = (pictures - np.float32(parameters.black)) * np.float32(gain)
    return [Picture(image) for image in np.nan_to_num(levels.clip(0, 255), nan=0.0)]
