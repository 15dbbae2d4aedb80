"""From a picture of any size to the network's input, and back: what `Input.resize` means.

In: a Frame, or uint8 [H, W, 3] BGR.  Out: one image of an [N, 3, h, w] buffer, and the Placement that undoes it.
Next: kernels/letterbox.py, which moves the pixels.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from vedette.kernels.letterbox import letterbox
from vedette.kernels.picture import Layout
from vedette.runtime.errors import UsageError
from vedette.runtime.frame import Array, Frame
from vedette.runtime.manifest import LARGEST, Input, Resize

Size = tuple[int, int]  # (width, height)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a picture of `size` lies in a network input of `input_size`, after resizing to `scaled`."""

    size: Size
    input_size: Size
    scaled: Size
    offset: tuple[int, int] = (0, 0)  # left, top

    @property
    def crop(self) -> tuple[slice, slice]:
        """Rows and columns of the network input that hold the picture."""
        (left, top), (width, height) = self.offset, self.scaled
        return slice(top, top + height), slice(left, left + width)

    def to_image(self, xy: Array) -> Array:
        """Map [..., 2] points from network-input pixels to original-image pixels, unclipped.

        Each axis has the gain of its rounded size, so that edges map to edges exactly.
        """
        offset, gain = self.offset_and_gain()
        mapped: Array = (xy - offset) / gain
        return mapped.astype(np.float32, copy=False)

    @lru_cache(maxsize=64)  # noqa: B019  (of few values: small arrays are dear beside the few boxes that they move)
    def offset_and_gain(self) -> tuple[Array, Array]:
        """Of the picture in the input, float32 [2] each, across and down."""
        gain = np.array(self.scaled, np.float32) / np.array(self.size, np.float32)
        return np.array(self.offset, np.float32), gain


def place(size: Size, target: Size, resize: Resize) -> Placement:
    """Decide where a picture goes in an input of the target (width, height).

    Sources: letterbox rounding as Ultralytics' predictors do it (round, halves of the padding -0.1/+0.1);
    `multiple` is OpenPose's --net_resolution -1xH.
    """
    if resize.rule == "stretch":
        return Placement(size, target, target)
    ratio = min(target[0] / size[0], target[1] / size[1])
    scaled = (max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio)))
    if resize.rule == "multiple":
        return Placement(size, (_up(scaled[0], resize.multiple), _up(scaled[1], resize.multiple)), scaled)
    spare = (target[0] - scaled[0], target[1] - scaled[1])
    left, top = {
        "centre": (round(spare[0] / 2 - 0.1), round(spare[1] / 2 - 0.1)),
        "top-left": (0, 0),
        "bottom-right": spare,
    }[resize.anchor]
    return Placement(size, target, scaled, (left, top))


def target_size(spec: Input, imgsz: Size | None) -> Size:
    """The (width, height) that pictures are fitted to: what the user asks for, or the model's typical size.

    Raises:
        UsageError: the model does not take that size.
    """
    smallest, typical, largest = (bound[-2:] for bound in spec.bounds())
    if imgsz is None:
        if min(typical) < 1:
            raise UsageError(
                "this model does not say its input size",
                why=f"input {spec.name} is {list(spec.shape)} without a typical shape",
                cure="give one with --imgsz",
            )
        return typical[1], typical[0]
    for asked, low, high, step in zip(
        imgsz[::-1], smallest, largest, spec.multiple_of[-2:] or (1, 1), strict=True
    ):
        if not low <= asked <= (high if high > 0 else LARGEST) or asked % step:
            allowed = f"{low}" if low == high else f"{low} to {high} in steps of {step}"
            raise UsageError(
                f"--imgsz {imgsz[0]}x{imgsz[1]} does not fit this model",
                why=f"input {spec.name} takes {allowed}; got {asked}",
                cure="leave --imgsz out, or export the model with --imgsz",
            )
    return imgsz


def fill(chw: Array, image: Array, spec: Input, placement: Placement) -> None:
    """Resize, pad, reorder and normalise one picture into its place of the input buffer.

    Args:
        chw: [C, h, w], written whole: float32, or float16 for a network with such an input.
        image: uint8 [H, W, 3] BGR.
        spec: the input's pixel format, pad, scale, mean and std: y = (pixel * scale - mean) / std.
        placement: from `place`.
    """
    fill_frame(chw, Frame((image,)), layout_of(spec, placement))


def fill_frame(chw: Array, frame: Frame, layout: Layout, *, padded: bool = False) -> None:
    """`fill` from the planes that the decoder made, without a BGR picture between; padded: around it nothing is to do.

    Values are those of cv2.resize, bit for bit: it is what the networks were trained with, and no slower here than
    the exact bilinear values, which differ from it by up to one level of 255.
    """
    letterbox(chw, frame.planes, layout, frame.picture, exact_cv2=True, padded=padded)


@lru_cache(maxsize=64)
def layout_of(spec: Input, placement: Placement) -> Layout:
    """Placement and normalisation as the kernel takes them: pixel * gain + bias, in float32."""
    std = np.broadcast_to(np.array(spec.std, np.float32), 3)
    gain, shift = spec.scale / std, np.broadcast_to(np.array(spec.mean, np.float32), 3) / std
    return Layout(
        placement.scaled,
        placement.offset,
        gain=tuple(gain.tolist()),
        bias=tuple((-shift).tolist()),
        pad=spec.resize.pad,
        channel_order="rgb" if spec.pixel_format == "rgb" else "bgr",
    )


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
